"""`mx lock`: write down the features of other projects that this one depends on."""

import time
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from metaxy.cli.failures import FAILURE, USAGE, CommandError
from metaxy.cli.output import say
from metaxy.cli.workspace import workspace
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import short_path
from metaxy.project.lock import FeatureChange, FeatureUpdate, LockFileResult, generate_lock_file


def lock(
    store: str | None = None,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    check: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write the definitions of the features of other projects that this one depends on to the lock file.

    Args:
        store: Name of the store where the other projects push; the default one if not given.
        output: The file; by default metaxy_lock_path of the configuration, else metaxy.lock next to it.
        check: Write nothing, and fail if the file is out of date.
    """
    place = workspace()
    project = place.own_project("lock")
    path = output or place.config.lock_file
    if path is None:
        raise CommandError("MISSING_REQUIRED_FLAG", "say where to write the lock file, by --output", exit_code=USAGE)
    place.unlocked_graph()
    start = time.monotonic()
    opened = place.store(store)
    selection = reduce(or_, place.config.extra_features, FeatureSelection.none())
    result = generate_lock_file(opened, path, exclude_project=project, selection=selection, dry_run=check)
    _tell(result)
    seconds = f"{time.monotonic() - start:.2f}s"
    if check and (result.changed or not path.exists()):
        say(f"Lock file {short_path(path)} is out of date; run `mx lock` ({seconds}).")
        return FAILURE
    if result.changed:
        say(f"Updated {short_path(path)} from {opened!r} in {seconds}.")
    else:
        say(f"Lock file {short_path(path)} is up to date ({seconds}).")
    return 0


def _tell(result: LockFileResult) -> None:
    """Say what changed, project by project."""
    changes: list[FeatureChange | FeatureUpdate] = [*result.added, *result.updated, *result.removed]
    projects = sorted({change.project for change in changes})
    for project in projects:
        if len(projects) > 1:
            say(f"{project}:")
        for line in _lines(result, project):
            say(line)


def _lines(result: LockFileResult, project: str) -> Iterator[str]:
    yield from (f" + {c.key} ({c.version})" for c in result.added if c.project == project)
    yield from (f" ~ {c.key} ({_difference(c)})" for c in result.updated if c.project == project)
    yield from (f" - {c.key} ({c.version})" for c in result.removed if c.project == project)


def _difference(change: FeatureUpdate) -> str:
    if change.metadata_only:
        return f"{change.old_version}, non-versioning metadata update"
    return f"{change.old_version} -> {change.new_version}"
