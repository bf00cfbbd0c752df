"""The counts of one feature, which hold until something changes that they are made from."""

from dataclasses import dataclass
from datetime import datetime, timezone

from metaxy.dag.stats import FeatureStats
from metaxy.service.graph_stats import count
from metaxy.service.project import Project
from metaxy.store.commit_tokens import feature_token


@dataclass(frozen=True)
class Counts:
    """What a store had of a feature and what it needed, at a time (UTC).

    ``token`` is what `commit_token` returned just before, None where no store can say what has changed.
    """

    stats: FeatureStats
    as_of: datetime
    token: str | None


def commit_token(project: Project, feature: str, *, store: str | None = None) -> str | None:
    """Return what is another text after every change of what the counts of a feature are made from; no rows are read.

    It may change without such a change. It is None where a store cannot say; then only counting tells.

    Raises:
        StoreLockedError: if another process keeps an embedded database locked.
        StoreConnectionError: if the store cannot be reached.
    """
    [key] = project.keys([feature])
    with project.store(store) as opened, project.graph.use():
        return feature_token(opened, opened.session.scope("r"), key)


def counts(project: Project, feature: str, *, store: str | None = None, known: Counts | None = None) -> Counts:
    """Count one feature as pictures do, in one session, or return the counts that are ``known`` if they still hold.

    A feature that cannot be counted says so in its ``stats``.

    Raises:
        StoreLockedError: if another process keeps an embedded database locked.
        StoreConnectionError: if the store cannot be reached.
    """
    [key] = project.keys([feature])
    with project.store(store) as opened, project.graph.use():
        now, token = datetime.now(timezone.utc), feature_token(opened, opened.session.scope("r"), key)
        if known is not None and token is not None and token == known.token:
            return known
        return Counts(count(project.with_store(opened), feature), now, token)
