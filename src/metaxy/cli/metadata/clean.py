"""`mx metadata clean`: samples whose parents are gone."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.failures import FAILURE, message_of
from metaxy.cli.output import OutputFormat, done, print_json, print_table, progress, say, warn
from metaxy.cli.selection import AllFeatures, Features, Flag, named_features
from metaxy.cli.workspace import workspace
from metaxy.service import maintenance
from metaxy.service.maintenance import Outcome


def clean(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    max_share: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.5,
    dry_run: Flag = False,
    store: str | None = None,
    format: OutputFormat = "plain",
) -> int:
    """Delete the samples of features whose parents are gone, by tombstones; parents first, as their children follow.

    Args:
        features: Keys of features, which have parents.
        all_features: All features of the project that have parents.
        max_share: Which part of a feature may go, from 0 to 1; if it is more, nothing of the feature is deleted.
        dry_run: Only say how many samples would go.
        store: Name of the store; the default one if not given.
        format: How to print it.
    """
    project, named = workspace(), named_features(features, all_features)
    with progress("features") as bar:
        track = partial(bar.track, description="clean")
        outcomes = list(
            maintenance.clean(project, named, store=store, max_share=max_share, dry_run=dry_run, track=track)
        )
    if format == "json":
        print_json(as_data(outcomes, dry_run=dry_run))
    else:
        show(outcomes, dry_run=dry_run)
    return FAILURE if any(outcome.failure for outcome in outcomes) else 0


def as_data(outcomes: Sequence[Outcome], *, dry_run: bool) -> dict[str, Any]:
    """Return everything as plain data."""
    features = {
        each.feature: each.failure.data() if each.failure else {"rows": each.rows, "changed_since": each.changed_since}
        for each in outcomes
    }
    return {"dry_run": dry_run, "rows": sum(each.rows for each in outcomes), "features": features}


def show(outcomes: Sequence[Outcome], *, dry_run: bool) -> None:
    """Print a table, what failed, and how much it was in all."""
    cleaned = [each for each in outcomes if not each.failure]
    if cleaned:
        heads = ["Feature", "Would go" if dry_run else "Deleted", "Changed since"]
        print_table("", heads, [[each.feature, each.rows, each.changed_since] for each in cleaned], numbers=2)
    for each in outcomes:
        if each.failure:
            warn(message_of(each.failure))
    what = f"{len(cleaned)} feature(s), {sum(each.rows for each in cleaned)} orphaned sample(s)"
    if dry_run:
        say(f"Dry run complete: {what} would go")
    elif len(cleaned) < len(outcomes):
        say(f"{len(outcomes) - len(cleaned)} of {len(outcomes)} feature(s) failed; {what} deleted")
    else:
        done(f"Clean complete: {what} deleted")
