"""The memory of renames: which features got their rows over from old keys, in which version."""

from collections.abc import Collection, Mapping

import polars as pl

from metaxy.columns import METAXY_FEATURE_VERSION
from metaxy.definitions.keys import FeatureKey
from metaxy.store.parts import StoreParts
from metaxy.store.system import tables as t
from metaxy.store.system.rows import append_rows, scans_seen
from metaxy.versioning.frames import collect_to_polars


def record_renames(
    store: StoreParts, versions: Mapping[FeatureKey, str], former: Mapping[FeatureKey, FeatureKey]
) -> None:
    """Remember that features have their rows in these versions; nothing is kept where no table may be created."""
    storage = store.storage
    if not versions or not (storage.capabilities.creates_tables or storage.has_table(t.RENAMES.key)):
        return
    rows = {
        t.COL_FEATURE_KEY: [str(key) for key in versions],
        t.COL_FORMER_KEY: [str(former[key]) if key in former else None for key in versions],
        METAXY_FEATURE_VERSION: list(versions.values()),
        t.COL_RECORDED_AT: [store.clock.now().replace(tzinfo=None)] * len(versions),
    }
    with store.engine.temporary():
        append_rows(store, t.RENAMES.key, pl.DataFrame(rows))


def recorded_renames(store: StoreParts, versions: Mapping[FeatureKey, str]) -> Collection[FeatureKey]:
    """Return which features got their rows over in these versions, in a store or in one that it sees under its own."""
    columns = [t.COL_FEATURE_KEY, METAXY_FEATURE_VERSION]
    known: set[tuple[str, str]] = set()
    for scan in scans_seen(store, t.RENAMES.key):
        known.update(collect_to_polars(scan.frame.select(*columns)).rows())
    return {key for key, version in versions.items() if (str(key), version) in known}
