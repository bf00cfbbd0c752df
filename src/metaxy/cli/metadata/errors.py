"""`mx metadata errors`: samples that could not be computed, and why."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from metaxy.cli.output import OutputFormat, done, print_json, print_table, print_text, say, shown_time
from metaxy.cli.selection import AllFeatures, Features, Flag, Limit, Store, named_features
from metaxy.cli.workspace import workspace
from metaxy.service import row_errors
from metaxy.service.row_errors import SampleError


def errors(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    all_attempts: Flag = False,
    limit: Limit = 20,
    forget: Flag = False,
    store: Store = None,
    format: OutputFormat = "plain",
) -> None:
    """Show which samples could not be computed, and why; an error counts until its sample or its inputs are written.

    Args:
        features: Keys of features; all of the project if none is named.
        all_features: All features of the project.
        all_attempts: Show each attempt, instead of the last one of each sample.
        limit: How many errors of each feature are shown.
        forget: Let the errors of the named features count no more, as after their cause was removed.
        format: How to print them.
    """
    project = workspace()
    if forget:
        forgotten = row_errors.forget(project, named_features(features, all_features), store=store)
        if format == "json":
            print_json({"forgotten": forgotten})
        else:
            done(f"Errors of {', '.join(forgotten)} forgotten") if forgotten else say("There are no errors to forget.")
        return
    named = named_features(features, all_features, default_all=True)
    found = row_errors.errors(project, named, store=store, all_attempts=all_attempts)
    if format == "json":
        print_json(as_data(found))
    elif found:
        show(found, limit)
    else:
        say(f"No errors of samples in {project.store_name(store)}.")


def as_data(found: Iterable[SampleError]) -> dict[str, Any]:
    """Return everything as plain data."""
    features = {key: [each.data() for each in those] for key, those in groupby(found, lambda each: each.feature)}
    return {"errors": sum(map(len, features.values())), "features": features}


def show(found: Sequence[SampleError], limit: int) -> None:
    """Print a table, and how many errors there are of each feature."""
    by_feature = {key: list(those) for key, those in groupby(found, lambda each: each.feature)}
    heads = ["Feature", "Sample", "Attempt", "Last time", "Error"]
    print_table("", heads, [_row(each) for those in by_feature.values() for each in those[:limit]])
    for key, those in by_feature.items():
        print_text(f"{key}: {len(those)} error(s)" + (f"; --limit {limit}" if len(those) > limit else ""))


def _row(each: SampleError) -> list[str]:
    sample = ", ".join(f"{name}={value}" for name, value in each.ids.items())
    error = f"{each.error_type}: {each.error_message}"
    return [each.feature, sample, str(each.attempt), shown_time(each.recorded_at), error]
