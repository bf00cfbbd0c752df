"""Counts of the rows, samples and versions of a feature, made where the rows are."""

from datetime import datetime

import narwhals as nw
from pydantic import BaseModel, ConfigDict

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, coerce_to_feature_key
from metaxy.errors import FeatureNotFoundError
from metaxy.storage.port import Scan
from metaxy.store.reading import find, readable
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows


class FeatureStatistics(BaseModel):
    """What a store has of a feature; all is zero where it has no table.

    ``samples`` counts the samples of the current feature version, ``rows`` all rows of all versions, ``tombstones``
    those of them that mark a deletion.
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
    try:
        scan = find(store, key, allow_fallback=False).scan
    except FeatureNotFoundError:
        return FeatureStatistics(feature_key=key)
    with readable(f"feature {key}"):
        return _counted(store, key, scan)


def _counted(store: MetadataStore, key: FeatureKey, scan: Scan) -> FeatureStatistics:
    deleted = nw.col(METAXY_DELETED_AT).count() if METAXY_DELETED_AT in scan.schema else nw.lit(0)
    counts = collect_to_polars(
        scan.frame.select(
            rows=nw.len(),
            tombstones=deleted,
            feature_versions=nw.col(METAXY_FEATURE_VERSION).n_unique(),
            last_write=nw.col(METAXY_UPDATED_AT).max(),
        )
    ).row(0, named=True)
    samples = count_lazy_rows(store.read(key, allow_fallback=False, columns=[METAXY_FEATURE_VERSION]))
    counts["feature_versions"] = counts["feature_versions"] or 0  # some databases count nothing as NULL
    return FeatureStatistics(feature_key=key, exists=True, samples=samples, **counts)
