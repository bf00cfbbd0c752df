"""Fields: the parts of a feature that have a version of their own."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Union

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from metaxy.columns import DEFAULT_CODE_VERSION
from metaxy.definitions.keys import CoercibleToFeatureKey, CoercibleToFieldKey, FieldKey, ValidatedFeatureKey
from metaxy.definitions.names import as_items
from metaxy.definitions.strictness import refuse
from metaxy.errors import CodeVersionWarning
from metaxy.hashing import ESCAPE, SEPARATOR

DEFAULT_FIELD: Final = "default"


class SpecialFieldDep(Enum):
    """Marker that stands for every field of every parent."""

    ALL = "__METAXY_ALL_DEP__"


def _items_or_all(value: Any) -> Any:
    """Return the items of a list, or the marker as it is."""
    return value if value in (SpecialFieldDep.ALL, SpecialFieldDep.ALL.value) else as_items(value)


class FieldDep(BaseModel):
    """Explicit dependency of a field on fields of one parent.

    An empty list of fields says that the field depends on nothing of that parent.

    >>> FieldDep(feature="video", fields=["audio"]).fields
    (audio,)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: ValidatedFeatureKey
    fields: SpecialFieldDep | tuple[FieldKey, ...] = SpecialFieldDep.ALL

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            feature: CoercibleToFeatureKey,
            fields: Union[SpecialFieldDep, Iterable[CoercibleToFieldKey]] = ...,
        ) -> None: ...

    _list_fields = field_validator("fields", mode="before")(_items_or_all)


class FieldSpec(BaseModel):
    """A field of a feature: its key, the version of the code that computes it, and what it depends on.

    >>> FieldSpec(key="audio", code_version="2").code_version
    '2'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: FieldKey = FieldKey(DEFAULT_FIELD)
    code_version: str = DEFAULT_CODE_VERSION
    deps: SpecialFieldDep | tuple[FieldDep, ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            key: CoercibleToFieldKey = ...,
            code_version: str = ...,
            deps: Union[SpecialFieldDep, Sequence[FieldDep | Mapping[str, Any]]] = ...,
        ) -> None: ...

    _list_deps = field_validator("deps", mode="before")(_items_or_all)

    @model_validator(mode="after")
    def _check_code_version(self, info: ValidationInfo) -> Self:
        bad = sorted({c for c in self.code_version if _is_unsafe(c)})
        if bad:
            shown = ", ".join(map(repr, bad))
            refuse(
                f"code version {self.code_version!r} of field '{self.key}' contains {shown}, "
                "which separates values in version hashes; use letters, digits, '.', '-' or '_'",
                info,
                CodeVersionWarning,
            )
        return self


def _is_unsafe(character: str) -> bool:
    return character in (SEPARATOR, ESCAPE) or unicodedata.category(character) in ("Cc", "Cs")
