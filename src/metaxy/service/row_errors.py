"""Samples that could not be computed, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

import polars as pl

from metaxy.columns import METAXY_PROVENANCE
from metaxy.definitions.keys import FeatureKey
from metaxy.service.project import Project
from metaxy.store.row_errors import SHOWN
from metaxy.store.store import MetadataStore
from metaxy.store.system.row_errors import features_with_errors
from metaxy.store.system.tables import COL_RUN_ID

TOLD: Final = SHOWN[:-2]  # the last two are columns of the sample


@dataclass(frozen=True)
class SampleError:
    """Why one sample could not be computed: at the last attempt, or at each of them."""

    feature: str
    ids: Mapping[str, Any]
    attempt: int
    error_type: str
    error_message: str
    recorded_at: datetime
    run_id: str | None

    def data(self) -> dict[str, Any]:
        """Return it as plain data, without its feature."""
        told = {name: getattr(self, name) for name in TOLD}
        return {"ids": dict(self.ids), **told, "recorded_at": self.recorded_at.isoformat()}


def errors(
    project: Project, features: Sequence[str] | None = None, *, store: str | None = None, all_attempts: bool = False
) -> list[SampleError]:
    """Return the errors that count of some features, or of all that have any."""
    with project.store(store) as opened:
        keys = _failing(project, opened, features)
        return [error for key in keys for error in errors_of(opened, str(key), all_attempts=all_attempts)]


def _failing(project: Project, opened: MetadataStore, features: Sequence[str] | None) -> list[FeatureKey]:
    """Return those of the named features that have errors, whether or not they count."""
    known = set(features_with_errors(opened))
    return [key for key in project.keys(features) if str(key) in known]


def errors_of(opened: MetadataStore, key: str, *, all_attempts: bool) -> list[SampleError]:
    """Return the errors of one feature that count; values of IDs are as the store has them."""
    rows = opened.read_errors(key, all_attempts=all_attempts).to_polars()
    # IDs come first; where one has the name of what is told, that has another.
    ids, told = rows[:, : -len(SHOWN)], rows[:, -len(SHOWN) : -2]
    told = told.rename(dict(zip(told.columns, TOLD, strict=True)))
    return [
        SampleError(key, sample, **{**error, "recorded_at": error["recorded_at"].replace(tzinfo=timezone.utc)})
        for sample, error in zip(ids.iter_rows(named=True), told.iter_rows(named=True), strict=True)
    ]


def failed_again(opened: MetadataStore, key: FeatureKey, run: str | None) -> int:
    """Count the samples that failed in a run, and in another one before."""
    rows = opened.read_errors(key, all_attempts=True).to_polars()
    ids, told = rows.columns[: -len(SHOWN)], rows.columns[-len(SHOWN) :]
    run_id = told[SHOWN.index(COL_RUN_ID)]
    runs = rows.group_by(*ids, told[SHOWN.index(METAXY_PROVENANCE)]).agg(pl.col(run_id))
    return runs.filter(pl.col(run_id).list.contains(run), pl.col(run_id).list.n_unique() > 1).height


def forget(project: Project, features: Sequence[str] | None = None, *, store: str | None = None) -> list[str]:
    """Let the errors of some features, or of all that have any, count no more; return their keys."""
    with project.store(store).open("w") as opened:
        keys = _failing(project, opened, features)
        for key in keys:
            opened.forget_errors(key)
        return list(map(str, keys))
