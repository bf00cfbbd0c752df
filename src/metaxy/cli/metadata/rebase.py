"""`mx metadata rebase`: rows that are still right, taken over to another version of their feature."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from metaxy.cli.failures import USAGE, CommandError
from metaxy.cli.output import done, progress, say
from metaxy.cli.selection import known_feature
from metaxy.cli.workspace import workspace
from metaxy.columns import METAXY_FEATURE_VERSION
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import did_you_mean
from metaxy.registry import FeatureGraph
from metaxy.store.information import count_lazy_rows
from metaxy.store.system.storage import SystemTableStorage
from metaxy.versioning.frames import collect_to_polars

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


def rebase(
    feature: str,
    *,
    from_version: Annotated[str, Parameter(name="--from")],
    to_version: Annotated[str | None, Parameter(name="--to")] = None,
    store: str | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Give rows of one version of a feature the versions of another, where what was computed is still right.

    Args:
        feature: Key of the feature.
        from_version: The version that the rows have; `mx history --feature KEY` shows versions.
        to_version: The version that they get; the current one by default.
        store: Name of the store; the default one if not given.
        dry_run: Only say how many rows would be rebased.
    """
    place = workspace()
    key = known_feature(place, feature)
    current = place.graph.get_feature_version(key)
    target = to_version or current
    if from_version == target:
        message = f"feature {key}: --from and --to are the same version, {target}"
        raise CommandError("CONFLICTING_FLAGS", message, exit_code=USAGE, conflicting_flags=["--from", "--to"])
    with place.store(store).open("r" if dry_run else "w") as opened, progress() as bar:
        rows = opened.read(key, feature_version=from_version, with_feature_history=True, allow_fallback=False)
        found = count_lazy_rows(rows)
        if not found:
            raise _unknown_version(opened, key, from_version)
        task = bar.add_task(f"rebase {key}", total=found)
        graph = None if target == current else _graph_of(opened, key, target)
        rebased = collect_to_polars(opened.rebase(key, rows, to_feature_version=target, graph=graph))
        if not dry_run:
            opened.write(key, rebased, preserve_feature_version=True)
        bar.advance(task, found)
    if left_out := found - rebased.height:
        say(f"{left_out} row(s) have no parents any more and are left out")
    what = f"{rebased.height} row(s)"
    say(f"Dry run: {what} would be rebased") if dry_run else done(f"Rebased {what}")


def _unknown_version(store: "MetadataStore", key: FeatureKey, version: str) -> CommandError:
    """Return the error for a version without rows, with those that have some."""
    every = store.read(key, with_feature_history=True, allow_fallback=False, columns=[METAXY_FEATURE_VERSION])
    known = sorted(collect_to_polars(every.unique())[METAXY_FEATURE_VERSION].to_list())
    message = f"feature {key} has no rows of version {version!r}.{did_you_mean(version, known)}"
    hint = f"it has rows of: {', '.join(known)}" if known else "it has no rows at all"
    return CommandError("VERSION_NOT_FOUND", message, hint=hint, versions=known)


def _graph_of(store: "MetadataStore", key: FeatureKey, version: str) -> FeatureGraph:
    """Load the graph that was pushed when a feature had some version."""
    system = SystemTableStorage(store)
    recorded = system.read_feature_versions(key)
    for row in recorded.iter_rows(named=True):
        if row[METAXY_FEATURE_VERSION] == version:
            return system.load_graph_from_snapshot(row["metaxy_project_version"], project=row["project"])
    known = recorded[METAXY_FEATURE_VERSION].to_list()
    message = f"no version {version!r} of feature {key} was pushed to {store!r}.{did_you_mean(version, known)}"
    raise CommandError("VERSION_NOT_FOUND", message, hint="push the graph that has it first", versions=known)
