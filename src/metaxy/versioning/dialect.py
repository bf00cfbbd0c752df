"""The SQL of one engine, as data.

A dialect is values and templates, never a subclass: quoting, hashes, ordered aggregates, byte order, row ids. The
functions below it write the pieces of the hash recipe with them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from metaxy.hashing import ESCAPE, SEPARATOR, HashAlgorithm, HashSettings

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, eq=False)
class Dialect:
    """The words of an SQL engine; templates are filled with `str.format`."""

    name: str
    hashes: Mapping[HashAlgorithm, str]
    quote_mark: str = '"'
    name_escapes: Mapping[str, str] = field(default_factory=dict)
    text_type: str = "VARCHAR"
    literal_escapes: Mapping[str, str] = field(default_factory=lambda: {"'": "''"})
    left: str = "left({0}, {1})"
    contains: str = "contains({0}, {1})"
    replace: str = "replace({0}, {1}, {2})"
    concat: str = " || "
    text: str = "CAST({0} AS {1})"
    byte_order: str = "{0}"
    ordered_join: str = "string_agg({0}, {1} ORDER BY {2})"
    same: str = "{0} IS NOT DISTINCT FROM {1}"
    floats_differ: str = "{0} IS DISTINCT FROM {1}"  # NaN is one value
    in_microseconds: str = "{0}"  # a time, without smaller parts, where the database has such
    json_only: bool = False  # structs and maps of versions are kept as JSON
    nested_as_text: bool = (
        False  # lists and structs of users are, at least in part, so that casts do not reach into them
    )
    struct_member: str = "{0}.{1}"
    map_member: str = "{0}[{1}]"
    given_map_member: str | None = None  # of a query, where a map that may be NULL is something else
    json_member: str = "json_extract_string({0}, {1})"
    json_path: str = '$."{0}"'
    pack_struct: str = "struct_pack({0})"  # names and values in turn, values alone, names and types in turn
    pack_map: str = "map([{0}], [{1}])"
    pack_list: str | None = None  # the part of a list that some condition lets in; None: views cannot show lists
    pack_json: str = "json_object({0})"  # keys and values in turn, keys alone, values alone
    timestamp_type: str = "TIMESTAMP WITH TIME ZONE"
    timestamp_value: str = "CAST({0} AS TIMESTAMP WITH TIME ZONE)"  # text, or {1}: microseconds since 1970
    nul: str | None = "chr(0)"
    materialized: str = "AS MATERIALIZED"
    inlined: str | None = None  # for a step that is used twice, but is cheaper to compute again than to keep
    repeats_expressions: bool = False  # computes an expression again wherever a plain CTE's column is used
    hash_joins: bool = True  # else a join looks up each row of one side in an index, which may have to be built
    many: str = "{0}"  # what follows FROM, in words that no old statistics make anybody take for a handful of rows
    row_id: str | None = None
    nothing: str = "NULL"  # no value, of the type of a column: aggregated over no rows where NULL has not any type
    first_of_each: str | None = None  # what keeps the first row of each group in an order, without a window
    row_of_max: str = "arg_max({0}, {1})"  # the row id that goes with the greatest value
    number_of_text: str = "{0}"  # equal for equal texts, and rarely for others, where it is cheaper to compare
    row_hash: str | None = None  # of several values, to a number of 64 bits that mixes them; None: Polars hashes rows
    wide_time: str | None = None  # a time from 1970 on as the upper half of a number that has room for a row id
    row_of_wide: str = ""  # the row id in the lower half
    # What stands for a column that a table lacks, by how its type begins; the longest beginning counts.
    absent: Mapping[str, str | None] = field(default_factory=lambda: {"": "CAST(NULL AS {0})"})

    @property
    def keeps_steps(self) -> bool:
        """Whether a step that is used twice is computed once."""
        return self.materialized != "AS"

    @property
    def null_text(self) -> str:
        """NULL as text."""
        return self.text.format("NULL", self.text_type)

    def absent_value(self, kind: str) -> str | None:
        """Write what stands for a column of this type in rows of a table that lacks it; None if nothing can.

        >>> Dialect("ansi", {}).absent_value("INTEGER")
        'CAST(NULL AS INTEGER)'
        """
        template = self.absent[max((start for start in self.absent if kind.startswith(start)), key=len)]
        return template and template.format(kind)

    def quote(self, name: str) -> str:
        """Quote an identifier.

        >>> Dialect("ansi", {}).quote('a"b')
        '"a""b"'
        """
        mark = self.quote_mark
        for special, escaped in self.name_escapes.items():
            name = name.replace(special, escaped)
        return mark + name.replace(mark, mark * 2) + mark

    def literal(self, value: str) -> str:
        """Quote a text value.

        >>> Dialect("ansi", {}).literal("it's")
        "'it''s'"
        """
        for mark, escaped in self.literal_escapes.items():
            value = value.replace(mark, escaped)
        return f"'{value}'"

    def timestamp(self, moment: datetime | None) -> str:
        """Write a moment, with microseconds and in UTC."""
        if moment is None:
            return f"CAST(NULL AS {self.timestamp_type})"
        micros = (moment - EPOCH) // timedelta(microseconds=1)
        return self.timestamp_value.format(self.literal(moment.isoformat(sep=" ", timespec="microseconds")), micros)

    def names(self, names: Iterable[str], table: str = "") -> str:
        """Write a list of quoted names, each behind the name of its table."""
        prefix = f"{table}." if table else ""
        return ", ".join(prefix + self.quote(name) for name in names)

    def hashed(self, text: str, settings: HashSettings) -> str:
        """Write the truncated hash of a text expression."""
        return self.left.format(self.hashes[settings.algorithm].format(text), settings.length)

    def escaped(self, value: str) -> str:
        """Write a value with its separators escaped; the guard makes the usual case, nothing to escape, free."""
        slash, bar = self.literal(ESCAPE), self.literal(SEPARATOR)
        doubled = self.replace.format(value, slash, self.literal(ESCAPE * 2))
        both = self.replace.format(doubled, bar, self.literal(ESCAPE + SEPARATOR))
        guard = f"{self.contains.format(value, bar)} OR {self.contains.format(value, slash)}"
        return f"CASE WHEN {guard} THEN {both} ELSE {value} END"

    def equal(self, pairs: Iterable[tuple[str, str]]) -> str:
        """Write the condition that pairs of values are equal, where NULL equals NULL."""
        return " AND ".join(self.same.format(left, right) for left, right in pairs)

    def concatenated(self, parts: Iterable[str]) -> str:
        """Write the concatenation of text expressions; NULL if any of them is NULL."""
        return self.concat.join(parts)

    def joined(self, values: Iterable[str]) -> str:
        """Write values glued with the separator."""
        glue = f"{self.concat}{self.literal(SEPARATOR)}{self.concat}"
        return glue.join(values)


def as_cte(name: str, body: str, dialect: Dialect, *, materialized: bool = False) -> str:
    """Write one step of a statement."""
    return _cte(name, dialect.materialized if materialized else "AS", body)


def as_recomputed_cte(name: str, body: str, dialect: Dialect) -> str:
    """Write a step that is used once with all its columns, and once more with few: only some databases keep it."""
    return _cte(name, dialect.inlined or dialect.materialized, body)


def _cte(name: str, how: str, body: str) -> str:
    return f"{name} {how} (\n  {body}\n)"
