"""The rows of features, and how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw

from metaxy.columns import SYSTEM_COLUMNS
from metaxy.service.project import Project, Track
from metaxy.store.request import as_filters
from metaxy.store.row_counts import FeatureStatistics, feature_statistics
from metaxy.versioning.frames import collect_to_polars

__all__ = ["FeatureStatistics", "Rows", "rows", "statistics"]
SYSTEM: Final[frozenset[str]] = frozenset(column.name for column in SYSTEM_COLUMNS)


@dataclass(frozen=True)
class Rows:
    """Rows of a feature, with the names of their columns."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]

    def data(self) -> list[dict[str, Any]]:
        """Return each row with the names of its values."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


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
