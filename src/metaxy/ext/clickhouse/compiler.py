"""ClickHouse's SQL beyond what Ibis writes: texts are not ASCII only, days are of any year, structs are JSON."""

from datetime import datetime, timedelta, timezone
from typing import Any

import ibis.backends.sql.compilers as compilers
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.clickhouse import Backend

from metaxy.columns import BY_FIELD_COLUMNS
from metaxy.errors import MetadataSchemaError
from metaxy.ext.clickhouse.types import DATES, text_of_time
from metaxy.ext.ibis.fetching import Fetching

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SUBSECONDS = {"ms": "toIntervalMillisecond", "us": "toIntervalMicrosecond", "ns": "toIntervalNanosecond"}
# Ibis counts the bytes of texts and knows the case of ASCII only, and takes days as those of 1970 to 2149.
FUNCTIONS = {
    ops.Date: "toDate32",
    ops.Lowercase: "lowerUTF8",
    ops.Reverse: "reverseUTF8",
    ops.StrRight: "rightUTF8",
    ops.StringLength: "lengthUTF8",
    ops.Uppercase: "upperUTF8",
}
# What wraps around at the end of 64 bits.
WRAPPING = (ops.Abs, ops.Add, ops.Multiply, ops.Negate, ops.Subtract)


def _has_64_bits(value: Any) -> bool:
    return bool(value.dtype.is_int64() or value.dtype.is_uint64())


def _is_in_tuple(value: Any) -> bool:
    """Return whether a value is a member of a tuple, whose lists are no JSON; tuples cannot be NULL."""
    return isinstance(value, ops.StructField) and (not value.arg.dtype.nullable or _is_in_tuple(value.arg))


class _Compiler(compilers.ClickHouseCompiler):  # type: ignore[misc] # Ibis has no types
    __slots__ = ()
    SIMPLE_OPS = FUNCTIONS

    def to_sqlglot(self, expr: Any, **options: Any) -> Any:
        """Escape what names may hold; the generator only looks after their quotes."""
        query = super().to_sqlglot(expr, **options)
        for name in {id(node): node for node in query.find_all(sge.Identifier)}.values():  # some occur twice
            name.set("this", name.this.replace("\\", "\\\\"))
        return query

    def visit_node(self, op: Any, **kwargs: Any) -> Any:
        """Write an operation; lists are JSON, whose characters Ibis would take for their values."""
        if type(op).__module__ == ops.ArrayLength.__module__ and not _is_in_tuple(op.args[0]):
            raise MetadataSchemaError(
                "ClickHouse keeps lists as text, and a filter cannot look into them; collect the rows, then filter"
            )
        if isinstance(op, WRAPPING) and op.dtype.is_integer() and any(map(_has_64_bits, op.args)):
            kwargs = {name: self.f.toInt128(value) for name, value in kwargs.items()}
        return super().visit_node(op, **kwargs)

    def whole_quotient(self, left: Any, right: Any) -> Any:
        """Divide integers, without what is left over."""
        return self.f.intDiv(left, right)

    # -- times, which may lie before 1970, where ClickHouse counts towards it ------------------------------------------

    def visit_ExtractMicrosecond(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
        micros = self.f.toUnixTimestamp64Micro(self._moment(arg))
        return self.cast(self.f.positiveModulo(micros, 1_000_000), op.dtype)

    def visit_ExtractMillisecond(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
        return self.cast(self.f.intDiv(self.visit_ExtractMicrosecond(op, arg=arg), 1_000), op.dtype)

    def visit_TimestampTruncate(self, op: Any, *, arg: Any, unit: Any) -> Any:  # noqa: N802, ARG002
        start = self._in_seconds(arg, unit)
        return start if unit.short == "s" else self._moment(self.f.anon.dateTrunc(unit.singular, start, "UTC"))

    def visit_TimestampBucket(self, op: Any, *, arg: Any, interval: Any, offset: Any) -> Any:  # noqa: N802
        seconds = self._in_seconds(arg, op.interval.dtype.unit)
        return self._moment(super().visit_TimestampBucket(op, arg=seconds, interval=interval, offset=offset))

    def _in_seconds(self, moment: Any, unit: Any) -> Any:
        return moment if unit.short in SUBSECONDS else self.f.anon.toStartOfSecond(self._moment(moment))

    def _moment(self, moment: Any) -> Any:
        return self.f.toDateTime64(moment, 6, "UTC")

    # -- others --------------------------------------------------------------------------------------------------------

    def visit_Substring(self, _: Any, *, arg: Any, start: Any, length: Any) -> Any:  # noqa: N802 - as Ibis calls it
        start, length = (part and self.f.toInt64(part) for part in (start, length))  # not of 128 bits
        first = self.if_(start >= 0, start + 1, start + 1 + self.f.lengthUTF8(arg))
        return self.f.substringUTF8(arg, first, *([] if length is None else [length]))

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802
        if op.arg.dtype.is_floating() and to.is_integer():  # other casts see NaN and infinity behind a NULL, too
            return self.f.accurateCastOrNull(arg, self.type_mapper.to_string(to.copy(nullable=False)))
        return self.f.toDate32(arg) if to.is_date() else super().visit_Cast(op, arg=arg, to=to)

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802
        if dtype.is_interval() and dtype.unit.short in SUBSECONDS:
            return self.f[SUBSECONDS[dtype.unit.short]](value)
        if (
            dtype.is_timestamp()
        ):  # Ibis writes whole seconds as one of 1970 to 2106, and naive ones in the server's zone
            moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
            count = self.f.toInt64((moment - EPOCH) // timedelta(microseconds=1))
            return self.f.fromUnixTimestamp64Micro(count, dtype.timezone or "UTC")
        if dtype.is_date():  # Ibis writes one of 1970 to 2149
            return self.f.toDate32(value.isoformat())
        if dtype.is_time():  # which is kept as text
            return sge.convert(text_of_time(value))
        if dtype.is_binary():
            return self.f.unhex(value.hex())
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:  # noqa: N802 - as Ibis calls it
        if not op.arg.dtype.nullable or (isinstance(op.arg, ops.Field) and op.arg.name.startswith(BY_FIELD_COLUMNS)):
            member = sge.Dot(this=arg, expression=sge.convert(op.arg.dtype.names.index(field) + 1))
            return self.f.toDate32(member) if op.dtype.is_date() else self.cast(member, op.dtype)
        if op.dtype.is_nested():
            return self.f.JSONExtractRaw(arg, field)
        return self._flat_member(op.dtype, arg, field)

    def _flat_member(self, dtype: Any, arg: Any, field: str) -> Any:
        """Read a member of JSON as columns of its type are kept; one that ClickHouse cannot compare is an error."""
        text = self.f.JSONExtract(arg, field, "Nullable(String)")
        if dtype.is_string() or dtype.is_time():
            return text
        if dtype.is_binary():
            return self.f.base64Decode(text)
        kind = "Date32" if dtype.is_date() else self.type_mapper.to_string(dtype.copy(nullable=False))
        member = self.f.JSONExtract(arg, field, f"Nullable({kind})")
        if not (dtype.is_date() or dtype.is_timestamp()):
            return member
        first, last = (day.isoformat() for day in DATES)
        beyond = self.f.ifNull(sg.or_(text < first, text >= f"{last}~"), 0)
        return self.if_(self.f.throwIf(beyond, f"in structs, times lie between {first} and {last}"), sge.null(), member)


class ClickHouseBackend(Fetching, Backend):  # type: ignore[misc] # Ibis has no types
    """The Ibis backend of a store."""

    compiler = _Compiler()
