"""Dependencies: what a feature reads from a parent feature, and how."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from typing_extensions import Self

from metaxy.columns import is_system_column
from metaxy.definitions.filters import check_filter, parse_filter_string
from metaxy.definitions.keys import CoercibleToFeatureKey, ValidatedFeatureKey
from metaxy.definitions.lineage import LineageRelationship, LineageRelationshipType
from metaxy.definitions.mapping import FieldsMapping
from metaxy.definitions.names import ColumnNames, repeated
from metaxy.definitions.strictness import refuse
from metaxy.errors import DefinitionError, FilterParseError

if TYPE_CHECKING:
    import narwhals as nw

FeatureDepMetadata: TypeAlias = dict[str, Any]


class FeatureDep(BaseModel):
    """Dependency of a feature on a parent: which rows and columns of it are used, under which names.

    To the rows of the parent are applied, in this order: ``rename``, ``filters``, ``select``, ``lineage``.

    >>> dep = FeatureDep(feature="video/raw", rename={"path": "video_path"}, filters=["height >= 720"])
    >>> dep.feature, dep.sql_filters, dep.optional
    (video/raw, ('height >= 720',), False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: ValidatedFeatureKey
    select: ColumnNames | None = None
    rename: dict[str, str] | None = None
    fields_mapping: FieldsMapping = FieldsMapping.default()
    sql_filters: ColumnNames | None = Field(
        default=None, validation_alias=AliasChoices("filters", "sql_filters"), serialization_alias="filters"
    )
    lineage: LineageRelationship = LineageRelationship.identity()
    optional: bool = False

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            feature: CoercibleToFeatureKey,
            select: Sequence[str] | None = None,
            rename: Mapping[str, str] | None = None,
            fields_mapping: FieldsMapping = ...,
            filters: Iterable[str] | None = None,
            sql_filters: Iterable[str] | None = None,
            lineage: LineageRelationship = ...,
            optional: bool = False,
        ) -> None: ...

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        rename = self.rename or {}
        gone = set(rename) - set(rename.values())
        if lost := [name for name in self.select or () if name in gone]:
            new = ", ".join(repr(rename[name]) for name in lost)
            raise DefinitionError(
                f"dependency on '{self.feature}' selects {', '.join(map(repr, lost))}, which it renames: "
                f"select the new name instead, {new}"
            )
        for problem in self._problems(rename):
            refuse(f"dependency on '{self.feature}' {problem}", info)
        return self

    def _problems(self, rename: dict[str, str]) -> Iterator[str]:
        for old, new in rename.items():
            if is_system_column(new) or is_system_column(old):
                yield f"renames {old!r} to {new!r}: system columns of Metaxy keep their names; choose another column"
        for new in repeated(rename.values()):
            yield f"renames several columns to {new!r}: give each a name of its own"
        for name in repeated(self.select or ()):
            yield f"selects {name!r} twice"
        for text in self.sql_filters or ():
            yield from _filter_problems(text)

    @property
    def filters(self) -> "tuple[nw.Expr, ...]":
        """The filters as Narwhals expressions."""
        return tuple(parse_filter_string(text) for text in self.sql_filters or ())

    @property
    def aggregates(self) -> bool:
        """Whether many rows of the parent make one of the feature."""
        return self.lineage.relationship.type is LineageRelationshipType.AGGREGATION

    @property
    def expands(self) -> bool:
        """Whether one row of the parent makes many of the feature."""
        return self.lineage.relationship.type is LineageRelationshipType.EXPANSION

    def renamed(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the names that columns of the parent have after the renames.

        >>> FeatureDep(feature="video", rename={"id": "video_id"}).renamed(["id", "path"])
        ('video_id', 'path')
        """
        rename = self.rename or {}
        return tuple(rename.get(column, column) for column in columns)

    def table_name(self) -> str:
        """Return the table name of the parent."""
        return self.feature.table_name


def _filter_problems(text: str) -> Iterator[str]:
    try:
        check_filter(text)
    except FilterParseError as error:
        yield f"has a bad filter: {error}"
