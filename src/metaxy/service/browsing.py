"""The rows of a feature page by page, and the statistics of its columns, as JSON holds them exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw

from metaxy.columns import is_system_column
from metaxy.errors import RequestError
from metaxy.service.exact_values import Exact, exact_rows
from metaxy.service.project import Project
from metaxy.store.request import as_filters
from metaxy.versioning.frames import collect_to_polars, sliced

COLUMNS: Final = 100  # that are counted in one statement: databases limit what it may return
UNORDERED: Final = (nw.Boolean, nw.Binary, nw.Object, nw.Unknown)
COUNTS: Final[tuple[str, ...]] = ("nulls", "distinct", "nans")


@dataclass(frozen=True)
class PageColumn:
    """A column: its name, its type as the store shows it, and whether it is one of Metaxy's own."""

    name: str
    type: str
    is_system: bool


@dataclass(frozen=True)
class Page:
    """Some rows in the order of their columns, and whether there are more; of values see `exact_values.exact_rows`."""

    columns: Sequence[PageColumn]
    rows: Sequence[Sequence[Exact]]
    more: bool


def page(
    project: Project,
    feature: str,
    *,
    store: str | None = None,
    limit: int = 100,
    offset: int = 0,
    filters: Sequence[str] = (),
    system_columns: bool = False,
    columns: Sequence[str] | None = None,
) -> Page:
    """Return latest rows of a feature, in the order of their IDs: ``limit`` of them after the first ``offset``.

    IDs come first; ``columns`` takes only these. All is done where the rows are, and only what is shown is read.

    Raises:
        RequestError: if a number is negative.
        FilterParseError: if a text is no filter.
        MetadataSchemaError: if a column does not exist.
        FeatureNotFoundError: if the feature has no table.
    """
    if limit < 0 or offset < 0:
        raise RequestError("USAGE_ERROR", f"limit and offset are at least 0, not {limit} and {offset}", kind="request")
    [key] = project.keys([feature])
    ids = project.graph.get_feature_definition(key).spec.id_columns
    wanted = None if columns is None else list(dict.fromkeys([*columns, *ids]))
    conditions = as_filters(filters)
    with project.store(store) as opened:
        frame = opened.read(key, filters=conditions, columns=wanted)
        names = columns or shown_columns(frame.columns, ids, system_columns=system_columns)
        return page_of(frame, names, ids, limit, offset)


def shown_columns(columns: Sequence[str], ids: Sequence[str], *, system_columns: bool) -> list[str]:
    """Return the columns of a table, IDs first; those of Metaxy only if asked."""
    rest = (name for name in columns if system_columns or not is_system_column(name))
    return list(dict.fromkeys([*ids, *rest]))


def page_of(frame: nw.LazyFrame[Any], names: Sequence[str], order: Sequence[str], limit: int, offset: int = 0) -> Page:
    """Return some columns of some rows of a frame, in an order that others give; all is done where the rows are."""
    schema = frame.collect_schema()
    ordered = frame.select(*dict.fromkeys([*names, *order])).sort(*order)
    found = collect_to_polars(sliced(ordered, offset, limit + 1)).select(names)
    shown = [PageColumn(name, str(schema[name]), is_system_column(name)) for name in names]
    return Page(shown, exact_rows(found.head(limit)), found.height > limit)


@dataclass(frozen=True)
class ColumnStatistics:
    """What the latest rows have in a column.

    ``distinct`` values are None where values of the type cannot be compared, ``least`` and ``greatest`` where they have
    no order, ``mean`` where they are no numbers, and the three latter where there are none. NULL is no value here, nor
    is NaN, which ``nans`` counts.
    """

    name: str
    type: str
    is_system: bool
    nulls: int
    distinct: int | None = None
    nans: int | None = None
    least: Exact = None
    greatest: Exact = None
    mean: Exact = None


@dataclass(frozen=True)
class TableStatistics:
    """How many latest rows a feature has, and what they have in each column."""

    rows: int
    columns: Sequence[ColumnStatistics]


def column_statistics(
    project: Project,
    feature: str,
    *,
    store: str | None = None,
    filters: Sequence[str] = (),
    system_columns: bool = False,
) -> TableStatistics:
    """Count what the latest rows of a feature have in each column: in the store, in one statement per 100 columns.

    Raises:
        FilterParseError: if a text is no filter.
        FeatureNotFoundError: if the feature has no table.
    """
    [key] = project.keys([feature])
    ids = project.graph.get_feature_definition(key).spec.id_columns
    conditions = as_filters(filters)
    with project.store(store) as opened:
        frame = opened.read(key, filters=conditions)
        schema = frame.collect_schema()
        names = shown_columns(list(schema), ids, system_columns=system_columns)
        parts = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]
        found = [_counted(frame, {name: schema[name] for name in part}) for part in parts]
    columns = [_statistics(name, schema[name], dict(values)) for _, part in found for name, values in part]
    return TableStatistics(found[0][0], columns)


def _counted(
    frame: nw.LazyFrame[Any], types: dict[str, nw.dtypes.DType]
) -> tuple[int, list[tuple[str, list[tuple[str, Exact]]]]]:
    """Count rows, and what some columns have."""
    asked = [(name, measure, expr) for name, dtype in types.items() for measure, expr in _measures(name, dtype)]
    counts = collect_to_polars(
        frame.select(nw.len().alias("n"), *(expr.alias(f"m{n}") for n, (_, _, expr) in enumerate(asked)))
    )
    [[rows, *values]] = exact_rows(counts)
    told: dict[str, list[tuple[str, Exact]]] = {}
    for (name, measure, _), value in zip(asked, values, strict=True):
        told.setdefault(name, []).append((measure, value))
    assert isinstance(rows, int)  # noqa: S101 - it is a count
    return rows, list(told.items())


def _measures(name: str, dtype: nw.dtypes.DType) -> Iterator[tuple[str, nw.Expr]]:
    """Write what is asked of a column; of floats, what is asked of those that are numbers."""
    column = nw.col(name)
    yield "nulls", column.is_null().sum()
    if dtype.is_nested() or isinstance(dtype, (nw.Object, nw.Unknown)):
        return
    if dtype.is_float():
        yield "nans", column.is_nan().sum()
        column = nw.when(~column.is_nan()).then(column)
    yield "distinct", column.n_unique()
    yield "has_null", column.is_null().any()
    if not isinstance(dtype, UNORDERED):
        yield "least", column.min()
        yield "greatest", column.max()
    if dtype.is_numeric():
        yield "mean", column.cast(nw.Float64()).mean()


def _statistics(name: str, dtype: nw.dtypes.DType, values: dict[str, Any]) -> ColumnStatistics:
    has_null = values.pop("has_null", None)  # as NULL is a distinct value of Narwhals
    counts = {count: int(values[count] or 0) for count in COUNTS if count in values}  # some databases sum to decimals
    if "distinct" in counts:
        counts["distinct"] -= bool(has_null)
    values.update(counts)
    return ColumnStatistics(name, str(dtype), is_system_column(name), **values)
