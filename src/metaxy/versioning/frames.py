"""Frames of users: any dataframe that Narwhals knows, in; Polars or Arrow out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source

from metaxy.errors import MetadataSchemaError

if TYPE_CHECKING:
    import pyarrow as pa

MICROSECONDS_A_DAY = 86_400_000_000
GUESSES = ("object", "float64")  # what columns of Pandas without a value are
Frame = nw.DataFrame[Any] | nw.LazyFrame[Any]


def wrapped_frame(frame: Any, what: str = "the frame") -> Frame:
    """Wrap a dataframe, lazy or eager.

    Raises:
        MetadataSchemaError: if it is no dataframe that Narwhals knows.
    """
    try:
        wrapped: Frame = nw.from_native(frame)
    except TypeError as error:
        raise MetadataSchemaError(
            f"{what} is a {type(frame).__module__}.{type(frame).__qualname__}, which is no dataframe; "
            "pass a Polars, Pandas, PyArrow, DuckDB, Ibis or Narwhals frame"
        ) from error
    return wrapped


def as_narwhals(frame: Any) -> Frame:
    """Wrap a dataframe, lazy or eager; eager ones become Polars, unless they are Arrow."""
    wrapped = wrapped_frame(frame)
    library = wrapped.implementation
    if isinstance(wrapped, nw.DataFrame) and not (library.is_polars() or library.is_pyarrow()):
        return nw.from_native(_from_pandas(wrapped))  # Pandas keeps dicts as objects, and its index is no column
    return wrapped


def _from_pandas(frame: nw.DataFrame[Any]) -> pl.DataFrame:
    """Convert to Polars; of columns without a value, objects and floats are what Pandas makes of any type."""
    rows = frame.to_polars()
    given = zip(rows.iter_columns(), frame.to_native().dtypes, strict=True)
    guessed = [c.name for c, dtype in given if str(dtype) in GUESSES and c.null_count() == rows.height]
    return rows.with_columns(pl.lit(None).alias(name) for name in guessed)


def is_in_database(frame: Frame) -> bool:
    """Return whether a frame is a query of a database, and not rows or a plan of this process.

    >>> is_in_database(nw.from_native(pl.LazyFrame({"id": ["a"]})))
    False
    """
    return isinstance(frame, nw.LazyFrame) and not frame.implementation.is_polars()


def as_lazy(frame: Frame) -> nw.LazyFrame[Any]:
    """Make a frame lazy, in its own library where that is lazy, else in Polars."""
    if isinstance(frame, nw.LazyFrame):
        return frame
    if frame.implementation.is_polars():
        return frame.lazy()
    return nw.from_native(frame.to_polars().lazy())


def to_polars_lazy(frame: Frame) -> pl.LazyFrame:
    """Make a Polars lazy frame, without reading anything if it is Polars already."""
    if frame.implementation.is_polars():
        native: pl.LazyFrame = frame.lazy().to_native()
        return native
    return collect_to_polars(frame).lazy()


def deferred_to_polars(frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return a query of a database as a Polars plan, which asks for the columns that it needs when it is collected."""
    if frame.implementation.is_polars():
        return frame

    def rows(
        columns: list[str] | None, predicate: pl.Expr | None, count: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        filtered = predicate.meta.root_names() if predicate is not None else []
        asked = frame if columns is None else frame.select(*dict.fromkeys([*columns, *filtered]))
        found = collect_to_polars(asked if count is None else asked.head(count))
        found = found if predicate is None else found.filter(predicate)
        yield found if columns is None else found.select(columns)

    return nw.from_native(register_io_source(rows, schema=frame.collect_schema().to_polars()))


def collect_to_polars(frame: Any) -> pl.DataFrame:
    """Collect any frame to Polars.

    >>> collect_to_polars(pl.LazyFrame({"id": ["a"]})).rows()
    [('a',)]
    """
    wrapped = as_narwhals(frame)
    if isinstance(wrapped, nw.DataFrame):
        return _from_arrow(wrapped.to_native()) if wrapped.implementation.is_pyarrow() else wrapped.to_polars()
    if wrapped.implementation.is_polars():
        return wrapped.collect().to_polars()
    with _unwrapped():
        if wrapped.implementation.is_duckdb():
            return _from_arrow(wrapped.collect("pyarrow").to_native())
        collected: pl.DataFrame = wrapped.collect("polars").to_native()
    return collected


def polars_chunks(frame: nw.LazyFrame[Any], rows: int, *, in_order: bool = True) -> Iterator[pl.DataFrame]:
    """Collect a lazy frame to Polars, about so many rows at a time where its library can hand over parts.

    >>> [len(chunk) for chunk in polars_chunks(nw.from_native(pl.LazyFrame({"id": range(5)})), 2)]
    [2, 2, 1]
    """
    if frame.implementation.is_polars():
        yield from frame.to_native().collect_batches(chunk_size=rows, engine="streaming", maintain_order=in_order)
    elif frame.implementation.is_duckdb():
        import pyarrow as pa

        for batch in frame.to_native().to_arrow_reader(rows):
            yield _from_arrow(pa.Table.from_batches([batch]))
    elif frame.implementation.is_ibis() and hasattr(backend := frame.to_native().get_backend(), "to_polars_pieces"):
        yield from backend.to_polars_pieces(frame.to_native(), rows)
    else:
        yield from collect_to_polars(frame).iter_slices(rows)


def sliced(frame: nw.LazyFrame[Any], offset: int, count: int) -> nw.LazyFrame[Any]:
    """Return so many rows after the first ones, in the order that the frame has.

    >>> sliced(nw.from_native(pl.LazyFrame({"id": range(5)})), 3, 5).collect()["id"].to_list()
    [3, 4]
    """
    if not offset:
        return frame.head(count)
    native: Any = frame.to_native()
    cut = native.slice(offset, count) if frame.implementation.is_polars() else native.limit(count, offset=offset)
    rows: nw.LazyFrame[Any] = nw.from_native(cut)
    return rows


def count_lazy_rows(lazy_frame: nw.LazyFrame[Any]) -> int:
    """Return the number of rows of a lazy frame, counted where it lives."""
    return int(collect_to_polars(lazy_frame.select(nw.len())).item())


def _from_arrow(table: "pa.Table") -> pl.DataFrame:
    table = with_durations(table)
    for column in table.schema:
        if "interval" in str(column.type):
            raise MetadataSchemaError(
                f"column {column.name!r} holds intervals with months, which have no fixed length; cast it to text"
            )
    frame = pl.from_arrow(table)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def with_durations(table: "pa.Table") -> "pa.Table":
    """Turn intervals, as which DuckDB gives durations, into durations, which Polars knows; months stay intervals.

    Columns in: any. Columns out: the same ones, intervals of days and nanoseconds as durations in microseconds, also
    those in lists, structs and maps.
    """
    import pyarrow as pa

    for index, column in enumerate(table.schema):
        wanted = with_arrow_leaves(column.type, _with_duration)
        if wanted != column.type:
            with suppress(_HasMonthsError):
                spans = [_span(value) for value in table[index].to_pylist()]
                table = table.set_column(index, column.name, pa.array(spans, wanted))
    return table


class _HasMonthsError(Exception):
    """An interval has months, which have no fixed length."""


def with_arrow_leaves(dtype: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return an Arrow type with other types in place of its flat ones."""
    import pyarrow as pa

    if pa.types.is_struct(dtype):
        return pa.struct([field.with_type(with_arrow_leaves(field.type, leaf)) for field in dtype.fields])
    if pa.types.is_map(dtype):
        return pa.map_(with_arrow_leaves(dtype.key_type, leaf), with_arrow_leaves(dtype.item_type, leaf))
    lists = ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list))
    for is_list, list_of in lists:
        if is_list(dtype):
            return list_of(dtype.value_field.with_type(with_arrow_leaves(dtype.value_type, leaf)))
    if pa.types.is_fixed_size_list(dtype):
        return pa.list_(dtype.value_field.with_type(with_arrow_leaves(dtype.value_type, leaf)), dtype.list_size)
    return leaf(dtype)


def _with_duration(dtype: Any) -> Any:
    import pyarrow as pa

    return pa.duration("us") if pa.types.is_interval(dtype) else dtype


def _span(value: Any) -> Any:
    """Turn the intervals in a value into microseconds."""
    if hasattr(value, "nanoseconds"):
        if value.months:
            raise _HasMonthsError
        return value.days * MICROSECONDS_A_DAY + value.nanoseconds // 1000
    if isinstance(value, dict):
        return {name: _span(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_span(inner) for inner in value)
    return value


def collect_to_arrow(frame: Any) -> "pa.Table":
    """Collect any frame to an Arrow table.

    >>> collect_to_arrow(pl.DataFrame({"id": ["a"]})).num_rows
    1
    """
    wrapped = as_narwhals(frame)
    with _unwrapped():
        return wrapped.to_arrow() if isinstance(wrapped, nw.DataFrame) else wrapped.collect("pyarrow").to_native()


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Let Ctrl-C be what it is; some libraries make another error of it."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
