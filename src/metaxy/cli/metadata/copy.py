"""`mx metadata copy` and `promote`: features from one store to another."""

import sys
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.output import done, say
from metaxy.cli.selection import AllFeatures, Features, Flag, RowFilters, named_features, warn_of_unknown
from metaxy.cli.workspace import workspace
from metaxy.service import maintenance


def copy(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    source: Annotated[str, Parameter(name="--from")],
    target: Annotated[str, Parameter(name="--to")],
    filter: RowFilters = None,
    with_feature_history: bool = True,
    with_sample_history: bool = False,
    sample: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    dry_run: Flag = False,
) -> None:
    """Copy the rows of features as they are; rows that are there already are not copied again.

    Args:
        features: Keys of features; those that are not known are left out, with a warning.
        all_features: All features of the project.
        source: Name of the store to copy from.
        target: Name of the store to copy to.
        with_feature_history: Rows of all versions of the features, not only of the current one.
        with_sample_history: All rows of each sample, not only its latest.
        sample: Only so many samples of the roots, and what was computed of them; always the same ones, in all features.
        dry_run: Only say how many rows would be copied.
    """
    project, named = workspace(), named_features(features, all_features)
    warn_of_unknown(project.unknown(named))
    copied = maintenance.copy(
        project,
        named,
        source=source,
        target=target,
        filters=filter or (),
        with_feature_history=with_feature_history,
        with_sample_history=with_sample_history,
        sample=sample,
        dry_run=dry_run,
        progress=sys.stderr.isatty(),
    )
    if copied.left_out:
        say(f"Left out, because they have no table in {copied.source}: {', '.join(copied.left_out)}")
    what = f"{copied.features} feature(s), {copied.rows} row(s)"
    say(f"Dry run: would copy {what}") if dry_run else done(f"Copy complete: {what} copied")


def promote(
    branch: str,
    features: Features = None,
    *,
    target: Annotated[str, Parameter(name="--to")],
    force: Flag = False,
    dry_run: Flag = False,
) -> None:
    """Copy what a store added to the rows of another one, which it sees under its own, to that one.

    Args:
        branch: Name of the store to copy from; only its own rows are copied, with history and deletions.
        features: Keys of features, all by default; those that are not known are left out, with a warning.
        target: Name of the store to copy to, one of its fallback stores.
        force: Copy to a store on which it does not fall back.
        dry_run: Only say how many rows would be copied.
    """
    project = workspace()
    warn_of_unknown(project.unknown(features))
    copied = maintenance.promote(
        project,
        features,
        branch=branch,
        target=target,
        force=force,
        dry_run=dry_run,
        progress=sys.stderr.isatty(),
    )
    what = f"{copied.features} feature(s), {copied.rows} row(s)"
    say(f"Dry run: would promote {what}") if dry_run else done(f"Promoted {what} of {branch} to {target}")
