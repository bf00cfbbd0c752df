"""Reading: which store has a feature, which rows of it count, and what the user sees of them."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, Final, Generic

import narwhals as nw
import polars as pl
from typing_extensions import Self, TypeVar

from metaxy import columns as c
from metaxy.columns import (
    BY_FIELD_COLUMNS,
    METAXY_DELETED_AT,
    METAXY_FEATURE_VERSION,
    METAXY_PROVENANCE,
    METAXY_PROVENANCE_BY_FIELD,
    METAXY_UPDATED_AT,
)
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import (
    FeatureNotFoundError,
    HashSettingsMismatchError,
    MetadataSchemaError,
    MetaxyError,
    StoreConnectionError,
    TableNotFoundError,
)
from metaxy.hashing import HashAlgorithm, HashSettings
from metaxy.storage.files import one_line
from metaxy.storage.port import Scan
from metaxy.store.layers import layers_of, stacked
from metaxy.store.named import as_names, given_ids
from metaxy.store.parts import StoreParts
from metaxy.store.session import Scope
from metaxy.versioning.codec import ByField, member_polars
from metaxy.versioning.column_types import Types
from metaxy.versioning.computing import with_widest_integers
from metaxy.versioning.conditions import checked_conditions
from metaxy.versioning.engine import Engine, View
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.versioning.polars import HASHES, escaped, hashed, joined
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.recipe import Latest
from metaxy.versioning.sources import Asked, Rows
from metaxy.wording import did_you_mean

# What rows cannot be told apart or compared without; a table may lack the other system columns until it is written to.
REQUIRED: Final = (
    c.METAXY_FEATURE_VERSION,
    c.METAXY_PROVENANCE,
    c.METAXY_PROVENANCE_BY_FIELD,
    c.METAXY_UPDATED_AT,
)
ADVICE: Final = "move that table away, or keep features under another prefix, namespace or folder"
MOMENT = nw.Datetime("us", "UTC")
# How Polars and DuckDB begin to say that a file is broken; they have no classes of errors for it.
BROKEN = re.compile(r"^(?:parquet: |polars_iceberg failed)|^IO Error: |No magic bytes|too small to be a Parquet file")


Store = TypeVar("Store", bound=StoreParts)
Store_co = TypeVar("Store_co", bound=StoreParts, default=StoreParts, covariant=True)


@dataclass(frozen=True)
class StoredTable(Generic[Store_co]):
    """A table, and the store that has it or, of one over others, that sees it.

    ``in_polars``: Polars has to read it, as its rows are not all in the database of the store. ``is_stack``: it is made
    of several tables, which may have rows in common.
    """

    store: Store_co
    key: FeatureKey
    scan: Scan
    in_polars: bool = False
    is_stack: bool = False

    @property
    def engine(self) -> Engine:
        """What reads the table."""
        return PolarsEngine() if self.in_polars else self.store.engine

    def rows(
        self,
        ids: Sequence[str],
        *,
        filters: Sequence[nw.Expr] = (),
        renamed_filters: Sequence[nw.Expr] = (),
        rename: Mapping[str, str] = MappingProxyType({}),
        stale: Sequence[nw.Expr] = (),
        among: nw.LazyFrame[Any] | None = None,
        whole: Sequence[str] = (),
    ) -> Rows:
        """Give the table to an engine, with what the user asks of its rows.

        Raises:
            MetadataSchemaError: if a condition names a column that the table does not have, or such values.
        """
        scan = self.scan
        where = f"feature {self.key}"
        rows = Rows(scan.frame, scan.table, scan.by_field, tuple(ids), scan.schema, scan.row_id, where)
        if not (filters or renamed_filters or stale) and among is None:
            return rows
        renamed = {rename.get(name, name): dtype for name, dtype in scan.schema.items()}
        after = self.conditions(renamed_filters, renamed)
        asked = Asked(self.conditions(filters), after, rename, self.conditions(stale), among, whole)
        return replace(rows, asked=asked)

    def conditions(self, given: Iterable[nw.Expr], types: Types | None = None) -> tuple[nw.Expr, ...]:
        """Return conditions of the user on this table, or on columns of these types, as every engine understands them.

        Raises:
            MetadataSchemaError: if they name a column that does not exist, or values that no store knows.
        """
        orders_nan = self.store.storage.capabilities.orders_nan
        checked = checked_conditions(f"feature {self.key}", given, types or self.scan.schema, orders_nan=orders_nan)
        return with_widest_integers(checked, self.scan.frame.implementation)

    def checked(self) -> Self:
        """Return the same, once it is clear that the table is one of a feature.

        Raises:
            MetadataSchemaError: if it is a table of someone else.
        """
        refuse_foreign_table(self.key, self.scan, self.store)
        return self

    def as_of(self, moment: datetime | None) -> Self:
        """Return the table as it was at a moment: rows that were written, or deleted, later do not count."""
        if moment is None:
            return self
        event = event_time(self.scan)
        counts = event.is_null() | (event <= nw.lit(moment).cast(MOMENT))
        return replace(self, scan=replace(self.scan, frame=self.scan.frame.filter(counts), table=None))

    def without_twins(self) -> Self:
        """Return the table without rows that several of its layers have, as after a copy of some of them."""
        if not self.is_stack:
            return self
        schema, forms = self.scan.schema, (*self.scan.by_field, *self.scan.documents)
        alike = [name for name, dtype in schema.items() if name not in forms and not dtype.is_nested()]
        return replace(self, scan=replace(self.scan, frame=self.scan.frame.unique(alike), row_id=None))


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what libraries raise when files of a table are broken into one line that says whose table it is.

    Raises:
        StoreConnectionError: instead of theirs.

    >>> with readable("feature video"):
    ...     raise OSError("no such file")
    Traceback (most recent call last):
    metaxy.errors.StoreConnectionError: feature video: a table cannot be read: no such file
    """
    try:
        yield
    except MetaxyError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        if not isinstance(error, (OSError, pl.exceptions.PanicException)) and not BROKEN.search(str(error)):
            raise
        raise StoreConnectionError(f"{what}: a table cannot be read: {one_line(error)}") from error


