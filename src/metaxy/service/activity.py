"""How fast a feature is being written now, and how long the rest will take: from its rows, nothing else is kept."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import narwhals as nw

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION, METAXY_UPDATED_AT
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetaxyError
from metaxy.service.claims import OpenClaim, claims
from metaxy.service.graph_stats import count
from metaxy.service.project import Project
from metaxy.store.footprint import in_utc
from metaxy.store.reading import MOMENT, find_or_none, no_markers, readable
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

WINDOWS: Final = {"last_minute": 60, "last_10_minutes": 600, "last_hour": 3600}  # seconds


@dataclass(frozen=True)
class Activity:
    """Rows of the current version of a feature that were written lately, what is left, and who works on it.

    ``rate`` is in rows per second: of those of the last 10 minutes, since the first of them; None if there are none.
    ``left`` counts new and stale samples, None of roots and where that is not known, as where only parents are counted.
    ``seconds_left`` is None where nothing is known to be left, or nothing was written. Times are UTC.
    """

    as_of: datetime
    last_write: datetime | None = None  # if it was in the last hour
    last_minute: int = 0
    last_10_minutes: int = 0
    last_hour: int = 0
    rate: float | None = None
    left: int | None = None
    claims: Sequence[OpenClaim] = ()

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this rate."""
        return self.left / self.rate if self.left and self.rate else None

    def with_left(self, left: int | None) -> "Activity":
        """Return the same with what is left, as it was counted before."""
        return replace(self, left=left)

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        last = self.last_write.isoformat() if self.last_write else None
        told = {"as_of": self.as_of.isoformat(), "last_write": last, "claims": [each.data() for each in self.claims]}
        return {**vars(self), **told, "seconds_left": self.seconds_left}


def activity(project: Project, feature: str, *, store: str | None = None, count_left: bool = True) -> Activity:
    """Say what was written lately of a feature; unless ``count_left``, what is left is not counted, which takes long.

    Raises:
        StoreLockedError: if another process keeps an embedded database locked.
        StoreConnectionError: if the store cannot be reached.
    """
    [key] = project.keys([feature])
    with project.store(store) as opened, project.graph.use():
        here = project.with_store(opened)
        found = _written(opened, key, datetime.now(timezone.utc))
        held: Sequence[OpenClaim] = ()
        with suppress(MetaxyError):  # of a store that keeps no claims
            held = claims(here, [feature])
        left = count(here, feature).left if count_left else None
    return replace(found, claims=held, left=left)


def _written(store: MetadataStore, key: FeatureKey, now: datetime) -> Activity:
    """Count the rows that were written lately, in one statement, which reads the times of the last hour only."""
    found = find_or_none(store, key, allow_fallback=store.overlays)
    if found is None:
        return Activity(now)
    scan, scope = found.checked().scan, store.session.scope("r")
    written = nw.col(METAXY_UPDATED_AT).cast(MOMENT)
    since = {name: written >= nw.lit(now - timedelta(seconds=s)).cast(MOMENT) for name, s in WINDOWS.items()}
    lives = [nw.col(METAXY_DELETED_AT).is_null()] if METAXY_DELETED_AT in scan.schema else []
    rows = scan.frame.filter(
        nw.col(METAXY_FEATURE_VERSION) == scope.version(key),
        since["last_hour"],
        *lives,
        *no_markers(scan.schema, scope.definition(key).spec),
    )
    recent = nw.when(since["last_10_minutes"]).then(written)
    counts = {name: is_in.cast(nw.Int64()).sum() for name, is_in in since.items()}
    with readable(f"feature {key}"):
        asked = rows.select(**counts, first=recent.min(), last_write=written.max())
        row = collect_to_polars(asked).row(0, named=True)
    counted: dict[str, Any] = {name: int(row[name] or 0) for name in WINDOWS}
    first, last = (in_utc(row[name]) for name in ("first", "last_write"))
    rate = counted["last_10_minutes"] / max((now - first).total_seconds(), 1) if first else None
    return Activity(now, last, **counted, rate=rate)
