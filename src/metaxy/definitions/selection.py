"""Feature selections: which features of a store are meant."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from typing_extensions import Self

from metaxy.definitions.keys import FeatureKey, ValidatedFeatureKey
from metaxy.definitions.names import as_items
from metaxy.errors import DefinitionError


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


_Item = TypeVar("_Item", bound=_Ordered)


class FeatureSelection(BaseModel):
    """The features of some projects and some features by key, or all of them.

    Selections combine: ``|`` adds, ``&`` keeps what both name, ``-`` takes away. Projects and keys are combined each
    for themselves, because a selection does not know which project a key belongs to.

    >>> a, b = FeatureSelection(keys=["video", "crop"]), FeatureSelection(keys=["crop"])
    >>> (a - b).keys, (a & b).keys, (b - a).is_empty
    ((video,), (crop,), True)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: tuple[str, ...] | None = None
    keys: tuple[ValidatedFeatureKey, ...] | None = None
    all: bool | None = None

    @field_validator("projects", "keys", mode="before")
    @classmethod
    def _list_items(cls, value: Any) -> Any:
        return None if value is None else as_items(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.projects is None and self.keys is None and not self.all:
            raise DefinitionError("a feature selection needs projects=[…], keys=[…] or all=True")
        return self

    @classmethod
    def none(cls) -> Self:
        """Select nothing."""
        return cls(projects=(), keys=())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is selected."""
        return not (self.all or self.projects or self.keys)

    def includes(self, key: FeatureKey, project: str) -> bool:
        """Return whether a feature is selected.

        >>> FeatureSelection(projects=["vision"]).includes(FeatureKey("video"), "vision")
        True
        """
        return bool(self.all) or project in (self.projects or ()) or key in (self.keys or ())

    def __or__(self, other: Self) -> Self:
        if self.all or other.all:
            return type(self)(all=True)
        return self._from(
            _sorted({*(self.projects or ()), *(other.projects or ())}),
            _sorted({*(self.keys or ()), *(other.keys or ())}),
        )

    def __and__(self, other: Self) -> Self:
        if self.all or other.all:
            return other if self.all else self
        return self._from(_common(self.projects, other.projects), _common(self.keys, other.keys))

    def __sub__(self, other: Self) -> Self:
        if other.all:
            return self.none()
        if self.all:
            if other.is_empty:
                return self
            raise DefinitionError("'all features except some' cannot be written as a selection: list those you want")
        return self._from(_without(self.projects, other.projects), _without(self.keys, other.keys))

    @classmethod
    def _from(cls, projects: tuple[str, ...], keys: tuple[FeatureKey, ...]) -> Self:
        return cls(projects=projects or None, keys=keys or None) if projects or keys else cls.none()


def _sorted(items: Iterable[_Item]) -> tuple[_Item, ...]:
    return tuple(sorted(items))


def _common(left: tuple[_Item, ...] | None, right: tuple[_Item, ...] | None) -> tuple[_Item, ...]:
    return _sorted(set(left or ()) & set(right or ()))


def _without(left: tuple[_Item, ...] | None, right: tuple[_Item, ...] | None) -> tuple[_Item, ...]:
    return tuple(item for item in left or () if item not in (right or ()))