def event_time(scan: Scan) -> nw.Expr:
    """Write when a row was deleted or, while it lives, written: the time that decides which row is the latest."""
    columns = [column for column in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if column in scan.schema]
    return nw.coalesce(*(nw.col(column).cast(MOMENT) for column in columns))


def checked_moment(moment: datetime | None, name: str = "as_of") -> datetime | None:
    """Return a moment in UTC.

    Raises:
        ValueError: if it has no time zone: it could mean any of 26 hours.

    >>> checked_moment(datetime(2026, 1, 1, tzinfo=timezone.utc))
    datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if moment is None:
        return None
    if moment.utcoffset() is None:
        raise ValueError(
            f"{name} needs a time zone, and {moment!r} has none; for example datetime(2026, 1, 31, tzinfo=timezone.utc)"
        )
    return moment.astimezone(timezone.utc)


def find(store: Store, key: FeatureKey, *, allow_fallback: bool) -> StoredTable[Store]:
    """Return the table of a feature in a store or, where it has none, in the first fallback that has one.

    A table without rows is a table: its fallbacks are not asked. Where the store sees the rows of its fallbacks under
    its own, it is all tables as one.

    Raises:
        FeatureNotFoundError: naming the feature and the stores that were searched.
    """
    if allow_fallback and store.overlays and (layers := layers_of(store, key)):
        for layer in layers:
            refuse_foreign_table(key, layer.scan, layer.store)
        return StoredTable(store, key, *stacked(store, key, layers), len(layers) > 1)
    try:
        return StoredTable(store, key, store.storage.scan(key))
    except TableNotFoundError as error:
        for fallback in store.fallback_stores if allow_fallback else ():
            store.keep_open(fallback)
            try:
                return find(fallback, key, allow_fallback=True)
            except FeatureNotFoundError:
                continue
        searched = ", ".join([repr(store), *(store.fallback_stores.names if allow_fallback else [])])
        raise FeatureNotFoundError(f"feature {key} has no table in {searched}; write it first", keys=[key]) from error


def find_or_none(store: Store, key: FeatureKey, *, allow_fallback: bool) -> StoredTable[Store] | None:
    """Return the table of a feature as `find` does, None if there is none."""
    try:
        return find(store, key, allow_fallback=allow_fallback)
    except FeatureNotFoundError:
        return None


def shown(scan: Scan, spec: FeatureSpec, scope: Scope, columns: Sequence[str]) -> View:
    """Say which by-field columns a user must see in another form than the table keeps them."""
    members = tuple(field.key.to_struct_key() for field in spec.fields)
    wrong = {
        c for c in BY_FIELD_COLUMNS if c in columns and c in scan.by_field and scan.by_field[c].form != scope.shape
    }
    return View(dict.fromkeys(wrong, ByField(scope.shape, members)), members)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows and columns of a feature a caller wants; the arguments of `MetadataStore.read`."""

    feature_version: str | None
    filters: Sequence[nw.Expr]
    columns: Sequence[str] | None
    allow_fallback: bool
    with_feature_history: bool
    with_sample_history: bool
    include_soft_deleted: bool
    as_of: datetime | None
    ids: Any = None

    def __post_init__(self) -> None:
        """Refuse a version that would not be looked for."""
        if self.feature_version is not None and not self.with_feature_history:
            raise ValueError("feature_version needs with_feature_history=True")


