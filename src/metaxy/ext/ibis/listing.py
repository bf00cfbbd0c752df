"""Lists of values in Narwhals expressions over our Ibis connections: one node, of the type of what is looked up.

Ibis makes a node of each value and visits it several times, which takes seconds for ten thousand of them, and infers a
type for each, whatever the column is.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import sqlglot.expressions as sge
from narwhals._ibis.expr import IbisExpr

AS_THEY_ARE = re.compile(r"[^'\\\x00-\x1f]*")  # texts that are written alike everywhere


class Listed(ops.Value):  # type: ignore[misc] # Ibis has no types
    """Whether a value is one of several constants of its type."""

    value: ops.Value
    constants: Any

    dtype = dt.boolean
    shape = rlz.shape_like("value")


@cache
def correct_narwhals() -> None:
    """Let Narwhals write lists as one node where a connection of ours compiles it, in this process."""
    setattr(IbisExpr, "is_in", is_in)  # noqa: B010 - types say that it cannot be replaced


def is_in(expr: Any, other: Iterable[Any]) -> Any:
    """Look a value up in a list; NULL is not looked up, and not found."""
    values = [value for value in other if value is not None]
    return expr._with_callable(lambda value: ibis.ifelse(value.isnull(), None, _looked_up(value, values)))


def _looked_up(value: Any, values: Sequence[Any]) -> Any:
    backends, _ = value._find_backends()
    ours = bool(backends) and all(hasattr(backend, "owner") for backend in backends)
    constants = _constants(value.type(), values) if ours else None
    return Listed(value, constants).to_expr() if constants else value.isin(values)


def _constants(dtype: dt.DataType, values: Sequence[Any]) -> tuple[Any, ...] | None:
    """Return values as those of a type, None if some are of another."""
    plain = str if dtype.is_string() else int if dtype.is_integer() else None
    if plain is not None:
        return tuple(values) if all(type(value) is plain for value in values) else None
    try:
        return tuple(dt.normalize(dtype, value) for value in values)
    except (TypeError, ValueError):
        return None


def visit_listed(compiler: Any, op: Any, *, value: Any, constants: Sequence[Any]) -> Any:
    """Write a list."""
    dtype = op.value.dtype
    texts = ", ".join(_written(compiler, constant, dtype) for constant in constants)
    return sge.In(this=value, expressions=[sge.Var(this=texts)])


def _written(compiler: Any, constant: Any, dtype: dt.DataType) -> str:
    if isinstance(constant, str) and dtype.is_string() and AS_THEY_ARE.fullmatch(constant):
        return f"'{constant}'"
    if isinstance(constant, int) and dtype.is_integer():
        return str(constant)
    node = compiler.visit_Literal(ops.Literal(constant, dtype), value=constant, dtype=dtype)
    text: str = node.sql(dialect=compiler.dialect)
    return text
