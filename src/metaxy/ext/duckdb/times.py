"""Times of the day in microseconds, which DuckDB can compare and Narwhals knows; in Polars they have nanoseconds."""

from typing import TYPE_CHECKING, Any

from metaxy.errors import MetadataSchemaError

if TYPE_CHECKING:
    import pyarrow as pa


def with_microseconds(table: "pa.Table") -> "pa.Table":
    """Cast times of the day, also inside of lists and structs. Columns in: any. Columns out: the same ones.

    Raises:
        MetadataSchemaError: naming the column, if one holds a part of a microsecond.
    """
    import pyarrow as pa

    if "time64[ns]" not in str(table.schema):
        return table
    for index, column in enumerate(table.schema):
        dtype = _in_microseconds(column.type)
        if dtype == column.type:
            continue
        try:
            table = table.set_column(index, column.name, table.column(index).cast(dtype))
        except pa.ArrowInvalid as error:
            raise MetadataSchemaError(
                f"column {column.name!r} holds times of the day with nanoseconds, and DuckDB keeps microseconds; "
                "round them, or cast the column to text"
            ) from error
    return table


def _in_microseconds(dtype: Any) -> Any:
    import pyarrow as pa

    if isinstance(dtype, pa.StructType):
        return pa.struct([member.with_type(_in_microseconds(member.type)) for member in dtype])
    if isinstance(dtype, pa.MapType):
        return pa.map_(_in_microseconds(dtype.key_type), _in_microseconds(dtype.item_type))
    if isinstance(dtype, pa.FixedSizeListType):
        return pa.list_(_in_microseconds(dtype.value_type), dtype.list_size)
    if isinstance(dtype, (pa.ListType, pa.LargeListType)):
        return pa.large_list(_in_microseconds(dtype.value_type))
    return pa.time64("us") if dtype == pa.time64("ns") else dtype
