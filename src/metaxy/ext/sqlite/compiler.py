"""What Ibis is taught about SQLite: times are microseconds, structs are JSON."""

from collections.abc import Sequence
from typing import Any

import ibis.backends.sql.compilers as compilers
import sqlglot.expressions as sge
from ibis.backends.sqlite import Backend

from metaxy.errors import MetadataSchemaError
from metaxy.ext.ibis.fetching import Fetching
from metaxy.ext.sqlite.functions import micros
from metaxy.ext.sqlite.members import read_member

MICROS = 1_000_000


class _Compiler(compilers.SQLiteCompiler):  # type: ignore[misc] # Ibis has no types
    """Ibis keeps times as text; here they are microseconds."""

    __slots__ = ()

    def visit_node(self, op: Any, **kwargs: Any) -> Any:
        """Give the functions of Ibis that take times apart the text that they expect."""
        kind, argument = type(op).__name__, getattr(op, "arg", None)
        apart = kind.startswith(("Extract", "Strftime", "DayOfWeek")) or kind in ("Date", "Time", "TimestampTruncate")
        if not (apart and argument is not None and argument.dtype.is_timestamp()):
            return super().visit_node(op, **kwargs)
        done = super().visit_node(op, **{**kwargs, "arg": self.f.anon.mx_time_text(kwargs["arg"])})
        return self.f.anon.mx_micros(done) if op.dtype.is_timestamp() else done

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802 - as Ibis calls it
        if dtype.is_timestamp():
            return sge.convert(micros(value))
        if dtype.is_string() and "\0" in value:  # where the text of a query would end
            return self.cast(sge.HexString(this=value.encode().hex()), dtype)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802
        given = op.arg.dtype
        if to.is_timestamp():
            return arg if given.is_timestamp() else self.f.anon.mx_micros(arg)
        if given.is_timestamp() and (to.is_string() or to.is_date()):
            text = self.f.anon.mx_time_text(arg)
            return text if to.is_string() else self.f.anon.substr(text, 1, 10)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_Greatest(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self._extreme("max", arg)

    def visit_Least(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self._extreme("min", arg)

    def _extreme(self, function: str, values: Sequence[Any]) -> Any:
        """Compare values; NULLs do not count, as elsewhere."""
        filled = [self.f.coalesce(value, *(v for v in values if v is not value)) for value in values]
        return self.f.anon[function](*filled)

    def visit_TimestampAdd(self, op: Any, *, left: Any, right: Any) -> Any:  # noqa: N802
        return left + self._span(op, right)

    def visit_TimestampSub(self, op: Any, *, left: Any, right: Any) -> Any:  # noqa: N802
        return left - self._span(op, right)

    def _span(self, op: Any, right: Any) -> Any:
        sizes = {"W": 604_800 * MICROS, "D": 86_400 * MICROS, "h": 3_600 * MICROS, "m": 60 * MICROS, "s": MICROS}
        size = {**sizes, "ms": 1_000, "us": 1}.get(op.right.dtype.unit.short)
        if size is None:
            raise MetadataSchemaError(f"SQLite cannot add {op.right.dtype.unit.plural} to a time; use days or less")
        return sge.Mul(this=right, expression=sge.convert(size))

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:  # noqa: N802, ARG002
        return read_member(arg, field)


class SQLiteBackend(Fetching, Backend):  # type: ignore[misc] # Ibis has no types
    """The Ibis backend of a store."""

    compiler = _Compiler()
