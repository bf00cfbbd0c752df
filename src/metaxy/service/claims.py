"""Claims: which samples workers hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metaxy.service.project import Project

__all__ = ["OpenClaim", "claims"]


@dataclass(frozen=True)
class OpenClaim:
    """Some samples of a feature that a worker holds; of one whose lease has expired, others may take them."""

    feature: str
    worker: str
    samples: int
    token: int
    taken_at: datetime
    expires_at: datetime
    is_live: bool

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**vars(self), "taken_at": self.taken_at.isoformat(), "expires_at": self.expires_at.isoformat()}


def claims(project: Project, features: Sequence[str] | None = None, *, store: str | None = None) -> list[OpenClaim]:
    """Return the claims of all workers, the oldest first, or those to samples of some features."""
    wanted = None if features is None else {str(key) for key in project.keys(features)}
    rows = project.store(store).read_claims().rename({"feature_key": "feature"}).drop("metaxy_feature_version")
    found = [OpenClaim(**row) for row in rows.rows(named=True)]
    return [each for each in found if wanted is None or each.feature in wanted]
