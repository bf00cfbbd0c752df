"""Functions of metaxy 0.1 that need Ibis: filters as SQL, and types."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import ibis
import ibis.expr.datatypes as dt
import narwhals as nw
import polars as pl
import sqlglot
import sqlglot.expressions as exp

from metaxy.errors import MetadataSchemaError
from metaxy.ext.ibis.compiling import ibis_schema
from metaxy.masking import mask_text
from metaxy.storage.nested_types import with_leaves

Transform = Callable[[exp.Expression], exp.Expression]
TABLE = "_metaxy_temp"


def ibis_type_to_polars(store: Any, ibis_type: dt.DataType) -> Any:  # noqa: ARG001 - was a method
    """Return the Polars type for a type of Ibis; what Polars lacks is text.

    >>> ibis_type_to_polars(None, dt.Array(dt.uuid)), ibis_type_to_polars(None, dt.float16)
    (List(String), Float32)
    """
    if ibis_type.is_float16():
        return pl.Float32()
    known: Any = nw.from_native(ibis.table({"c": ibis_type}, name=TABLE)).collect_schema().to_polars()["c"]
    return with_leaves(known, lambda dtype: pl.String() if dtype == pl.Unknown() else dtype)


def generate_sql(narwhals_function: Callable[[Any], Any], schema: nw.Schema, *, dialect: str) -> str:
    """Write what a function does to a lazy frame of a schema, as a query in a dialect of SQL."""
    table = nw.from_native(ibis.table(ibis_schema(schema), name=TABLE))
    changed = narwhals_function(table).to_native()
    return sqlglot.transpile(ibis.to_sql(changed, dialect="duckdb"), read="duckdb", write=dialect, pretty=True)[0]


def narwhals_expr_to_sql_predicate(
    filters: nw.Expr | Sequence[nw.Expr],
    schema: nw.Schema,
    *,
    dialect: str,
    extra_transforms: Transform | Sequence[Transform] | None = None,
) -> str:
    """Write conditions as what stands behind ``WHERE``, in a dialect of SQL.

    Raises:
        MetadataSchemaError: if there is no condition, or it cannot be written as one (both are ValueErrors).

    >>> narwhals_expr_to_sql_predicate(nw.col("a") > 1, nw.Schema({"a": nw.Int64()}), dialect="duckdb")
    '"a" > 1'
    """
    conditions = [filters] if isinstance(filters, nw.Expr) else list(filters)
    if not conditions:
        raise MetadataSchemaError("narwhals_expr_to_sql_predicate needs at least one filter")
    query = sqlglot.parse_one(generate_sql(lambda t: t.filter(*conditions), schema, dialect=dialect), read=dialect)
    where = query.args.get("where")
    if where is None or query.find(exp.Subquery):
        raise MetadataSchemaError("these filters are no single condition on one table; filter by plain columns")
    given = extra_transforms or ()
    condition: exp.Expression = where.this
    for transform in (_without_table, *((given,) if callable(given) else given)):
        condition = condition.transform(transform)
    return condition.sql(dialect=dialect)


def _without_table(node: exp.Expression) -> exp.Expression:
    return exp.column(node.this.copy()) if isinstance(node, exp.Column) and node.table else node


def unquote_identifiers() -> Transform:
    """Return a transformation that takes the quotes off all names."""

    def unquote(node: exp.Expression) -> exp.Expression:
        return exp.to_identifier(node.name, quoted=False) if isinstance(node, exp.Identifier) else node

    return unquote


def empty_frame_like(ref_frame: Any) -> Any:
    """Return the frame without its rows."""
    return ref_frame.head(0)


def is_local_path(path: str) -> bool:
    """Return whether a path is one of this machine.

    >>> is_local_path("a/b"), is_local_path("file:///a"), is_local_path("s3://bucket/a")
    (True, True, False)
    """
    return "://" not in path or path.startswith(("file://", "local://"))


def sanitize_uri(uri: str) -> str:
    """Hide user and password of an address.

    >>> sanitize_uri("postgresql://me:hunter2@host/db")
    'postgresql://***:***@host/db'
    """
    if urlsplit(uri).username is None:
        return mask_text(uri)
    scheme, _, rest = uri.partition("://")
    return mask_text(f"{scheme}://***:***@{rest.rpartition('@')[2]}")
