"""PostgreSQL's SQL beyond what Ibis writes: texts do not depend on the locale of the database."""

from typing import Any

import ibis.backends.sql.compilers as compilers
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import sqlglot.expressions as sge
from ibis.backends.postgres import Backend

from metaxy.errors import MetadataSchemaError
from metaxy.ext.ibis.compiling import narwhals_types
from metaxy.ext.ibis.fetching import Fetching
from metaxy.ext.postgresql.types import sql_type

BY_BYTES = "C"
# Those that know the case of all letters: of servers from version 18 on, and of those that were built with ICU.
OF_UNICODE = ("pg_unicode_fast", "und-x-icu")
ORDERING = (ops.Between, ops.Greater, ops.GreaterEqual, ops.Greatest, ops.Least, ops.Less, ops.LessEqual)


class _Compiler(compilers.PostgresCompiler):  # type: ignore[misc] # Ibis has no types
    __slots__ = ("of_unicode",)

    def __init__(self) -> None:
        super().__init__()
        self.of_unicode: str | None = None  # one of OF_UNICODE, which the server must have

    def to_sqlglot(self, expr: Any, **options: Any) -> Any:
        """Write an expression; maps stay JSON, of which Ibis would make text."""
        return super(compilers.PostgresCompiler, self).to_sqlglot(expr, **options)

    def visit_node(self, op: Any, **kwargs: Any) -> Any:
        """Write an operation; text is ordered by bytes."""
        if isinstance(op, ORDERING):
            kwargs = {name: _by_bytes(getattr(op, name), written) for name, written in kwargs.items()}
        return super().visit_node(op, **kwargs)

    def visit_Lowercase(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002 - as Ibis calls it
        return self._cased("lower", arg)

    def visit_Uppercase(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self._cased("upper", arg)

    def _cased(self, function: str, text: Any) -> Any:
        if self.of_unicode is None:
            raise MetadataSchemaError(
                f"this server cannot {function} text as other stores do, as it has none of the collations "
                f"{', '.join(OF_UNICODE)}; use PostgreSQL 18, or one built with ICU"
            )
        return _collated(self.f[function](_collated(text, self.of_unicode)), BY_BYTES)

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802
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
        """Read a member of a struct that is JSON, also of columns whose type is json."""
        arg = self.cast(arg, dt.JSON(binary=True))
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


def _by_bytes(given: Any, written: Any) -> Any:
    if isinstance(given, tuple):
        return tuple(_by_bytes(*pair) for pair in zip(given, written, strict=True))
    return _collated(written, BY_BYTES) if given.dtype.is_string() else written


def _collated(text: Any, collation: str) -> Any:
    return sge.paren(sge.Collate(this=text, expression=sge.to_identifier(collation, quoted=True)))
