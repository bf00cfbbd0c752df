"""Types of JSON columns that say nothing of themselves, as in tables of metaxy 0.1: from their values.

A column whose values are all objects is a struct, unless that would change a value; every other one is text. All rows
are looked at once, and then those that were added.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import psycopg

from metaxy.ext.postgresql.dialect import POSTGRESQL

ITEM = ""  # how the items of a list are called, as members of an object are by their names
# What numbers there are, whether a float or a text would keep them, and whether texts are floats that JSON lacks.
KINDS = r"""SELECT name, kind, coalesce(bool_and(scale(n) = 0), false), min(n), max(n),
    coalesce(bool_and(CAST(f AS numeric) IS NOT DISTINCT FROM n), false), coalesce(bool_and(f = text), false),
    bool_and(kind = 'string' AND (text IN ('NaN', 'inf', '-inf', '-0.0')
        OR (text LIKE '%e%' AND text ~ '^-?[0-9]+([.][0-9]+)?e-?[0-9]{{1,3}}$')))
FROM (
    SELECT *, CASE WHEN n = 0 OR abs(n) BETWEEN 1e-300 AND 1e300 THEN CAST(CAST(n AS float8) AS text) END AS f
    FROM (
        SELECT name, jsonb_typeof(value) AS kind, value #>> '{{}}' AS text,
            CASE WHEN jsonb_typeof(value) = 'number' THEN CAST(value AS numeric) END AS n
        FROM (SELECT {name} AS name, {value} AS value FROM {rows}) AS mx_values WHERE value IS NOT NULL
    ) AS mx_numbers
) AS mx_floats GROUP BY name, kind"""


TABLE = """SELECT oid, relkind IN ('r', 'p', 'm'), txid_snapshot_xmin(txid_current_snapshot())
FROM pg_class WHERE oid = to_regclass(%s)"""


@dataclass(frozen=True)
class Kind:
    """What is known of all values of one kind at one place."""

    integers: bool
    least: Any
    largest: Any
    as_floats: bool  # no number changes as a float
    as_text: bool  # no number is written otherwise by others
    of_floats: bool  # texts are floats that are no numbers of JSON

    def and_(self, other: "Kind") -> "Kind":
        """Return what is known of the values of both."""
        least, largest = ((self.least, other.least), (self.largest, other.largest))
        return Kind(
            self.integers and other.integers,
            None if self.least is None else min(least),
            None if self.largest is None else max(largest),
            self.as_floats and other.as_floats,
            self.as_text and other.as_text,
            self.of_floats and other.of_floats,
        )


@dataclass
class Node:
    """One place in the values of a column: the kinds of values that are there, and what is inside of them."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    members: dict[str, "Node"] = field(default_factory=dict)

    @property
    def holds(self) -> set[str]:
        """The kinds of values, but for nothing."""
        return self.kinds.keys() - {"null"}

    def add(self, kind: str, known: Kind) -> None:
        """Add what is known of more values."""
        self.kinds[kind] = self.kinds[kind].and_(known) if kind in self.kinds else known


@dataclass(frozen=True)
class Values:
    """How a query finds the values at one place."""

    rows: str
    value: str

    def query(self, name: str = "''") -> str:
        """Write a query for the kinds of these values, by name."""
        return KINDS.format(name=name, value=self.value, rows=self.rows)

    def of_objects(self) -> str:
        """Write a query for the kinds of members."""
        each = f"jsonb_each(CASE WHEN jsonb_typeof({self.value}) = 'object' THEN {self.value} END)"
        return KINDS.format(name="mx_m.key", value="mx_m.value", rows=f"{self.rows}, {each} AS mx_m")

    def member(self, name: str) -> "Values":
        """Return the values of a member."""
        return Values(self.rows, f"({self.value} -> {POSTGRESQL.literal(name)})")

    def items(self) -> "Values":
        """Return the items of lists."""
        item = f"mx_i{len(self.rows)}"
        each = f"jsonb_array_elements(CASE WHEN jsonb_typeof({self.value}) = 'array' THEN {self.value} END)"
        return Values(f"{self.rows}, {each} AS {item}", item)


Ask = Callable[[str], Iterable[tuple[Any, ...]]]


def _learn(node: Node, values: Values, ask: Ask) -> None:
    """Ask for the kinds of values at a place, and of what they hold; a node may know others from before."""
    found = list(ask(values.query()))
    for _, kind, *known in found:
        node.add(kind, Kind(*known))
    if found:
        _learn_inside(node, values, ask)


def _learn_inside(node: Node, values: Values, ask: Ask) -> None:
    if node.holds == {"array"}:
        _learn(node.members.setdefault(ITEM, Node()), values.items(), ask)
    elif node.holds == {"object"}:
        found = list(ask(values.of_objects()))
        for name, kind, *known in found:
            node.members.setdefault(name, Node()).add(kind, Kind(*known))
        for name in dict.fromkeys(name for name, *_ in found):
            _learn_inside(node.members[name], values.member(name), ask)


class Inferred:
    """What is known of the JSON columns of tables, for one session."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], tuple[int, Node]] = {}

    def nodes(
        self, session: "psycopg.Connection[tuple[Any, ...]]", table: str, columns: Iterable[str]
    ) -> dict[str, Node]:
        """Look at the rows of a table that were added since it was looked at last."""
        [[oid, grows, now]] = session.execute(TABLE, [table]).fetchall()
        nodes: dict[str, Node] = {}
        for column in columns:
            since, node = self._known.get((oid, column), (None, Node()))
            value = POSTGRESQL.quote(column)
            added = "" if since is None else f" AND age(xmin) <= age(CAST('{since % 2**32}' AS xid))"
            rows = f"(SELECT CAST({value} AS jsonb) AS value FROM {table} WHERE {value} IS NOT NULL{added}) AS mx_t"
            _learn(node, Values(rows, "mx_t.value"), lambda query: session.execute(query.encode()).fetchall())
            if grows:  # rows of a view do not say when they were added
                self._known[oid, column] = (now, node)
            nodes[column] = node
        return nodes


def column_type(node: Node) -> nw.dtypes.DType:
    """Return the type of a column: a struct where all values are objects or nothing, else text."""
    return (_type(node) or nw.String()) if node.holds == {"object"} else nw.String()


def _type(node: Node) -> nw.dtypes.DType | None:
    """Return the type that keeps all values of a place, None if none does; where there is no value, text."""
    if node.holds == {"object"}:
        types: dict[str, Any] = {name: _type(node.members[name]) for name in _ordered(node.members)}
        return None if None in types.values() else nw.Struct(types)
    if node.holds == {"array"}:
        inner = _type(node.members[ITEM])
        return nw.List(inner) if inner is not None else None
    if node.holds & {"object", "array"}:
        return None
    return nw.Boolean() if node.holds == {"boolean"} else _scalar(node.kinds, node.holds - {"number"})


def _ordered(names: Iterable[str]) -> list[str]:
    """Order names as PostgreSQL does, whatever rows came first."""
    return sorted(names, key=lambda name: (len(name.encode()), name.encode()))


def _scalar(kinds: Mapping[str, Kind], others: set[str]) -> nw.dtypes.DType | None:
    number = kinds.get("number")
    if number is None:
        return nw.String()
    if others:
        of_floats = number.as_floats and others == {"string"} and kinds["string"].of_floats
        return nw.Float64() if of_floats else nw.String() if number.as_text else None
    if number.integers and number.least >= -(2**63) and number.largest < 2**63:
        return nw.Int64()
    if number.integers and number.least >= 0 and number.largest < 2**64:
        return nw.UInt64()
    return nw.Float64() if number.as_floats else None
