"""SQLite's SQL beyond what Ibis writes: times are microseconds, structs are JSON, and texts are not ASCII only."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import ibis.backends.sql.compilers as compilers
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot.expressions as sge
from ibis.backends.sqlite import Backend

from metaxy.errors import MetadataSchemaError
from metaxy.ext.ibis.fetching import Fetching
from metaxy.ext.sqlite.dialect import SQLITE
from metaxy.ext.sqlite.times import MICROSECONDS_A_DAY, PARTS, UNITS, micros
from metaxy.ext.sqlite.types import NAN

IN_PATHS = re.compile(r'[^"\\\x00-\x1f]+')  # other names have escapes in JSON, which paths of SQLite do not know
MICROS = 1_000_000
DAYS = "%Y-%m-%d"
INFINITE = ("9e999", "-9e999")
# Operations that compare values with each other, and those that return one of several.
COMPARING = (ops.Comparison, ops.Between, ops.InValues)
CHOOSING = (ops.Coalesce, ops.Greatest, ops.IfElse, ops.Least, ops.NullIf, ops.SearchedCase, ops.SimpleCase)
TEXT_FUNCTIONS = {
    ops.EndsWith: "mx_ends_with",
    ops.LStrip: "mx_strip_start",
    ops.Lowercase: "mx_lower",
    ops.RStrip: "mx_strip_end",
    ops.RegexReplace: "mx_replaced",
    ops.RegexSearch: "mx_matches",
    ops.StartsWith: "mx_starts_with",
    ops.StringLength: "mx_length",
    ops.Strip: "mx_strip",
    ops.Uppercase: "mx_upper",
}
# Of floats, among which SQLite has no NaN.
FLOAT_FUNCTIONS = {
    ops.Abs: "mx_abs",
    ops.Add: "mx_add",
    ops.Ceil: "mx_ceil",
    ops.Divide: "mx_divide",
    ops.Floor: "mx_floor",
    ops.Multiply: "mx_multiply",
    ops.Negate: "mx_negate",
    ops.Subtract: "mx_subtract",
}
OF_TIME = {"date", "timestamp"}
# What JSON keeps in other words than a column does.
OF_JSON = {dt.Binary: "mx_bytes", dt.Float32: "mx_real", dt.Float64: "mx_real", dt.Timestamp: "mx_moment"}


class _Compiler(compilers.SQLiteCompiler):  # type: ignore[misc] # Ibis has no types
    """Ibis keeps times as text; here they are microseconds, and days are text."""

    __slots__ = ()
    SIMPLE_OPS = TEXT_FUNCTIONS  # the methods that Ibis makes of its own are inherited, and stay as they are
    UNSUPPORTED_OPS = ()
    NAN = sge.convert(NAN)

    def visit_node(self, op: Any, **kwargs: Any) -> Any:
        """Write an operation; what is compared gets one form, and parts of times come from a function of ours."""
        if isinstance(op, (*COMPARING, *CHOOSING)):
            kwargs = _in_one_form(op, kwargs)
        kind = type(op).__name__
        if kind in PARTS and op.arg.dtype.is_timestamp():
            return self.f.anon.mx_moment_part(kwargs["arg"], kind)
        if type(op) in FLOAT_FUNCTIONS and any(value.dtype.is_floating() for value in op.args):
            return self.f.anon[FLOAT_FUNCTIONS[type(op)]](*kwargs.values())
        return super().visit_node(op, **kwargs)

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802 - as Ibis calls it
        if dtype.is_timestamp():
            return sge.convert(micros(value))
        if dtype.is_string() and "\0" in value:  # where the text of a query would end
            return self.cast(sge.HexString(this=value.encode().hex()), dtype)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    # -- times ---------------------------------------------------------------------------------------------------------

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802
        given = op.arg.dtype
        if to.is_float64() and (given.is_floating() or isinstance(op.arg, (ops.Ceil, ops.Floor))):
            return arg  # a cast would make zero of NaN
        if to.is_timestamp():
            return self._as_moment(arg, given, to)
        if given.is_timestamp() and to.is_date():
            return self._day(arg)
        if given.is_timestamp() and to.is_string():
            text = self.f.anon.mx_moment_text(arg)
            return text if given.timezone is None else self.f.concat(text, "+00:00")
        if given.is_date() and to.is_numeric():
            return self.cast(sge.Div(this=_moment_of_day(arg), expression=sge.convert(MICROSECONDS_A_DAY)), to)
        return super().visit_Cast(op, arg=arg, to=to)

    def _as_moment(self, arg: Any, given: Any, to: Any) -> Any:
        digits = 6 if to.scale is None else to.scale
        if given.is_timestamp():
            return self.f.anon.mx_moment_truncated(arg, f"{10 ** (6 - digits)}us") if digits < 6 else arg
        if given.is_integer():
            size = sge.convert(10 ** abs(digits - 6))
            return sge.Mul(this=arg, expression=size) if digits <= 6 else sge.Div(this=arg, expression=size)
        return self.f.anon.mx_moment(arg)

    def _day(self, moment: Any) -> Any:
        return self.f.anon.mx_moment_written(moment, DAYS)

    def visit_Date(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
        return self._day(arg) if op.arg.dtype.is_timestamp() else arg

    def visit_Strftime(self, op: Any, *, arg: Any, format_str: Any) -> Any:  # noqa: N802
        moment = arg if op.arg.dtype.is_timestamp() else _moment_of_day(arg)
        return self.f.anon.mx_moment_written(moment, format_str)

    def visit_TimestampTruncate(self, op: Any, *, arg: Any, unit: Any) -> Any:  # noqa: N802, ARG002
        return self.f.anon.mx_moment_truncated(arg, f"1{UNITS[unit.short]}")

    def visit_TimestampBucket(self, op: Any, *, arg: Any, offset: Any, **_: Any) -> Any:  # noqa: N802
        unit = UNITS.get(op.interval.dtype.unit.short)
        if unit is None or offset is not None or not isinstance(op.interval, ops.Literal):
            raise MetadataSchemaError("SQLite cannot divide time into these spans; use whole spans of 1us or more")
        return self.f.anon.mx_moment_truncated(arg, f"{op.interval.value}{unit}")

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

    # -- numbers, several values, structs ------------------------------------------------------------------------------

    def visit_Modulus(self, op: Any, *, left: Any, right: Any) -> Any:  # noqa: N802, ARG002 - `mod` has 53 bits
        return sge.Mod(this=sge.paren(left), expression=sge.paren(right))

    def visit_IsNan(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self.f.anon.typeof(arg).eq(sge.convert("text"))

    def visit_IsInf(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return arg.isin(*(sge.Literal.number(number) for number in INFINITE))

    def visit_Greatest(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self._extreme("max", arg)

    def visit_Least(self, op: Any, *, arg: Any) -> Any:  # noqa: N802, ARG002
        return self._extreme("min", arg)

    def _extreme(self, function: str, values: Sequence[Any]) -> Any:
        """Compare values; NULLs do not count, as elsewhere."""
        others = [[other for other in values if other is not value] for value in values]
        filled = [self.f.coalesce(value, *rest) if rest else value for value, rest in zip(values, others, strict=True)]
        return self.f.anon[function](*filled) if len(filled) > 1 else filled[0]

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:  # noqa: N802
        if op.dtype.is_decimal() or op.dtype.is_uint64():
            raise MetadataSchemaError(
                f"member {field!r}: SQLite does not compare {op.dtype} in JSON exactly; filter the rows that are read"
            )
        member = read_member(arg, field)
        function = OF_JSON.get(type(op.dtype))
        return member if function is None else self.f.anon[function](member)


class SQLiteBackend(Fetching, Backend):  # type: ignore[misc] # Ibis has no types
    """The Ibis backend of a store."""

    compiler = _Compiler()


def _in_one_form(op: Any, written: dict[str, Any]) -> dict[str, Any]:
    """Write days as times where they are compared with times.

    Raises:
        MetadataSchemaError: where they are compared with something else, which none of them would ever equal, and where
            a day or a time is chosen, as nothing would tell which of them it is.
    """
    given = dict(zip(op.argnames, op.args, strict=True))
    kinds = {type(value.dtype).__name__.lower() for part in given.values() for value in _values(part)} - {"null"}
    of_time = kinds & OF_TIME
    if of_time == OF_TIME and isinstance(op, CHOOSING):
        raise MetadataSchemaError("SQLite cannot choose between a date and a timestamp; cast one to the other's type")
    if of_time and kinds > of_time and isinstance(op, COMPARING):
        raise MetadataSchemaError(
            f"SQLite cannot compare a {max(of_time)} with a {min(kinds - of_time)}; cast one to the other's type"
        )
    return (
        {name: _with_moments(given[name], value) for name, value in written.items()} if of_time == OF_TIME else written
    )


def _values(part: Any) -> Iterator[Any]:
    yield from (part if isinstance(part, tuple) else (part,))


def _with_moments(given: Any, written: Any) -> Any:
    if isinstance(given, tuple):
        return tuple(_with_moments(*pair) for pair in zip(given, written, strict=True))
    return _moment_of_day(written) if given is not None and given.dtype.is_date() else written


def _moment_of_day(day: Any) -> Any:
    return sge.Anonymous(this="mx_moment", expressions=[day])


def read_member(document: Any, name: str) -> Any:
    """Write what reads a member, as JSON has it."""
    if IN_PATHS.fullmatch(name):
        return sge.Anonymous(this="json_extract", expressions=[document, sge.convert(SQLITE.json_path.format(name))])
    members = sge.Anonymous(this="json_each", expressions=[document])
    named = sge.column("key").eq(sge.convert(name))
    return sge.Subquery(this=sge.select("value").from_(members).where(named))
