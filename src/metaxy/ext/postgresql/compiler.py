"""What Ibis is taught about PostgreSQL."""

from typing import Any

import ibis.backends.sql.compilers as compilers
import ibis.expr.datatypes as dt
import ibis.expr.schema as sch
import sqlglot.expressions as sge
from ibis.backends.postgres import Backend

from metaxy.errors import MetadataSchemaError
from metaxy.ext.ibis.compiling import narwhals_types
from metaxy.ext.ibis.fetching import Fetching
from metaxy.ext.postgresql.columns import sql_type


class _Compiler(compilers.PostgresCompiler):  # type: ignore[misc] # Ibis has no types
    __slots__ = ()

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802 - as Ibis calls it
        if op.arg.dtype.is_boolean() and to.is_integer():
            arg = self.cast(arg, dt.int32)  # the only integers that it casts truth to
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802
        if dtype.is_binary():
            return self.f.decode(value.hex(), "hex")
        if dtype.is_string() and "\0" in value:
            raise MetadataSchemaError(f"a filter looks for {value!r}, but no text of PostgreSQL holds a NUL character")
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:  # noqa: N802
        """Read a member of a struct that is JSON."""
        if op.dtype.is_nested():
            return self.f.jsonb_extract_path(arg, field)
        text = self.f.jsonb_extract_path_text(arg, field)
        if op.dtype.is_string():
            return text
        if op.dtype.is_binary():
            return self.f.decode(text, "base64")
        kind = sql_type(narwhals_types(sch.Schema({"c": op.dtype}))["c"])
        return sge.Cast(this=text, to=sge.DataType.build(kind, dialect="postgres"))


class PostgreSQLBackend(Fetching, Backend):  # type: ignore[misc] # Ibis has no types
    """The Ibis backend of a store."""

    compiler = _Compiler()
