"""Keys of features and of fields, and everything that can stand for one.

A key is an immutable sequence of parts, written ``video/crop``. What is made from it (table names, struct members,
column suffixes) is decided here and nowhere else.
"""

import re
import reprlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, TypeAlias, Union, overload

from pydantic import BeforeValidator, ConfigDict, RootModel, TypeAdapter, model_serializer, model_validator
from typing_extensions import Self

KEY_SEPARATOR: Final = "/"
_FIRST_PART: Final = re.compile(r"[a-z_][a-z0-9_-]*")
_LATER_PART: Final = re.compile(r"[a-z0-9_][a-z0-9_-]*")


class _Key(RootModel[tuple[str, ...]]):
    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if isinstance(value, dict) and len(value) == 1:
            value = value.get("root", value.get("parts", value))
        if isinstance(value, str):
            value = value.split(KEY_SEPARATOR)
        if not isinstance(value, Sequence):
            raise ValueError(f"cannot make a {cls.__name__} from {reprlib.repr(value)}: write 'a/b' or ['a', 'b']")
        return _checked_parts(value)

    @model_serializer
    def _as_text(self) -> str:
        return self.to_string()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the key."""
        return self.root

    @property
    def table_name(self) -> str:
        """The table name: parts joined by two underscores, hyphens as underscores."""
        return "__".join(self.root).replace("-", "_")

    def to_string(self) -> str:
        """Return the key as text, parts joined by slashes."""
        return KEY_SEPARATOR.join(self.root)

    def to_struct_key(self) -> str:
        """Return the name of a field in the by-field columns."""
        return "_".join(self.root)

    def to_column_suffix(self) -> str:
        """Return the suffix that a parent's versioning columns get."""
        return "__" + self.to_struct_key()

    def __str__(self) -> str:
        return self.to_string()

    def __repr__(self) -> str:
        return self.to_string()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __lt__(self, other: Self) -> bool:
        return self.root < other.root if type(other) is type(self) else NotImplemented

    def __le__(self, other: Self) -> bool:
        return self.root <= other.root if type(other) is type(self) else NotImplemented

    def __gt__(self, other: Self) -> bool:
        return self.root > other.root if type(other) is type(self) else NotImplemented

    def __ge__(self, other: Self) -> bool:
        return self.root >= other.root if type(other) is type(self) else NotImplemented

    def __len__(self) -> int:
        return len(self.root)

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # iterating a key gives its parts, not pydantic fields
        return iter(self.root)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.root)

    def __contains__(self, part: object) -> bool:
        return part in self.root

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self.root[index]


def _checked_parts(parts: Sequence[Any]) -> tuple[Any, ...]:
    if not parts:
        raise ValueError("a key needs at least one part, such as 'video'")
    for index, part in enumerate(parts):
        if isinstance(part, str):  # pydantic reports other types
            _check_part(part, _LATER_PART if index else _FIRST_PART)
    return tuple(parts)


def _check_part(part: str, allowed: re.Pattern[str]) -> None:
    if "__" in part:
        raise ValueError(f"key part {part!r} contains '__', which separates the parts in table names")
    if not allowed.fullmatch(part):
        raise ValueError(
            f"key part {part!r} is not allowed: use a-z, 0-9, '_' and '-', "
            "not starting with '-', nor, in the first part, with a digit"
        )


class FeatureKey(_Key):
    """Key of a feature.

    >>> key = FeatureKey("video/crop-2")
    >>> key, key.parts, key.table_name
    (video/crop-2, ('video', 'crop-2'), 'video__crop_2')
    """

    if TYPE_CHECKING:  # pydantic's own signature knows only what is stored, and is made anew for each class

        def __init__(self, root: "str | Sequence[str] | Self" = ..., *, parts: Sequence[str] = ...) -> None: ...


class FieldKey(_Key):
    """Key of a field of a feature.

    >>> FieldKey(["audio", "left"]).to_struct_key()
    'audio_left'
    """

    if TYPE_CHECKING:  # pydantic's own signature knows only what is stored, and is made anew for each class

        def __init__(self, root: "str | Sequence[str] | Self" = ..., *, parts: Sequence[str] = ...) -> None: ...


class HasFeatureKey(Protocol):
    """A feature spec or definition."""

    @property
    def key(self) -> FeatureKey:
        """The key of the feature."""


class HasSpec(Protocol):
    """A feature class."""

    def spec(self) -> HasFeatureKey:
        """Return the spec of the feature."""


CoercibleToFeatureKey: TypeAlias = Union[str, Sequence[str], FeatureKey, HasFeatureKey, HasSpec]
CoercibleToFieldKey: TypeAlias = Union[str, Sequence[str], FieldKey]


def _feature_key(value: Any) -> Any:
    """Return the key of a feature class, spec or definition, and any other value as it is."""
    if isinstance(value, type) and callable(spec := getattr(value, "spec", None)):
        return spec().key
    key = getattr(value, "key", None)
    return key if isinstance(key, FeatureKey) else value


def _key_parts(value: Any) -> list[str]:
    return list(coerce_to_feature_key(value).parts)


ValidatedFeatureKey = Annotated[FeatureKey, BeforeValidator(_feature_key)]
ValidatedFieldKey: TypeAlias = FieldKey  # the class itself takes text and parts
ValidatedFeatureKeySequence = Sequence[ValidatedFeatureKey]
ValidatedFieldKeySequence = Sequence[ValidatedFieldKey]
ValidatedFeatureKeyList = Annotated[list[str], BeforeValidator(_key_parts)]

FeatureKeyAdapter: Final[TypeAdapter[FeatureKey]] = TypeAdapter(FeatureKey)
FieldKeyAdapter: Final[TypeAdapter[FieldKey]] = TypeAdapter(FieldKey)
ValidatedFeatureKeyAdapter: Final[TypeAdapter[FeatureKey]] = TypeAdapter(ValidatedFeatureKey)
ValidatedFieldKeyAdapter: Final[TypeAdapter[FieldKey]] = FieldKeyAdapter
ValidatedFeatureKeySequenceAdapter: Final[TypeAdapter[Sequence[FeatureKey]]] = TypeAdapter(ValidatedFeatureKeySequence)
ValidatedFieldKeySequenceAdapter: Final[TypeAdapter[Sequence[FieldKey]]] = TypeAdapter(ValidatedFieldKeySequence)


def coerce_to_feature_key(value: CoercibleToFeatureKey) -> FeatureKey:
    """Return the key of anything that names a feature.

    Args:
        value: Text, parts, a key, a feature class, its spec or its definition.

    >>> coerce_to_feature_key(["video", "crop"])
    video/crop
    """
    return value if isinstance(value, FeatureKey) else ValidatedFeatureKeyAdapter.validate_python(value)
