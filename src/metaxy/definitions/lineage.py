"""Lineage: how many rows of a parent belong to how many rows of the feature.

Column names in ``on`` are those after the dependency's renames.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Literal, TypeAlias, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from typing_extensions import Self

from metaxy.definitions.names import ColumnNames, repeated
from metaxy.definitions.strictness import refuse


class LineageRelationshipType(str, Enum):
    """The kinds of lineage: parent rows to rows of the feature."""

    IDENTITY = "1:1"
    AGGREGATION = "N:1"
    EXPANSION = "1:N"


class _Relationship(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def get_aggregation_columns(self, target_id_columns: Sequence[str]) -> tuple[str, ...] | None:  # noqa: ARG002
        """Return the columns that make the groups, None where nothing is grouped."""
        return None


class IdentityRelationship(_Relationship):
    """One parent row, one row."""

    type: Literal[LineageRelationshipType.IDENTITY] = LineageRelationshipType.IDENTITY

    def input_id_columns(self, parent_ids: Sequence[str], target_ids: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002
        """Return the columns that tell the prepared rows of the parent apart: its IDs, after renames."""
        return tuple(parent_ids)


class AggregationRelationship(_Relationship):
    """Many parent rows, one row: groups of equal ``on`` values, by default the IDs of the feature."""

    type: Literal[LineageRelationshipType.AGGREGATION] = LineageRelationshipType.AGGREGATION
    on: ColumnNames | None = None

    @model_validator(mode="after")
    def _check_on(self, info: ValidationInfo) -> Self:
        if self.on is not None:
            _check_on("aggregation", self.on, info)
        return self

    def get_aggregation_columns(self, target_id_columns: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that make the groups."""
        return tuple(target_id_columns) if self.on is None else self.on

    def input_id_columns(self, parent_ids: Sequence[str], target_ids: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002
        """Return the columns that tell the groups apart."""
        return self.get_aggregation_columns(target_ids)


class ExpansionRelationship(_Relationship):
    """One parent row, many rows: all of them share the ``on`` values of their parent."""

    type: Literal[LineageRelationshipType.EXPANSION] = LineageRelationshipType.EXPANSION
    on: ColumnNames
    id_generation_pattern: str | None = None

    @model_validator(mode="after")
    def _check_on(self, info: ValidationInfo) -> Self:
        _check_on("expansion", self.on, info)
        return self

    def input_id_columns(self, parent_ids: Sequence[str], target_ids: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002
        """Return the columns that the rows share with their parent."""
        return self.on


def _check_on(kind: str, on: Sequence[str], info: ValidationInfo) -> None:
    if not on:
        refuse(f"{kind} lineage has an empty 'on': name the columns that parent and feature share", info)
    if twice := repeated(on):
        refuse(f"{kind} lineage names {', '.join(map(repr, twice))} twice in 'on'", info)


Relationship: TypeAlias = Annotated[
    Union[IdentityRelationship, AggregationRelationship, ExpansionRelationship], Field(discriminator="type")
]


class LineageRelationship(BaseModel):
    """Cardinality of a dependency; made by its class methods.

    >>> LineageRelationship.aggregation(on=["speaker"]).relationship.on
    ('speaker',)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    relationship: Relationship

    @classmethod
    def identity(cls) -> Self:
        """One parent row belongs to one row; the default."""
        return cls(relationship=IdentityRelationship())

    @classmethod
    def aggregation(cls, on: Sequence[str] | None = None) -> Self:
        """Many parent rows belong to one row.

        Args:
            on: Columns whose equal values make a group; the ID columns of the feature by default.
        """
        return cls(relationship=AggregationRelationship.model_validate({"on": on}))

    @classmethod
    def expansion(cls, on: Sequence[str], id_generation_pattern: str | None = None) -> Self:
        """One parent row belongs to many rows.

        Args:
            on: Columns of the parent that its rows share, usually the parent's ID columns.
            id_generation_pattern: A note on how the other ID values are made; only stored.
        """
        given = {"on": on, "id_generation_pattern": id_generation_pattern}
        return cls(relationship=ExpansionRelationship.model_validate(given))

    def get_aggregation_columns(self, target_id_columns: Sequence[str]) -> tuple[str, ...] | None:
        """Return the columns that make the groups of an aggregation, None for other lineage."""
        return self.relationship.get_aggregation_columns(target_id_columns)
