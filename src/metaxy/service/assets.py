"""What a store that is given has of one feature: how many rows, in which state, and a few of them.

The store must be open, and the graph that has the feature active.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import narwhals as nw

from metaxy.columns import (
    INTERNAL_PREFIX,
    METAXY_CREATED_AT,
    METAXY_DATA_VERSION,
    METAXY_MATERIALIZATION_ID,
    METAXY_PROVENANCE,
)
from metaxy.definitions.keys import FeatureKey
from metaxy.service.parts import Conditions, everything
from metaxy.store.reading import StoredTable, find, read_rows, readable, refuse_other_hash_settings
from metaxy.store.store import MetadataStore
from metaxy.versioning.digests import NOTHING, Digest, digests_polars
from metaxy.versioning.expressions import both, columns_of
from metaxy.versioning.frames import as_lazy, collect_to_polars, wrapped_frame
from metaxy.versioning.recipe import Latest

NO_ROWS: Final = "empty"
VERSION: Final = f"{INTERNAL_PREFIX}version"


@dataclass(frozen=True)
class State:
    """How many rows there are, and a text that changes when one comes, goes, or has another data version.

    Written again as they are, rows are in the same state.
    """

    rows: int = 0
    data_version: str = NO_ROWS

    @classmethod
    def of(cls, digest: Digest) -> "State":
        """Return the state of the rows that a digest is of."""
        return cls(digest.rows, f"{digest.rows}-{digest.hashes:016x}" if digest.rows else NO_ROWS)


@dataclass(frozen=True)
class Contents:
    """What a store has of a feature: all rows, those of each part and of all parts, and how many one run has written.

    ``store`` describes the store and, under ``resolved_from``, the one that has the table.
    """

    whole: State
    parts: Mapping[str, State]
    in_parts: State
    written: int
    store: Mapping[str, Any]


def contents(
    store: MetadataStore,
    key: FeatureKey,
    *,
    among: Conditions = everything,
    parts: Mapping[str, Conditions] = MappingProxyType({}),
    run: str | None = None,
) -> Contents:
    """Count and digest the latest rows of a feature by one statement; fallback stores are asked, too.

    Args:
        among: the rows that count.
        parts: some of these, by their names; no row is in two.
        run: the materialization id of the rows that count as written.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
        MetadataSchemaError: if a condition names a column that the table does not have, or such values.
    """
    scope = store.session.scope("r")
    definition = scope.definition(key)
    found = find(store, key, allow_fallback=True).checked()
    refuse_other_hash_settings(found, definition, scope)
    types = found.scan.schema
    flags = {f"{INTERNAL_PREFIX}part{n}": found.conditions(part(types)) for n, part in enumerate(parts.values())}
    flags[f"{INTERNAL_PREFIX}written"] = found.conditions(_written_by(run, found))
    versions = _versions(types)
    columns = list(dict.fromkeys([*definition.id_columns, *versions, *_read_by(flags, found)]))
    latest = Latest(definition.id_columns, scope.version(key))
    rows = read_rows(found, definition.spec, scope, latest, among(types), columns)
    rows = rows.with_columns(
        _version(versions),
        **{flag: both(nw.lit(value=True), *part) for flag, part in flags.items()},
    )
    with readable(f"feature {key}"):
        whole, *counted, written = found.engine.digests(rows, [*definition.id_columns, VERSION], list(flags))
    states = dict(zip(parts, map(State.of, counted), strict=True))
    together = State.of(sum(counted, NOTHING))
    return Contents(State.of(whole), states, together, written.rows, description(store, found))


def _versions(columns: Iterable[str]) -> list[str]:
    """List the columns that say which version of its data a row has."""
    known = {*columns}
    return [name for name in (METAXY_DATA_VERSION, METAXY_PROVENANCE) if name in known]


def _version(versions: Sequence[str]) -> nw.Expr:
    """Return the version of the data of a row: the first that is not NULL."""
    return nw.coalesce(*versions, nw.lit("")).alias(VERSION)


def _written_by(run: str | None, found: StoredTable) -> Sequence[nw.Expr]:
    if run is None or METAXY_MATERIALIZATION_ID not in found.scan.schema:
        return [nw.lit(value=False)]
    return [nw.col(METAXY_MATERIALIZATION_ID) == run]


def _read_by(flags: Mapping[str, Sequence[nw.Expr]], found: StoredTable) -> Iterator[str]:
    """Give the columns that conditions read."""
    for part in flags.values():
        for condition in part:
            names = columns_of(condition)
            yield from found.scan.schema if names is None else names


def description(store: MetadataStore, found: StoredTable[MetadataStore]) -> dict[str, Any]:
    """Describe a store, and the one that has a table, without secrets."""
    return {
        "name": store.name,
        "type": store.qualified_class_name,
        "display": store.display(),
        "versioning_engine": store.versioning_engine,
        "resolved_from": found.store.get_store_info(found.key),
    }


def state_of(frame: Any, ids: Sequence[str] = ()) -> State:
    """Return the state of rows that any library has, among them Metaxy's columns.

    Without ``ids`` all columns count that hold one value each, also when rows were written. Rows are hashed
    here, and not by their database, so this is no state of `contents`.

    Raises:
        MetadataSchemaError: if it is no dataframe.
    """
    rows = as_lazy(wrapped_frame(frame))
    schema = rows.collect_schema()
    columns = [*ids, VERSION] if ids else [name for name, dtype in schema.items() if not dtype.is_nested()]
    if ids:
        rows = rows.with_columns(_version(_versions(schema)))
    [whole] = digests_polars(rows.select(*columns), columns, ())
    return State.of(whole)


def newest(
    store: MetadataStore, key: FeatureKey, *, among: Conditions = everything, limit: int = 5
) -> nw.DataFrame[Any]:
    """Return the few rows that were first written last, with all columns, IDs first; the newest is the last.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
    """
    filters = among(find(store, key, allow_fallback=True).scan.schema)
    ids = store.session.scope("r").definition(key).id_columns
    order = [*ids, METAXY_CREATED_AT]  # first the IDs alone: other columns may be large
    chosen = last_rows(store.read(key, filters=filters, columns=order), limit)
    rows = last_rows(store.read(key, filters=filters, ids=chosen.select(*ids)), limit)
    return rows.select(*ids, nw.exclude(*ids))


def last_rows(frame: Any, limit: int) -> nw.DataFrame[Any]:
    """Return a few rows of a frame: those that were first written last or, if that is unknown, at its end.

    Libraries without an order have no end; any rows are taken there.

    Raises:
        MetadataSchemaError: if it is no dataframe.
    """
    rows = as_lazy(wrapped_frame(frame))
    if METAXY_CREATED_AT in rows.collect_schema():
        latest_first = rows.sort(METAXY_CREATED_AT, descending=True, nulls_last=True).head(limit)
        return nw.from_native(collect_to_polars(latest_first).reverse(), eager_only=True)
    few = rows.to_native().tail(limit) if rows.implementation.is_polars() else rows.head(limit)
    return nw.from_native(collect_to_polars(few), eager_only=True)
