"""`mx metadata delete` and `drop`: rows and tables that should go."""

from collections.abc import Iterable
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from metaxy.cli.failures import FAILURE, message_of
from metaxy.cli.output import confirm, done, print_text, progress, say
from metaxy.cli.selection import AllFeatures, Features, Filters, Flag, named_features
from metaxy.cli.workspace import workspace
from metaxy.service import maintenance
from metaxy.service.maintenance import Outcome


def delete(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    filter: Filters = None,
    soft: Annotated[bool, Parameter(negative="--hard")] = True,
    with_feature_history: bool | None = None,
    yes: Flag = False,
    dry_run: Flag = False,
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
    project, named = workspace(), named_features(features, all_features)
    kind = "soft" if soft else "hard"
    keys, place = project.keys(named), project.store_name(store)
    if not dry_run and not filter and (all_features or not soft):
        what = "all features" if all_features else ", ".join(map(str, keys))
        confirm(f"Delete all rows of {what} from {place} ({kind} delete)", yes=yes)
    where = f" where {' and '.join(filter)}" if filter else ""
    with progress("features") as bar:
        outcomes = maintenance.delete(
            project,
            named,
            store=store,
            filters=filter or (),
            soft=soft,
            with_feature_history=with_feature_history,
            dry_run=dry_run,
            track=partial(bar.track, description="delete"),
        )
        line = f"{{0.feature}}: {{0.rows}} row(s) {'would be ' if dry_run else ''}deleted"
        if not dry_run:
            return _tell(outcomes, f"({kind} delete)", line, "Delete complete")
        return _tell(outcomes, f"({kind} delete)", line, heading=f"Dry run of a {kind} delete from {place}{where}")


def _tell(outcomes: Iterable[Outcome], kind: str, line: str, complete: str = "", *, heading: str = "") -> int:
    """Say of each feature what was done to it or why it was not, then how much in all; return the exit code."""
    count, rows, failed = 0, 0, 0
    for outcome in outcomes:
        if heading and not count:
            say(heading)
        count += 1
        rows += outcome.rows
        if outcome.failure:
            failed += 1
            say(f"Error deleting {outcome.feature}: {message_of(outcome.failure)}")
        else:
            print_text(line.format(outcome))
    if failed:
        say(f"{failed} of {count} feature(s) failed; {rows} row(s) {kind}")
        return FAILURE
    what = f"{kind}: {count} feature(s), {rows} row(s)"
    done(f"{complete} {what}") if complete else say(f"Dry run complete {what} would go")
    return 0


def drop(
    features: Features = None, *, all_features: AllFeatures = False, yes: Flag = False, store: str | None = None
) -> int:
    """Remove the tables of features from a store, with all versions and all history.

    Args:
        features: Keys of features.
        all_features: All features of the project.
        yes: Do not ask.
        store: Name of the store; the default one if not given.
    """
    project, named = workspace(), named_features(features, all_features)
    keys = project.keys(named)
    confirm(f"Drop the tables of {', '.join(map(str, keys))} from {project.store_name(store)}", yes=yes)
    with progress("features") as bar:
        outcomes = maintenance.drop(project, named, store=store, track=partial(bar.track, description="drop"))
        return _tell(outcomes, "(table drop)", "{0.feature}: table dropped, with {0.rows} row(s)", "Drop complete")
