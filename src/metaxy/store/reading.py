"""Reading: which store has a feature, which rows of it count, and what the user sees of them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

import narwhals as nw
import polars as pl

from metaxy.columns import BY_FIELD_COLUMNS, METAXY_DELETED_AT, METAXY_UPDATED_AT
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import (
    FeatureNotFoundError,
    MetadataSchemaError,
    MetaxyError,
    StoreConnectionError,
    TableNotFoundError,
    did_you_mean,
)
from metaxy.storage.files import one_line
from metaxy.storage.port import Scan
from metaxy.store.foreign import refuse_foreign_table
from metaxy.store.scope import Scope
from metaxy.versioning.codec import ByField
from metaxy.versioning.column_types import Types
from metaxy.versioning.conditions import checked_conditions
from metaxy.versioning.engine import Rows, View
from metaxy.versioning.recipe import Latest

if TYPE_CHECKING:
    from metaxy.store.handle import StoreHandle
    from metaxy.store.store import MetadataStore


MOMENT = nw.Datetime("us", "UTC")
# How Polars and DuckDB begin to say that a file is broken; they have no classes of errors for it.
BROKEN = re.compile(r"^(?:parquet: |polars_iceberg failed)|^IO Error: |No magic bytes|too small to be a Parquet file")


@dataclass(frozen=True)
class Found:
    """A table, and the store that has it."""

    store: "MetadataStore"
    key: FeatureKey
    scan: Scan

    def rows(self, ids: Sequence[str], **asked: Any) -> Rows:
        """Give the table to an engine; ``asked`` is what the user asks of its rows.

        Raises:
            MetadataSchemaError: if a condition names a column that the table does not have, or such values.
        """
        scan = self.scan
        rows = Rows(scan.frame, scan.table, scan.by_field, tuple(ids), schema=scan.schema, **asked)
        renamed = {rows.rename.get(name, name): dtype for name, dtype in scan.schema.items()}
        return replace(
            rows,
            filters=self.conditions(rows.filters),
            stale=self.conditions(rows.stale),
            renamed_filters=self.conditions(rows.renamed_filters, renamed),
        )

    def conditions(self, given: Iterable[nw.Expr], types: Types | None = None) -> tuple[nw.Expr, ...]:
        """Return conditions of the user on this table, or on columns of these types, as every engine understands them.

        Raises:
            MetadataSchemaError: if they name a column that does not exist, or values that no store knows.
        """
        orders_nan = self.store.storage.capabilities.orders_nan
        return checked_conditions(f"feature {self.key}", given, types or self.scan.schema, orders_nan=orders_nan)

    def checked(self) -> "Found":
        """Return the same, once it is clear that the table is one of a feature.

        Raises:
            MetadataSchemaError: if it is a table of someone else.
        """
        refuse_foreign_table(self.key, self.scan, self.store)
        return self

    def as_of(self, moment: datetime | None) -> "Found":
        """Return the table as it was at a moment: rows that were written, or deleted, later do not count."""
        if moment is None:
            return self
        event = event_time(self.scan)
        counts = event.is_null() | (event <= nw.lit(moment).cast(MOMENT))
        return replace(self, scan=replace(self.scan, frame=self.scan.frame.filter(counts), table=None))


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


def checked_moment(moment: datetime | None) -> datetime | None:
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
            f"as_of needs a time zone, and {moment!r} has none; for example datetime(2026, 1, 31, tzinfo=timezone.utc)"
        )
    return moment.astimezone(timezone.utc)


def find(store: "StoreHandle", key: FeatureKey, *, allow_fallback: bool) -> Found:
    """Return the table of a feature in a store or, where it has none, in the first fallback that has one.

    A table without rows is a table: its fallbacks are not asked.

    Raises:
        FeatureNotFoundError: naming the feature and the stores that were searched.
    """
    try:
        return Found(cast("MetadataStore", store), key, store.storage.scan(key))  # what has verbs is a MetadataStore
    except TableNotFoundError as error:
        for fallback in store.fallback_stores if allow_fallback else ():
            store.keep_open(fallback)
            try:
                return find(fallback, key, allow_fallback=True)
            except FeatureNotFoundError:
                continue
        searched = ", ".join([repr(store), *(store.fallback_stores.names if allow_fallback else [])])
        raise FeatureNotFoundError(f"feature {key} has no table in {searched}; write it first", keys=[key]) from error


def shown(scan: Scan, spec: FeatureSpec, scope: Scope, columns: Sequence[str]) -> View:
    """Say which by-field columns a user must see in another form than the table keeps them."""
    members = tuple(field.key.to_struct_key() for field in spec.fields)
    wrong = {
        c for c in BY_FIELD_COLUMNS if c in columns and c in scan.by_field and scan.by_field[c].form != scope.shape
    }
    return View(dict.fromkeys(wrong, ByField(scope.shape, members)), members)


def read_rows(
    found: Found,
    spec: FeatureSpec | None,
    scope: Scope,
    latest: Latest,
    filters: Sequence[nw.Expr],
    columns: Sequence[str] | None,
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
    rows = found.rows(latest.ids, filters=tuple(filters))
    view = shown(found.scan, spec, scope, wanted) if spec else View()
    return found.store.engine.latest(rows, latest, wanted, view)


def shown_schema(scan: Scan, spec: FeatureSpec, scope: Scope) -> nw.Schema:
    """Return the columns of a table, with the types that a user sees."""
    members = [field.key.to_struct_key() for field in spec.fields]
    by_field = (
        nw.Map(nw.String(), nw.String()) if scope.shape == "map" else nw.Struct(dict.fromkeys(members, nw.String()))
    )
    wrong = shown(scan, spec, scope, list(scan.schema)).forms
    return nw.Schema({name: by_field if name in wrong else dtype for name, dtype in scan.schema.items()})