def read_feature(
    store: Store, scope: Scope, key: FeatureKey, wanted: Wanted
) -> tuple[nw.LazyFrame[Any], StoredTable[Store]]:
    """Return the rows of a feature that a caller wants, and where they are.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
        HashSettingsMismatchError: if it has rows, but under other hash settings.
    """
    all_history = wanted.with_feature_history and wanted.with_sample_history  # for which a definition says nothing
    definition = scope.graph.feature_definitions_by_key.get(key) if all_history else scope.definition(key)
    found = find(store, key, allow_fallback=wanted.allow_fallback).checked().as_of(wanted.as_of)
    if definition and not wanted.with_feature_history:
        refuse_other_hash_settings(found, definition, scope)
    spec = definition.spec if definition else None
    ids = tuple(spec.id_columns) if spec else ()
    version = wanted.feature_version if wanted.with_feature_history else scope.version(key)
    latest = Latest(ids, version, not wanted.with_sample_history, include_deleted=wanted.include_soft_deleted)
    among = None if wanted.ids is None else _chosen(found, ids, wanted.ids)
    filters = [*wanted.filters, *(no_markers(found.scan.schema, spec) if latest.include_deleted and spec else ())]
    rows = read_rows(found, spec, scope, latest, filters, wanted.columns, among)
    return found.store.in_own_library(rows), found


def _chosen(found: StoredTable, ids: Sequence[str], given: Any) -> nw.LazyFrame[Any]:
    """Bring the IDs that a caller chooses samples by to where the table is read.

    Raises:
        MetadataSchemaError: if they are none, NULL, or of types that cannot be equal to those of the table.
    """
    what = f"the ids for feature {found.key}"
    if not ids:
        raise ValueError(
            f"{what} mean nothing here: the graph does not have the feature, whose definition names its IDs"
        )
    names = given_ids(given, ids, what)
    return found.engine.take(as_names(names, names.columns, found.scan.schema, what))


def read_rows(
    found: StoredTable,
    spec: FeatureSpec | None,
    scope: Scope,
    latest: Latest,
    filters: Sequence[nw.Expr],
    columns: Sequence[str] | None,
    among: nw.LazyFrame[Any] | None = None,
) -> nw.LazyFrame[Any]:
    """Return the rows that count. Table columns in → ``columns`` out, in that order, or all of them.

    Without a spec, versions by field are shown as they are stored.

    Raises:
        MetadataSchemaError: if a column does not exist.
    """
    known = list(found.scan.schema)
    wanted = list(columns) if columns is not None else known
    for name in wanted:
        if name not in known:
            raise MetadataSchemaError(
                f"feature {found.key} has no column {name!r}.{did_you_mean(name, known)} It has: {', '.join(known)}"
            )
    if not latest.one_per_sample:
        found = found.without_twins()
    rows = found.rows(latest.ids, filters=tuple(filters), among=among)
    view = shown(found.scan, spec, scope, wanted) if spec else View()
    return found.engine.latest(rows, latest, wanted, view)


def no_markers(schema: Collection[str], spec: FeatureSpec) -> list[nw.Expr]:
    """Write the condition that leaves out the markers of an expansion, deleted rows without an ID; others have none."""
    if METAXY_DELETED_AT not in schema or not spec.expands:
        return []
    marked = nw.any_horizontal(*(nw.col(name).is_null() for name in spec.id_columns), ignore_nulls=False)
    return [nw.col(METAXY_DELETED_AT).is_null() | ~marked]


def count_without_markers(rows: nw.LazyFrame[Any], spec: FeatureSpec) -> int:
    """Count the rows of a table that are the user's."""
    conditions = no_markers(rows.collect_schema(), spec)
    return count_lazy_rows(rows.filter(*conditions) if conditions else rows)


