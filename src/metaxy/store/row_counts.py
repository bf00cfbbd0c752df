"""Counts of the rows, samples and versions of a feature, made where the rows are."""

from datetime import datetime

import narwhals as nw
from pydantic import BaseModel, ConfigDict

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, coerce_to_feature_key
from metaxy.storage.port import Scan
from metaxy.store.reading import find_or_none, no_markers, readable
from metaxy.store.store import MetadataStore
from metaxy.store.unknown_tables import count_rows
from metaxy.versioning.frames import count_lazy_rows


class FeatureStatistics(BaseModel):
    """What a store has of a feature; all is zero where it has no table.

    ``samples`` counts the samples of the current feature version, ``rows`` all rows of all versions, ``tombstones``
    those of them that mark a deletion. Markers of expansions are no rows of the user, and not counted.
    """

    model_config = ConfigDict(frozen=True)

    feature_key: FeatureKey
    exists: bool = False
    samples: int = 0
    rows: int = 0
    tombstones: int = 0
    feature_versions: int = 0
    last_write: datetime | None = None


def feature_statistics(store: MetadataStore, feature: CoercibleToFeatureKey) -> FeatureStatistics:
    """Count what a store, which must be open, has of a feature; fallback stores are not asked.

    Raises:
        HashSettingsMismatchError: if it has rows, but under other hash settings.
    """
    key = coerce_to_feature_key(feature)
    found = find_or_none(store, key, allow_fallback=False)
    if found is None:
        return FeatureStatistics(feature_key=key)
    with readable(f"feature {key}"):
        return _counted(store, key, found.scan)


def _counted(store: MetadataStore, key: FeatureKey, scan: Scan) -> FeatureStatistics:
    deleted = nw.col(METAXY_DELETED_AT).count() if METAXY_DELETED_AT in scan.schema else nw.lit(0)
    rows = no_markers(scan.schema, store.session.scope("r").definition(key).spec)
    counts = count_rows(scan, rows, tombstones=deleted)
    samples = count_lazy_rows(store.read(key, allow_fallback=False, columns=[METAXY_FEATURE_VERSION]))
    return FeatureStatistics(feature_key=key, exists=True, samples=samples, **counts)
