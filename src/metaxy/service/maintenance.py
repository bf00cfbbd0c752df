"""Work on the rows of features: delete, clean, drop, optimize, copy, rebase; each can be tried without a change."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import polars as pl

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROVENANCE
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetaxyError, RequestError
from metaxy.service.failures import Failure
from metaxy.service.project import Project, Track
from metaxy.store.deleting import Deleted
from metaxy.store.request import as_filters
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.wording import did_you_mean

Work: TypeAlias = Callable[[MetadataStore, FeatureKey], int | Deleted]


@dataclass(frozen=True)
class Outcome:
    """How many rows of a feature something was done to, or would be done to, or why it was not.

    ``changed_since`` counts the samples that stay, as they were written while it was done.
    """

    feature: str
    rows: int = 0
    failure: Failure | None = None
    changed_since: int = 0


def delete(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    filters: Sequence[str] = (),
    soft: bool = True,
    with_feature_history: bool | None = None,
    dry_run: bool = False,
    track: Track = iter,
) -> Iterator[Outcome]:
    """Delete rows of features, one feature after the other; what depends on them stays, and is orphaned.

    Without ``soft`` rows are removed for good; if that is all rows of all features, then by default of all versions.

    Raises:
        RequestError: if the store has none of all features.
    """
    wanted = as_filters(filters)
    everything = features is None and not wanted
    history = (everything and not soft) if with_feature_history is None else with_feature_history

    def work(opened: MetadataStore, key: FeatureKey) -> int:
        options: dict[str, bool] = {"everything": not wanted, "soft": soft, "with_feature_history": history}
        if dry_run:
            return opened.count_rows_to_delete(key, wanted, **options)
        return opened.delete(key, wanted, **options).rows

    keys = project.keys(features)
    opened = project.store(store)
    below = soft and opened.overlays  # rows that it sees under its own are hidden, too
    return _each(opened, keys, work, track, only_present=features is None, below=below, dry_run=dry_run)


def clean(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    max_share: float = 0.5,
    dry_run: bool = False,
    track: Track = iter,
) -> Iterator[Outcome]:
    """Delete the samples of features whose parents are gone, parents first, as `MetadataStore.delete_orphaned` does.

    Of all features, those without parents are left out: nothing in a store says which samples they should have. What is
    deleted orphans its children in turn, which a dry run does not foresee.

    Raises:
        RequestError: if the store has none of all features.
    """

    def work(opened: MetadataStore, key: FeatureKey) -> Deleted:
        return opened.delete_orphaned(key, max_share=max_share, dry_run=dry_run)

    keys = project.graph.topological_sort_features(project.keys(features))
    if features is None:
        keys = [key for key in keys if project.graph.get_feature_plan(key).feature_deps]
    opened = project.store(store)
    return _each(opened, keys, work, track, only_present=features is None, below=opened.overlays, dry_run=dry_run)


def drop(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    dry_run: bool = False,
    track: Track = iter,
) -> Iterator[Outcome]:
    """Remove the tables of features, with all versions and all history, one after the other.

    Raises:
        RequestError: if the store has none of the features.
    """

    def work(opened: MetadataStore, key: FeatureKey) -> int:
        rows = _all_rows(opened, key)
        if not dry_run:
            opened.drop_feature_metadata(key)
        return rows

    return _each(project.store(store), project.keys(features), work, track, dry_run=dry_run)


def optimize(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    store: str | None = None,
    keep: timedelta = timedelta(days=7),
    dry_run: bool = False,
    track: Track = iter,
) -> Iterator[Outcome]:
    """Make the tables of features quick to read again, one after the other, as `MetadataStore.optimize` does.

    Raises:
        RequestError: if the store has none of the features.
    """

    def work(opened: MetadataStore, key: FeatureKey) -> int:
        if not dry_run:
            opened.optimize(key, keep=keep)
        return _all_rows(opened, key)

    return _each(project.store(store), project.keys(features), work, track, dry_run=dry_run)


def _all_rows(store: MetadataStore, key: FeatureKey) -> int:
    return store.count_rows_to_delete(key, everything=True, soft=False, with_feature_history=True)


def _each(
    store: MetadataStore,
    keys: Sequence[FeatureKey],
    work: Work,
    track: Track,
    *,
    only_present: bool = True,
    below: bool = False,
    dry_run: bool,
) -> Iterator[Outcome]:
    """Do something to each feature; where it fails, the others are still done."""
    with store.open("r" if dry_run else "w"):
        present = [key for key in keys if not only_present or store.has_feature(key, check_fallback=below)]
        if not present:
            raise RequestError("NO_FEATURES", f"{store!r} has none of the features of the project")
        for key in track(present):
            try:
                done = work(store, key)
                counts = done if isinstance(done, Deleted) else Deleted(done)
                outcome = Outcome(str(key), counts.rows, changed_since=counts.changed_since)
            except MetaxyError as error:
                outcome = Outcome(str(key), failure=Failure.of(error))
            yield outcome


# -- from one store to another -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copied:
    """How many features and rows were copied, or would be; features without a table there are ``left_out``."""

    features: int
    rows: int
    source: str
    left_out: Sequence[str]


def copy(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    source: str,
    target: str,
    filters: Sequence[str] = (),
    with_feature_history: bool = True,
    with_sample_history: bool = False,
    dry_run: bool = False,
    progress: bool = False,
    sample: int | None = None,
) -> Copied:
    """Copy the rows of features as they are; rows that are there already are not copied again.

    Features that the graph does not have are left out. With ``progress`` bars are shown on stderr. Of roots, only a
    ``sample`` may be copied, the same one each time, with what was computed of it.

    Raises:
        RequestError: if both stores are the same, or the first has none of the features.
    """
    if source == target:
        raise RequestError("CONFLICTING_FLAGS", f"--from and --to name the same store, {source!r}", kind="request")
    wanted = as_filters(filters)
    keys = project.keys(features, strict=False)
    to, from_ = project.store(target), project.store(source)
    with from_, to.open("r" if dry_run else "w"):
        present = _present(from_, keys, features)
        counts = to.copy_metadata(
            from_,
            present,
            global_filters=wanted,
            with_feature_history=with_feature_history,
            with_sample_history=with_sample_history,
            progress=progress,
            dry_run=dry_run,
            sample=sample,
        )
    return _copied(counts, from_, keys, present)


def promote(
    project: Project,
    features: Sequence[str] | None = None,
    *,
    branch: str,
    target: str,
    force: bool = False,
    dry_run: bool = False,
    progress: bool = False,
) -> Copied:
    """Copy what a store added to the rows of another one, which it sees under its own, to that one.

    Features that the graph does not have are left out. With ``progress`` bars are shown on stderr.

    Raises:
        RequestError: if both stores are the same, the first does not fall back on the other, unless ``force``, or has
            none of the features.
    """
    if branch == target:
        raise RequestError("CONFLICTING_FLAGS", f"{branch!r} cannot be promoted to itself", kind="request")
    keys = project.keys(features, strict=False)
    to, from_ = project.store(target), project.store(branch)
    if not force and target not in from_.fallback_stores.names:
        below = ", ".join(from_.fallback_stores.names) or "none"
        message = f"{from_!r} does not fall back on {to!r}, so its rows may stand on others than are there"
        hint = f"its fallback stores: {below}; --force copies its rows all the same"
        raise RequestError("NOT_A_FALLBACK", message, hint=hint, kind="request", fallback_stores=below)
    with to.open("r" if dry_run else "w"), from_:
        named = features or not keys  # else a branch that added nothing has nothing to promote
        present = _present(from_, keys, features) if named else [key for key in keys if from_.has_feature(key)]
        counts = from_.promote(to, present, force=True, progress=progress, dry_run=dry_run)
    return _copied(counts, from_, keys, present)


def _present(source: MetadataStore, keys: Sequence[FeatureKey], features: Sequence[str] | None) -> Sequence[FeatureKey]:
    """Return the features that a store has; ``features`` are their names, where some were given."""
    present = [key for key in keys if source.has_feature(key)]
    if not present:
        asked = ", ".join(features or map(str, keys)) or "the project has none"
        raise RequestError("NO_FEATURES", f"{source!r} has none of the features: {asked}")
    return present


def _copied(
    counts: Mapping[str, int], source: MetadataStore, keys: Sequence[FeatureKey], present: Sequence[FeatureKey]
) -> Copied:
    left_out = [str(key) for key in keys if key not in present]
    return Copied(counts["features_copied"], counts["rows_copied"], repr(source), left_out)


# -- from one version to another ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rebased:
    """How many rows got another version, or would; others have no parents any more, or have that version already.

    ``left_out`` are those without parents or, if only rows with the same inputs were asked for, all with others.
    """

    rows: int
    left_out: int
    already_there: int


def rebase(
    project: Project,
    feature: str,
    *,
    from_version: str,
    to_version: str | None = None,
    same_inputs: bool = False,
    store: str | None = None,
    dry_run: bool = False,
) -> Rebased:
    """Give rows of one version of a feature those of another, the current one by default, where they are still right.

    Raises:
        RequestError: if there are no rows of that version, or nobody pushed the other one.
    """
    [key] = project.keys([feature])
    current = project.graph.get_feature_version(key)
    target = to_version or current
    if from_version == target:
        message, flags = f"feature {key}: --from and --to are the same version, {target}", ["--from", "--to"]
        raise RequestError("CONFLICTING_FLAGS", message, kind="request", conflicting_flags=flags)
    with project.store(store).open("r" if dry_run else "w") as opened:
        seen = opened.overlays  # otherwise rows of other stores are not its own
        rows = opened.read(key, feature_version=from_version, with_feature_history=True, allow_fallback=seen)
        found = count_lazy_rows(rows)
        if not found:
            raise _unknown_version(opened, key, from_version)
        if target != current:
            _refuse_unpushed(opened, key, target)
        every = collect_to_polars(opened.rebase(key, rows, to_feature_version=target, same_inputs=same_inputs))
        rebased = _not_there_yet(opened, key, target, every, project.graph.get_feature_definition(key).spec.id_columns)
        if not dry_run and rebased.height:
            opened.write(key, rebased, preserve_feature_version=True)
    return Rebased(rebased.height, found - every.height, every.height - rebased.height)


def _not_there_yet(
    store: MetadataStore, key: FeatureKey, version: str, rows: pl.DataFrame, ids: Sequence[str]
) -> pl.DataFrame:
    """Leave out rows that need no update: a second rebase must not put old content over what was computed since."""
    columns = [*ids, METAXY_PROVENANCE]
    seen = store.overlays
    there = store.read(key, feature_version=version, with_feature_history=True, allow_fallback=seen, columns=columns)
    return rows.join(collect_to_polars(there), on=columns, how="anti")


def _unknown_version(store: MetadataStore, key: FeatureKey, version: str) -> RequestError:
    """Return the error for a version without rows, with those that have some."""
    seen = store.overlays
    every = store.read(key, with_feature_history=True, allow_fallback=seen, columns=[METAXY_FEATURE_VERSION])
    known = sorted(collect_to_polars(every.unique())[METAXY_FEATURE_VERSION].to_list())
    message = f"feature {key} has no rows of version {version!r}.{did_you_mean(version, known)}"
    hint = f"it has rows of: {', '.join(known)}" if known else "it has no rows at all"
    return RequestError("VERSION_NOT_FOUND", message, hint=hint, versions=known)


def _refuse_unpushed(store: MetadataStore, key: FeatureKey, version: str) -> None:
    """Refuse a version of a feature that no graph has: neither the one in memory nor one that was pushed."""
    known = SystemTableStorage(store).read_feature_versions(key)[METAXY_FEATURE_VERSION].to_list()
    if version not in known:
        message = f"no version {version!r} of feature {key} was pushed to {store!r}.{did_you_mean(version, known)}"
        raise RequestError("VERSION_NOT_FOUND", message, hint="push the graph that has it first", versions=known)