def shown_schema(scan: Scan, spec: FeatureSpec, scope: Scope) -> nw.Schema:
    """Return the columns of a table, with the types that a user sees."""
    members = [field.key.to_struct_key() for field in spec.fields]
    by_field = (
        nw.Map(nw.String(), nw.String()) if scope.shape == "map" else nw.Struct(dict.fromkeys(members, nw.String()))
    )
    wrong = shown(scan, spec, scope, list(scan.schema)).forms
    return nw.Schema({name: by_field if name in wrong else dtype for name, dtype in scan.schema.items()})


# -- what cannot be read -----------------------------------------------------------------------------------------------


def refuse_foreign_table(key: FeatureKey, scan: Scan, store: object) -> None:
    """Refuse a table without the system columns, or with such columns of other types."""
    lacking = [name for name in REQUIRED if name not in scan.schema]
    if lacking:
        raise MetadataSchemaError(
            f"feature {key}: its table in {store!r} is no feature table, it lacks {', '.join(lacking)}; {ADVICE}"
        )
    for name, dtype in _unusable(scan.schema, scan):
        raise MetadataSchemaError(
            f"feature {key}: its table in {store!r} is no feature table, its column {name} is {dtype}; {ADVICE}"
        )


def _unusable(schema: Mapping[str, nw.dtypes.DType], scan: Scan) -> list[tuple[str, nw.dtypes.DType]]:
    """List the system columns that no reader understands."""
    readable = {"text": (nw.String, nw.Categorical, nw.Enum), "timestamp": (nw.Datetime,)}
    found = []
    for name, kind, _ in c.SYSTEM_COLUMNS:
        dtype = schema.get(name, nw.Unknown())
        understood = name in scan.by_field if kind == "by_field" else isinstance(dtype, readable[kind])
        if not understood and not isinstance(dtype, nw.Unknown):  # of no type: only NULLs
            found.append((name, dtype))
    return found


def refuse_other_hash_settings(found: StoredTable, definition: FeatureDefinition, scope: Scope) -> None:
    """Raise if the table has rows of this very feature version, written with other hash settings.

    Only tables without any row of the current version are looked at closely; the answer is remembered per store.

    Raises:
        HashSettingsMismatchError: naming the settings to go on with.
    """
    current = scope.version(definition.key)
    seen = (definition.key, current)
    if seen in found.store.seen_versions:
        return
    with readable(f"feature {definition.key}"):
        _compare(found, definition, scope)


def _compare(found: StoredTable, definition: FeatureDefinition, scope: Scope) -> None:
    current = scope.version(definition.key)
    frame = found.scan.frame
    version = nw.col(METAXY_FEATURE_VERSION)
    if collect_to_polars(frame.filter(version == current).select(METAXY_FEATURE_VERSION).head(1)).height:
        found.store.seen_versions.add((definition.key, current))
        return
    stored = collect_to_polars(frame.select(METAXY_FEATURE_VERSION).unique()).get_column(METAXY_FEATURE_VERSION)
    for other in stored.drop_nulls():
        if other == scope.graph.get_feature_version(definition.key, len(other)):
            algorithm = _algorithm_of(frame.filter(version == other), definition, len(other)) or scope.algorithm
            raise HashSettingsMismatchError(
                f"feature {definition.key} has rows in {found.store!r}, but they were hashed with {algorithm.value} "
                f"and length {len(other)}, not {scope.algorithm.value} and {scope.hash.length}; to go on with them, "
                f"set in metaxy.toml hash_truncation_length = {len(other)} and, for this store, "
                f'hash_algorithm = "{algorithm.value}"'
            )


def _algorithm_of(rows: nw.LazyFrame[Any], definition: FeatureDefinition, length: int) -> HashAlgorithm | None:
    """Find the algorithm that gives the provenance that a stored row has."""
    row = collect_to_polars(rows.select(METAXY_PROVENANCE_BY_FIELD, METAXY_PROVENANCE).head(1))
    members = sorted(f.key.to_struct_key() for f in definition.spec.fields)
    dtype = row.schema[METAXY_PROVENANCE_BY_FIELD]
    text = joined([escaped(member_polars(dtype, METAXY_PROVENANCE_BY_FIELD, m)) for m in members])
    for algorithm in HASHES:
        matches = hashed(text, HashSettings(algorithm, length)) == pl.col(METAXY_PROVENANCE)
        if row.select(matches.any()).item():
            return algorithm
    return None
