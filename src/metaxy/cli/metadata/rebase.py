"""`mx metadata rebase`: rows that are still right, taken over to another version of their feature."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import polars as pl
from cyclopts import Parameter

from metaxy.cli.failures import USAGE, CommandError
from metaxy.cli.output import done, progress, say
from metaxy.cli.selection import known_feature
from metaxy.cli.workspace import workspace
from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROVENANCE
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import did_you_mean
from metaxy.store.system.storage import SystemTableStorage
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows

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
        if target != current:
            _refuse_unpushed(opened, key, target)
        every = collect_to_polars(opened.rebase(key, rows, to_feature_version=target))
        rebased = _not_there_yet(opened, key, target, every, place.graph.get_feature_definition(key).spec.id_columns)
        if not dry_run and rebased.height:
            opened.write(key, rebased, preserve_feature_version=True)
        bar.advance(task, found)
    if left_out := found - every.height:
        say(f"{left_out} row(s) have no parents any more and are left out")
    if there := every.height - rebased.height:
        say(f"{there} row(s) have that version already")
    what = f"{rebased.height} row(s)"
    say(f"Dry run: {what} would be rebased") if dry_run else done(f"Rebased {what}")


def _not_there_yet(
    store: "MetadataStore", key: FeatureKey, version: str, rows: pl.DataFrame, ids: Sequence[str]
) -> pl.DataFrame:
    """Leave out rows that need no update: a second rebase must not put old content over what was computed since."""
    columns = [*ids, METAXY_PROVENANCE]
    there = store.read(key, feature_version=version, with_feature_history=True, allow_fallback=False, columns=columns)
    return rows.join(collect_to_polars(there), on=columns, how="anti")


def _unknown_version(store: "MetadataStore", key: FeatureKey, version: str) -> CommandError:
    """Return the error for a version without rows, with those that have some."""
    every = store.read(key, with_feature_history=True, allow_fallback=False, columns=[METAXY_FEATURE_VERSION])
    known = sorted(collect_to_polars(every.unique())[METAXY_FEATURE_VERSION].to_list())
    message = f"feature {key} has no rows of version {version!r}.{did_you_mean(version, known)}"
    hint = f"it has rows of: {', '.join(known)}" if known else "it has no rows at all"
    return CommandError("VERSION_NOT_FOUND", message, hint=hint, versions=known)


def _refuse_unpushed(store: "MetadataStore", key: FeatureKey, version: str) -> None:
    """Refuse a version of a feature that no graph has: neither the one in memory nor one that was pushed.

    Raises:
        CommandError: with the versions that were pushed.
    """
    known = SystemTableStorage(store).read_feature_versions(key)[METAXY_FEATURE_VERSION].to_list()
    if version not in known:
        message = f"no version {version!r} of feature {key} was pushed to {store!r}.{did_you_mean(version, known)}"
        raise CommandError("VERSION_NOT_FOUND", message, hint="push the graph that has it first", versions=known)
