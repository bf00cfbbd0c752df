"""Bringing a project up to date: each feature by the function that the code of the project names."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from metaxy.errors import RequestError
from metaxy.process.registry import computed
from metaxy.process.running import Plan, RunReport, plan, run
from metaxy.service.features import where_features_are
from metaxy.service.project import Project
from metaxy.store.request import ErrorHandling

__all__ = ["Errors", "Plan", "RunReport", "compute", "dry_run"]

Errors: TypeAlias = ErrorHandling
"""Whether samples that failed before are tried again, left out, or alone are tried."""


def compute(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    up: int = 0,
    down: int = 0,
    **options: Any,
) -> RunReport:
    """Compute what changed of features, by default of all that are meant.

    Raises:
        RequestError: if a feature is unknown, the project has none, or no code of it names a function.
    """
    with project.graph.use():
        keys = _keys(project, features)
        return run(project.store(store), features=keys, up=up, down=down, **options)


def dry_run(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    up: int = 0,
    down: int = 0,
    limit: int | None = None,
    errors: Errors | None = None,
) -> list[Plan]:
    """Say what `compute` would do now, in order; at most so many samples of each feature are counted.

    Raises:
        RequestError: as `compute` does.
    """
    with project.graph.use():
        keys = _keys(project, features)
        return plan(project.store(store), features=keys, up=up, down=down, limit=limit, errors=errors)


def _keys(project: Project, features: Sequence[str] | None) -> list[Any]:
    keys = project.keys(features)
    if not keys:
        raise _no_features(project)
    if not computed():
        message = "no function computes a feature of this project"
        hint = "decorate one with @mx.computes(Feature), in a module that the entry points load"
        raise RequestError("NO_FUNCTIONS", message, hint=hint, kind="request")
    return keys


def _no_features(project: Project) -> RequestError:
    """Say that nothing can be computed: it must not look as if all were in sync."""
    message = f"project {project.name} has no features"
    return RequestError("NO_FEATURES", message, hint=where_features_are(project), kind="request")
