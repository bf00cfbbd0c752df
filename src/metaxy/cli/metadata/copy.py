"""`mx metadata copy`: features from one store to another."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from metaxy.cli.failures import USAGE, CommandError
from metaxy.cli.output import done, say
from metaxy.cli.selection import AllFeatures, Features, Filters, parsed_filters, selected_features
from metaxy.cli.workspace import workspace
from metaxy.definitions.keys import FeatureKey

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


def copy(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    source: Annotated[str, Parameter(name="--from")],
    target: Annotated[str, Parameter(name="--to")],
    filter: Filters = None,
    with_feature_history: bool = True,
    with_sample_history: bool = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Copy the rows of features as they are; rows that are there already are not copied again.

    Args:
        features: Keys of features; those that are not known are left out, with a warning.
        all_features: All features of the project.
        source: Name of the store to copy from.
        target: Name of the store to copy to.
        filter: Only rows that fulfil this condition, such as "size > 3"; may be given several times.
        with_feature_history: Rows of all versions of the features, not only of the current one.
        with_sample_history: All rows of each sample, not only its latest.
        dry_run: Only say how many rows would be copied.
    """
    place = workspace()
    if source == target:
        raise CommandError("CONFLICTING_FLAGS", f"--from and --to name the same store, {source!r}", exit_code=USAGE)
    conditions = parsed_filters(filter)
    keys = selected_features(place, features, all_features, strict=False)
    to, from_ = place.store(target), place.store(source)
    with from_, to.open("r" if dry_run else "w"):
        counts = to.copy_metadata(
            from_,
            _present(from_, keys, features or map(str, keys)),
            global_filters=conditions,
            with_feature_history=with_feature_history,
            with_sample_history=with_sample_history,
            progress=sys.stderr.isatty(),
            dry_run=dry_run,
        )
    what = f"{counts['features_copied']} feature(s), {counts['rows_copied']} row(s)"
    say(f"Dry run: would copy {what}") if dry_run else done(f"Copy complete: {what} copied")


def _present(source: "MetadataStore", keys: Sequence[FeatureKey], asked: Iterable[str]) -> list[FeatureKey]:
    """Return the features that a store has, and name the others.

    Args:
        source: The store.
        keys: The features.
        asked: What the user named.

    Raises:
        CommandError: if it has none of them.
    """
    present = [key for key in keys if source.has_feature(key)]
    if not present:
        raise CommandError("NO_FEATURES", f"{source!r} has none of the features: {', '.join(asked)}")
    if missing := [str(key) for key in keys if key not in present]:
        say(f"Left out, because they have no table in {source!r}: {', '.join(missing)}")
    return present
