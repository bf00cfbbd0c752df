"""`mx metadata delete` and `drop`: rows and tables that should go."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import narwhals as nw
from cyclopts import Parameter

from metaxy.cli.failures import FAILURE, CommandError, message_of
from metaxy.cli.output import confirm, done, print_text, progress, say
from metaxy.cli.selection import AllFeatures, Features, Filters, parsed_filters, selected_features
from metaxy.cli.workspace import workspace
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetaxyError

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore

Yes = Annotated[bool, Parameter(negative=())]


def delete(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    filter: Filters = None,
    soft: Annotated[bool, Parameter(negative="--hard")] = True,
    with_feature_history: bool | None = None,
    yes: Yes = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    store: str | None = None,
) -> int:
    """Delete rows of features; what depends on them stays, and is orphaned.

    Args:
        features: Keys of features.
        all_features: All features of the project.
        filter: Only rows that fulfil this condition, such as "size > 3"; may be given several times.
        soft: Hide the rows, or with --hard remove them for good.
        with_feature_history: In all versions of the features, not only in the current one; the default where all
            features are deleted for good without a filter, which empties the store.
        yes: Do not ask.
        dry_run: Only say how many rows would be deleted.
        store: Name of the store; the default one if not given.
    """
    place = workspace()
    conditions = parsed_filters(filter)
    keys = selected_features(place, features, all_features)
    opened = place.store(store)
    everything = all_features and not conditions
    history = (everything and not soft) if with_feature_history is None else with_feature_history
    kind = "soft" if soft else "hard"
    if not dry_run and not conditions and (all_features or not soft):
        named = "all features" if all_features else ", ".join(map(str, keys))
        confirm(f"Delete all rows of {named} from {opened!r} ({kind} delete)", yes=yes)
    options: dict[str, Any] = {"soft": soft, "with_feature_history": history}
    with opened.open("r" if dry_run else "w"):
        present = _present(opened, keys, skip=all_features)
        if dry_run:
            say(f"Dry run of a {kind} delete from {opened!r}" + (f" where {' and '.join(filter)}" if filter else ""))
        work = partial(_delete, opened, conditions=conditions, options=options, dry_run=dry_run)
        return _each(present, "delete", work, kind, dry_run=dry_run)


def _delete(
    store: "MetadataStore", key: FeatureKey, *, conditions: Sequence[nw.Expr], options: dict[str, Any], dry_run: bool
) -> int:
    count = store.count_rows_to_delete(key, conditions, **options)
    if not dry_run:
        store.delete(key, list(conditions) or None, **options)
    print_text(f"{key}: {count} row(s) {'would be ' if dry_run else ''}deleted")
    return count


def _present(store: "MetadataStore", keys: Sequence[FeatureKey], *, skip: bool) -> list[FeatureKey]:
    """Return the features to work on; of all features, those without a table do not count.

    Raises:
        CommandError: if nothing is left.
    """
    present = [key for key in keys if not skip or store.has_feature(key)]
    if not present:
        raise CommandError("NO_FEATURES", f"{store!r} has none of the features of the project")
    return present


def _each(
    keys: Sequence[FeatureKey], verb: str, work: Callable[[FeatureKey], int], kind: str, *, dry_run: bool = False
) -> int:
    """Do something to each feature, report those where it failed, and return the exit code."""
    total, failed = 0, 0
    with progress("features") as bar:
        for key in bar.track(keys, description=verb):
            try:
                total += work(key)
            except MetaxyError as error:
                failed += 1
                say(f"Error deleting {key}: {message_of(error)}")
    if failed:
        say(f"{failed} of {len(keys)} feature(s) failed; {total} row(s) ({kind} {verb})")
        return FAILURE
    what = f"({kind} {verb}): {len(keys)} feature(s), {total} row(s)"
    say(f"Dry run complete {what} would go") if dry_run else done(f"{verb.capitalize()} complete {what}")
    return 0


def drop(
    features: Features = None, *, all_features: AllFeatures = False, yes: Yes = False, store: str | None = None
) -> int:
    """Remove the tables of features from a store, with all versions and all history.

    Args:
        features: Keys of features.
        all_features: All features of the project.
        yes: Do not ask.
        store: Name of the store; the default one if not given.
    """
    place = workspace()
    keys = selected_features(place, features, all_features)
    opened = place.store(store)
    confirm(f"Drop the tables of {', '.join(map(str, keys))} from {opened!r}", yes=yes)
    with opened.open("w"):
        present = _present(opened, keys, skip=True)
        return _each(present, "drop", lambda key: _drop(opened, key), "table")


def _drop(store: "MetadataStore", key: FeatureKey) -> int:
    rows = store.count_rows_to_delete(key, [], soft=False, with_feature_history=True)
    store.drop_feature_metadata(key)
    print_text(f"{key}: table dropped, with {rows} row(s)")
    return rows
