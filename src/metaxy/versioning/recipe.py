"""Recipes: the steps that version the rows of one feature, as plain data.

A `Recipe` names inputs, columns, joins, field formulas and the comparison; it computes nothing. `sql` renders it as one
statement and `polars` as one lazy plan; both must give the same rows. Inside a recipe every column has a short name, so
that engines with short, case-insensitive or reserved identifiers cannot stumble over the names of users.

    k0 k1 …     user columns, also the IDs          d0_1   data version of member 1 of input 0
    v0 v1 …     provenance of each field            p      provenance of the sample
    o0 o1 …     columns of the stored current row   status NEW, STALE, ORPHANED, BROKEN or DRIFTED
    f0 f1 …     1 where a field changed, else 0     b0 b1 …  columns of the earlier row, if ``was`` is 1
    e0 e1 … ep  keys and provenance of samples that failed
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from metaxy.columns import METAXY_DATA_VERSION_BY_FIELD, METAXY_FEATURE_VERSION
from metaxy.hashing import HashSettings

NEW: Final = 1
STALE: Final = 2
ORPHANED: Final = 3
BROKEN: Final = 4  # an ID or a data version that must not be NULL is NULL
COUNTS: Final = 5  # the one extra row that carries the number of expected rows
STORED: Final = 6  # another one, where samples are only counted: the number of stored rows
FAILED: Final = 7  # new or stale, but left out, as it failed before
DRIFTED: Final = 8  # the versions are equal, but some column is not

# What the provenance of a marker says of its parent; any other one is that with which it was computed, to no children.
BEGUN: Final = ""  # its children are being written
WRITTEN: Final = "written"  # they were


@dataclass(frozen=True)
class Column:
    """A user column: as the table names it, as the statement names it, as the user sees it."""

    stored: str
    short: str
    name: str


@dataclass(frozen=True)
class Latest:
    """Which rows of a table count: of one feature version, the latest of each sample, not deleted."""

    ids: tuple[str, ...]
    feature_version: str | None
    one_per_sample: bool = True
    include_deleted: bool = False
    version_column: str = METAXY_FEATURE_VERSION


@dataclass(frozen=True)
class Group:
    """An aggregation: rows that are equal on ``keys`` feed one sample, in the order of ``order`` (short names)."""

    keys: tuple[str, ...]
    order: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """A data version of a parent's field: the member of the by-field column that holds it, and its short name."""

    member: str
    short: str
    label: str
    column: str = METAXY_DATA_VERSION_BY_FIELD


@dataclass(frozen=True)
class Input:
    """One parent: its rows, the columns taken from it, and how it joins those before it.

    ``join`` lists the short names shared with the inputs before; the first input joins nothing. ``optional`` parents
    are joined from the left, or fully when ``outer`` (all parents are optional). ``among`` are those of its columns, as
    the user sees them, by which its samples are chosen before anything else is done. An input that is no parent, but
    the samples that are asked for, has no name.
    """

    feature: str
    latest: Latest
    columns: tuple[Column, ...]
    versions: tuple[Version, ...]
    join: tuple[str, ...] = ()
    group: Group | None = None
    one_row_per_group: bool = False
    optional: bool = False
    outer: bool = False
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """How the provenance of one field is computed: literal text and the short names of data versions, in turn.

    ``given`` instead names a column that already holds the value (rows that the user supplied).
    """

    member: str
    short: str
    texts: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    given: bool = False

    def parts(self) -> Iterator[tuple[str, str | None]]:
        """Yield each literal text with the short name of the data version that follows it, if any."""
        yield from zip(self.texts, (*self.versions, None), strict=False)


@dataclass(frozen=True)
class Current:
    """The rows that the feature has: their columns, and how they match the expected ones.

    ``keys`` are stored names in the order of `Recipe.match`. ``collapse``: several rows share a key (expansion), and a
    key counts as current only if all of its rows carry the expected provenance. ``own`` are the IDs that tell these
    rows apart; deleted rows in which they are NULL are markers, which say how far a parent was computed.
    """

    latest: Latest
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    collapse: bool = False
    own: tuple[str, ...] = ()

    @property
    def short_keys(self) -> list[str]:
        """The short names of the keys."""
        return [f"c{n}" for n in range(len(self.keys))]


@dataclass(frozen=True)
class Pair:
    """A column that expected and stored rows have: its short name in both, its name, and how values are compared."""

    expected: str
    stored: str
    name: str
    kind: str


@dataclass(frozen=True)
class Payload:
    """Columns that are compared where versions are equal, and the status of samples in which one differs.

    ``kept`` are the short names of other stored columns, which drifted rows show as they are. Of an expansion each
    child is such a row, whose parent has the status.
    """

    pairs: tuple[Pair, ...]
    status: int
    kept: frozenset[str]

    def columns(self, current: Current) -> tuple[Column, ...]:
        """Return the stored columns that drifted rows show."""
        shown = self.kept.union(pair.stored for pair in self.pairs)
        return tuple(column for column in current.columns if column.short in shown)


@dataclass(frozen=True)
class Earlier:
    """The newest live row that each changed sample had before, of any feature version, to say which fields changed.

    ``keys`` are stored names in the order of `Recipe.match`; of several rows that share them, the newest one counts.
    ``columns`` are those of the user, ``flags`` the short names that say which fields changed, in the order of
    `Recipe.fields`.
    """

    latest: Latest
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    flags: tuple[str, ...]

    @property
    def several(self) -> bool:
        """Whether several stored rows may share the keys."""
        return set(self.keys) != set(self.latest.ids)


@dataclass(frozen=True)
class Recipe:
    """One feature: inputs joined in order, fields hashed, compared with the current rows.

    ``match`` lists the short names on which expected and current rows meet; ``output`` the columns of the result.
    ``repeats``: several expected rows may be one sample, equal on ``match``, as the rows of an aggregated group are.
    ``ids`` are the columns by which samples are chosen, as the user sees them, where only some are asked for.
    """

    feature: str
    inputs: tuple[Input, ...]
    fields: tuple[Field, ...]
    match: tuple[str, ...]
    output: tuple[Column, ...]
    hash: HashSettings
    current: Current | None = None
    compare: bool = True
    optional_versions: frozenset[str] = field(default_factory=frozenset)
    repeats: bool = False
    ids: tuple[str, ...] = ()
    earlier: Earlier | None = None
    payload: Payload | None = None

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Columns that are compared beside the versions."""
        return self.payload.pairs if self.payload else ()

    @property
    def compared_columns(self) -> list[Column]:
        """The stored columns that are compared beside the versions."""
        compared = {pair.stored for pair in self.pairs}
        return [column for column in (self.current.columns if self.current else ()) if column.short in compared]

    @cached_property
    def match_by_name(self) -> dict[str, str]:
        """The columns of ``match``, by the names that users see."""
        names = {column.short: column.name for column in self.output}
        return {names.get(short, short): short for short in self.match}

    @property
    def drifts(self) -> bool:
        """Whether some samples may be called drifted; their rows hold what is expected and what is stored."""
        return bool(self.pairs) and self.payload is not None and self.payload.status == DRIFTED

    @property
    def sample_order(self) -> tuple[str, ...]:
        """Short names of the field versions in the order in which the sample hash takes them."""
        return tuple(f.short for f in sorted(self.fields, key=lambda f: f.member))

    def without_comparison(self) -> "Recipe":
        """Return the recipe of the expected rows alone."""
        return replace(self, current=None, compare=False, earlier=None, payload=None)
