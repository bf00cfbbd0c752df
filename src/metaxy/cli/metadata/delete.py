"""`mx metadata delete`, `clean` and `drop`: rows and tables that should go."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.failures import FAILURE, message_of
from metaxy.cli.output import OutputFormat, confirm, done, print_json, print_table, print_text, progress, say, warn
from metaxy.cli.selection import AllFeatures, Features, Flag, RowFilters, Store, named_features
from metaxy.cli.workspace import workspace
from metaxy.service import maintenance
from metaxy.service.maintenance import Outcome


def delete(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    filter: RowFilters = None,
    soft: Annotated[bool, Parameter(negative="--hard")] = True,
    with_feature_history: bool | None = None,
    yes: Flag = False,
    dry_run: Flag = False,
    store: Store = None,
) -> int:
    """Delete rows of features; what depends on them stays, and is orphaned.

    Args:
        features: Keys of features.
        all_features: All features of the project.
        soft: Hide the rows, or with --hard remove them for good.
        with_feature_history: In all versions of the features, not only in the current one; the default where all
            features are deleted for good without a filter, which empties the store.
        yes: Do not ask.
        dry_run: Only say how many rows would be deleted.
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
    features: Features = None, *, all_features: AllFeatures = False, yes: Flag = False, store: Store = None
) -> int:
    """Remove the tables of features from a store, with all versions and all history.

    Args:
        features: Keys of features.
        all_features: All features of the project.
        yes: Do not ask.
    """
    project, named = workspace(), named_features(features, all_features)
    keys = project.keys(named)
    confirm(f"Drop the tables of {', '.join(map(str, keys))} from {project.store_name(store)}", yes=yes)
    with progress("features") as bar:
        outcomes = maintenance.drop(project, named, store=store, track=partial(bar.track, description="drop"))
        return _tell(outcomes, "(table drop)", "{0.feature}: table dropped, with {0.rows} row(s)", "Drop complete")


def clean(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    max_share: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.5,
    dry_run: Flag = False,
    store: Store = None,
    format: OutputFormat = "plain",
) -> int:
    """Delete the samples of features whose parents are gone, by tombstones; parents first, as their children follow.

    Args:
        features: Keys of features, which have parents.
        all_features: All features of the project that have parents.
        max_share: Which part of a feature may go, from 0 to 1; if it is more, nothing of the feature is deleted.
        dry_run: Only say how many samples would go.
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
