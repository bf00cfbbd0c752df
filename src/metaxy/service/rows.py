"""The rows of features, and how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import narwhals as nw
from pydantic import BaseModel, ConfigDict

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, SYSTEM_COLUMNS
from metaxy.definitions.keys import FeatureKey
from metaxy.service.project import Project, Track
from metaxy.store.reading import find_or_none, no_markers, readable
from metaxy.store.request import as_filters
from metaxy.store.store import MetadataStore
from metaxy.store.unknown_tables import count_rows
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows

SYSTEM: Final[frozenset[str]] = frozenset(column.name for column in SYSTEM_COLUMNS)


@dataclass(frozen=True)
class Rows:
    """Rows of a feature, with the names of their columns."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]

    def data(self) -> list[dict[str, Any]]:
        """Return each row with the names of its values."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


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


def rows(
    project: Project,
    feature: str,
    *,
    store: str | None = None,
    limit: int = 10,
    columns: Sequence[str] | None = None,
    system_columns: bool = False,
    filters: Sequence[str] = (),
) -> Rows:
    """Return the latest rows of a feature, in its current version; by default without Metaxy's own columns."""
    [key] = project.keys([feature])
    wanted = as_filters(filters)
    with project.store(store) as opened:
        frame = opened.read(key, filters=wanted, columns=columns)
        if columns is None:  # IDs first, wherever the table has them
            ids = project.graph.get_feature_definition(key).spec.id_columns
            frame = frame.select(*ids, nw.exclude(*ids))
        return shown(frame, limit, all_columns=bool(columns) or system_columns)


def shown(frame: nw.LazyFrame[Any], limit: int, *, all_columns: bool) -> Rows:
    """Return the first rows of a frame, without Metaxy's own columns unless all are wanted."""
    found = collect_to_polars((frame if all_columns else frame.select(nw.exclude(*SYSTEM))).head(limit))
    return Rows(found.columns, found.rows())


def statistics(
    project: Project, features: Sequence[str] | None = None, *, store: str | None = None, track: Track = iter
) -> list[FeatureStatistics]:
    """Count the rows and versions that features have in a store."""
    keys = project.keys(features)
    with project.store(store) as opened:
        return [feature_statistics(opened, key) for key in track(keys)]


def feature_statistics(store: MetadataStore, key: FeatureKey) -> FeatureStatistics:
    """Count what a store, which must be open, has of a feature; fallback stores are not asked.

    Raises:
        HashSettingsMismatchError: if it has rows, but under other hash settings.
    """
    found = find_or_none(store, key, allow_fallback=False)
    if found is None:
        return FeatureStatistics(feature_key=key)
    deleted = nw.col(METAXY_DELETED_AT).count() if METAXY_DELETED_AT in found.scan.schema else nw.lit(0)
    kept = no_markers(found.scan.schema, store.session.scope("r").definition(key).spec)
    with readable(f"feature {key}"):
        counts = count_rows(found.scan, kept, tombstones=deleted)
        samples = count_lazy_rows(store.read(key, allow_fallback=False, columns=[METAXY_FEATURE_VERSION]))
    return FeatureStatistics(feature_key=key, exists=True, samples=samples, **counts)
