"""Bringing a project up to date: each feature by the function that the code of the project names."""

from collections.abc import Sequence
from typing import Any

from metaxy.errors import RequestError
from metaxy.process.registry import computed
from metaxy.process.running import Plan, RunReport, plan, run
from metaxy.service.project import Project

__all__ = ["Plan", "RunReport", "compute", "dry_run"]


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
        RequestError: if a feature is unknown, or no code of the project names a function.
    """
    with project.graph.use():
        keys = _keys(project, features)
        return run(project.store(store), features=keys, up=up, down=down, **options)


def dry_run(
    project: Project, features: Sequence[str] | None = None, *, store: str | None = None, up: int = 0, down: int = 0
) -> list[Plan]:
    """Say what `compute` would do now, in order.

    Raises:
        RequestError: as `compute` does.
    """
    with project.graph.use():
        return plan(project.store(store), features=_keys(project, features), up=up, down=down)


def _keys(project: Project, features: Sequence[str] | None) -> list[Any]:
    keys = project.keys(features)
    if not computed():
        message = "no function computes a feature of this project"
        hint = "decorate one with @mx.computes(Feature), in a module that the entry points load"
        raise RequestError("NO_FUNCTIONS", message, hint=hint, kind="request")
    return keys
