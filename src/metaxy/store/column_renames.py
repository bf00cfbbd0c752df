"""Renaming a column: its values come under another name, and no version changes."""

from typing import Any

import narwhals as nw

from metaxy import columns as c
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import MetadataSchemaError
from metaxy.storage.port import RenamesColumns, Scan
from metaxy.store.deleting import latest_per_version
from metaxy.store.given import refuse_names
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find, find_or_none, read_rows, readable
from metaxy.store.session import Scope
from metaxy.store.verbatim import as_they_are, rewritten_at
from metaxy.store.writing import append
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.wording import did_you_mean


def rename_column(
    store: StoreParts, scope: Scope, definition: FeatureDefinition, old: str, new: str, *, dry_run: bool
) -> int:
    """Rename a column of a feature's table here, and count the rows with a value in it.

    Where the storage cannot rename, or rows were already written under the new name, the latest row of each sample in
    each feature version that has its value under the old name is appended once more, with it under the new one.

    Raises:
        FeatureNotFoundError: if the feature has no table in this store.
        MetadataSchemaError: if there is no such column, or the names or values do not allow it.
    """
    found = find(store, definition.key, allow_fallback=False).checked()
    _refuse_names(definition, found.scan, old, new)
    if old not in found.scan.schema:  # it was renamed before
        return 0
    _refuse_below(store, definition, old, new)
    natively = new not in found.scan.schema and isinstance(store.storage, RenamesColumns)
    _refuse_ids(definition, old, new, natively=natively)
    with readable(f"feature {found.key}"), store.engine.temporary():
        if natively and isinstance(store.storage, RenamesColumns):
            count = count_lazy_rows(found.scan.frame.filter(~nw.col(old).is_null()))
            if not dry_run:
                store.storage.rename_column(found.key, old, new)
            return count
        return _append(store, scope, definition, found, old, new, dry_run=dry_run)


def _append(
    store: StoreParts,
    scope: Scope,
    definition: FeatureDefinition,
    found: StoredTable,
    old: str,
    new: str,
    *,
    dry_run: bool,
) -> int:
    rows = _with_value(scope, definition, found, old)
    if new in found.scan.schema:
        _refuse_conflicts(definition, found.scan, rows, old, new)
        rows = rows.filter(nw.col(new).is_null())
    moved = rows.drop([new] if new in found.scan.schema else []).rename({old: new})
    now = rewritten_at(store, found.scan)
    count = count_lazy_rows(moved)
    if count and not dry_run:
        append(store, [as_they_are(store, scope, definition, moved.with_columns(now), found.scan)])
    return count


def _with_value(scope: Scope, definition: FeatureDefinition, found: StoredTable, old: str) -> nw.LazyFrame[Any]:
    """Return the latest row of each sample in each version, where it has a value under the old name."""
    columns = [name for name in found.scan.schema if name not in c.STRAY_COLUMNS]
    latest = latest_per_version(scope, definition, all_versions=True)
    return read_rows(found, definition.spec, scope, latest, [], columns).filter(~nw.col(old).is_null())


# -- what is refused ---------------------------------------------------------------------------------------------------


def _refuse_names(definition: FeatureDefinition, scan: Scan, old: str, new: str) -> None:
    where, known = f"feature {definition.key}", [name for name in scan.schema if not c.is_system_column(name)]
    for name in (old, new):
        if c.is_system_column(name) or name.startswith(c.INTERNAL_PREFIX):
            raise MetadataSchemaError(f"{where}: {name!r} is a column of Metaxy, which has no other name")
    if new in c.INCREMENT_COLUMNS | c.STRAY_COLUMNS:  # a write would drop it
        raise MetadataSchemaError(f"{where}: {new!r} is a column of Metaxy, which never stores one of that name")
    if old not in known and new not in known:
        raise MetadataSchemaError(
            f"{where} has no column {old!r}.{did_you_mean(old, known)} It has: {', '.join(known)}"
        )
    if old in known:
        refuse_names({new: scan.schema[old]}, where)
    if twins := [name for name in known if name != new and name.lower() == new.lower()]:
        raise MetadataSchemaError(
            f"{where}: {new!r} and {twins[0]!r} differ only by case, which databases take for one"
        )


def _refuse_below(store: StoreParts, definition: FeatureDefinition, old: str, new: str) -> None:
    """Refuse to rename where rows are seen under a store's own that would keep the old name."""
    for below in store.fallback_stores if store.overlays else ():
        store.keep_open(below)
        there = find_or_none(below, definition.key, allow_fallback=True)
        if there and old in there.scan.schema and new not in there.scan.schema:
            raise MetadataSchemaError(
                f"feature {definition.key}: {there.store!r}, which this store lies over, has {old!r} too: rename the "
                "column there first, then here"
            )


def _refuse_ids(definition: FeatureDefinition, old: str, new: str, *, natively: bool) -> None:
    """Refuse a name that the definition has for an ID, unless it is the new one and all rows get it at once."""
    ids, where = definition.spec.id_columns, f"feature {definition.key}"
    if old in ids:
        raise MetadataSchemaError(f"{where}: {old!r} is an ID column of its definition: change id_columns there first")
    if new in ids and not natively:
        raise MetadataSchemaError(
            f"{where}: {new!r} is an ID column, which only a storage can rename that has a statement for it"
        )


def _refuse_conflicts(definition: FeatureDefinition, scan: Scan, rows: nw.LazyFrame[Any], old: str, new: str) -> None:
    """Refuse to merge two columns of other types, or with two different values in one row."""
    where = f"feature {definition.key}"
    if scan.schema[old] != scan.schema[new]:
        raise MetadataSchemaError(
            f"{where}: {old!r} is {scan.schema[old]}, and {new!r} exists as {scan.schema[new]}: only columns of one "
            "type are merged"
        )
    both = collect_to_polars(rows.filter(~nw.col(new).is_null()).select(*definition.spec.id_columns, old, new))
    for row in both.iter_rows(named=True):
        if row[old] != row[new]:
            sample = ", ".join(f"{name}={row[name]!r}" for name in definition.spec.id_columns)
            raise MetadataSchemaError(
                f"{where}: {old!r} and {new!r} differ in a row, as {row[old]!r} and {row[new]!r} of {sample}; "
                "write the one that is right under one name first"
            )
