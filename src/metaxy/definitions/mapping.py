"""Fields mappings: how a field without explicit dependencies finds its parent fields."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias, Union

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator
from typing_extensions import Self

from metaxy._old_names import with_old_names
from metaxy.definitions.keys import CoercibleToFieldKey, FieldKey
from metaxy.definitions.names import as_items


class FieldsMappingType(str, Enum):
    """The kinds of fields mappings."""

    DEFAULT = "default"
    SPECIFIC = "specific"
    ALL = "all"
    NONE = "none"


class _Mapping(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def parent_fields(self, field: FieldKey, candidates: Iterable[FieldKey]) -> tuple[FieldKey, ...]:
        """Return the fields of a parent that a field depends on, out of all fields of that parent."""
        raise NotImplementedError

    def mentioned_fields(self) -> tuple[FieldKey, ...]:
        """Return the fields of the parent that the mapping names."""
        return ()


class DefaultFieldsMapping(_Mapping):
    """Fields of the same name; all fields of the parent where no name matches.

    With ``match_suffix``, ``audio`` also matches ``left/audio``. Excluded fields never match.
    """

    type: Literal[FieldsMappingType.DEFAULT] = FieldsMappingType.DEFAULT
    match_suffix: bool = False
    exclude_fields: tuple[FieldKey, ...] = ()

    @field_validator("exclude_fields", mode="before")
    @classmethod
    def _list_fields(cls, value: Any) -> Any:
        return () if value is None else as_items(value)

    def parent_fields(self, field: FieldKey, candidates: Iterable[FieldKey]) -> tuple[FieldKey, ...]:
        """Return the fields of the same name, or all."""
        allowed = tuple(key for key in candidates if key not in self.exclude_fields)
        return tuple(key for key in allowed if self._matches(field, key)) or allowed

    def mentioned_fields(self) -> tuple[FieldKey, ...]:
        """Return the excluded fields."""
        return self.exclude_fields

    def _matches(self, field: FieldKey, candidate: FieldKey) -> bool:
        return candidate == field or (self.match_suffix and candidate.parts[-len(field) :] == field.parts)


class SpecificFieldsMapping(_Mapping):
    """Exactly the listed parent fields of each listed field, nothing for other fields."""

    type: Literal[FieldsMappingType.SPECIFIC] = FieldsMappingType.SPECIFIC
    mapping: dict[FieldKey, frozenset[FieldKey]]

    @field_validator("mapping", mode="before")
    @classmethod
    def _list_fields(cls, value: Any) -> Any:
        return {k: as_items(v) for k, v in value.items()} if isinstance(value, Mapping) else value

    @field_serializer("mapping")
    def _as_parts(self, mapping: dict[FieldKey, frozenset[FieldKey]]) -> dict[str, list[list[str]]]:
        return {str(key): [list(parent) for parent in sorted(parents)] for key, parents in mapping.items()}

    def parent_fields(self, field: FieldKey, candidates: Iterable[FieldKey]) -> tuple[FieldKey, ...]:
        """Return the listed fields that the parent has."""
        listed = self.mapping.get(field, frozenset())
        return tuple(key for key in candidates if key in listed)

    def mentioned_fields(self) -> tuple[FieldKey, ...]:
        """Return all fields on the parent's side."""
        return tuple(sorted({key for parents in self.mapping.values() for key in parents}))


class AllFieldsMapping(_Mapping):
    """Every field of the parent."""

    type: Literal[FieldsMappingType.ALL] = FieldsMappingType.ALL

    def parent_fields(self, field: FieldKey, candidates: Iterable[FieldKey]) -> tuple[FieldKey, ...]:  # noqa: ARG002
        """Return all fields."""
        return tuple(candidates)


class NoneFieldsMapping(_Mapping):
    """No field of the parent."""

    type: Literal[FieldsMappingType.NONE] = FieldsMappingType.NONE

    def parent_fields(self, field: FieldKey, candidates: Iterable[FieldKey]) -> tuple[FieldKey, ...]:  # noqa: ARG002
        """Return nothing."""
        return ()


AnyFieldsMapping: TypeAlias = Annotated[
    Union[DefaultFieldsMapping, SpecificFieldsMapping, AllFieldsMapping, NoneFieldsMapping], Field(discriminator="type")
]


@with_old_names
class FieldsMapping(BaseModel):
    """How fields find the parent fields that they depend on; made by its class methods.

    >>> FieldsMapping.default(exclude_fields=["thumbnail"]).mapping.exclude_fields
    (thumbnail,)
    >>> FieldsMapping.specific({"text": {"audio", "subtitles"}}).model_dump()["mapping"]["mapping"]
    {'text': [['audio'], ['subtitles']]}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mapping: AnyFieldsMapping

    @classmethod
    def default(
        cls, *, match_suffix: bool = False, exclude_fields: Iterable[CoercibleToFieldKey] | None = None
    ) -> Self:
        """Take fields of the same name, or all where no name matches.

        Args:
            match_suffix: Also match parent fields that end with the parts of the field.
            exclude_fields: Parent fields that are never taken.
        """
        given = {"match_suffix": match_suffix, "exclude_fields": exclude_fields}
        return cls(mapping=DefaultFieldsMapping.model_validate(given))

    @classmethod
    def specific(cls, mapping: Mapping[Any, Iterable[CoercibleToFieldKey]]) -> Self:
        """Take the listed parent fields of each field.

        Args:
            mapping: Field of the feature to fields of the parent.
        """
        return cls(mapping=SpecificFieldsMapping.model_validate({"mapping": mapping}))

    @classmethod
    def all(cls) -> Self:
        """Take every field of the parent."""
        return cls(mapping=AllFieldsMapping())

    @classmethod
    def none(cls) -> Self:
        """Take no field of the parent."""
        return cls(mapping=NoneFieldsMapping())
