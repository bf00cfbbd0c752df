"""`mx metadata status`: which features are up to date."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from metaxy.cli.failures import FAILURE, message_of
from metaxy.cli.output import OutputFormat, print_json, print_table, print_text, warn
from metaxy.cli.output import progress as progress_bar
from metaxy.cli.selection import AllFeatures, Features, Filters, Flag, Store, named_features, warn_of_unknown
from metaxy.cli.workspace import workspace
from metaxy.service.features import where_features_are
from metaxy.service.status import ICONS, FullFeatureMetadataRepresentation, Status, StatusOptions, no_input
from metaxy.service.status import status as look

COUNTS = ("missing", "stale", "orphaned")


def status(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    store: Store = None,
    filter: Filters = None,
    global_filter: Filters = None,
    stale_if: Filters = None,
    snapshot_id: str | None = None,
    assert_in_sync: Flag = False,
    skip_unknown: Flag = False,
    verbose: Flag = False,
    progress: Flag = False,
    changed_fields: Flag = False,
    behind: Flag = False,
    allow_fallback_stores: bool = True,
    format: OutputFormat = "plain",
) -> int:
    """Show how many rows features have, and how many samples are new, stale and orphaned.

    Args:
        features: The features; all of the project if none is named.
        all_features: All features of the project, or of all projects with --all-projects.
        filter: Look only at rows of the features that fulfil this condition; several must all hold.
        global_filter: Look only at rows, also of their parents, that fulfil this condition.
        stale_if: Count rows that fulfil this condition as stale, whatever their version.
        snapshot_id: Take the features as they were pushed with this version of the project; `latest` for the last.
        assert_in_sync: Fail if a feature has no table or needs an update.
        skip_unknown: Leave out features that the graph does not have, with a warning, instead of failing.
        verbose: Show where the rows are, how far the work is, and some samples.
        progress: Show which part of the expected samples was computed at least once.
        changed_fields: Show in how many new and stale samples each field changed since their newest row.
        behind: Show how many other samples have older values of columns that they copy from their parents.
        allow_fallback_stores: Look into fallback stores as well.
    """
    options = StatusOptions(
        use_fallback=allow_fallback_stores,
        global_filters=global_filter,
        target_filters=filter,
        staleness_predicates=stale_if,
        compute_progress=progress or verbose,
        changed_fields=changed_fields or verbose,
        behind=behind,
    )
    project, named = workspace(), named_features(features, all_features, default_all=True)
    with progress_bar("features") as bar:
        found = look(
            project,
            named,
            store=store,
            options=options,
            snapshot=snapshot_id,
            allow_unknown=skip_unknown,
            samples=verbose,
            track=partial(bar.track, description="Status"),
        )
    warn_of_unknown(found.unknown)
    found = replace(found, features=[with_advice(each, found) for each in found.features])
    nothing = "there is no feature to look at"
    if not found.features and named is None and snapshot_id is None and (others := where_features_are(project)):
        nothing += f"; {others}"
    if format == "json":
        print_json({**({} if found.features else {"warning": nothing}), **as_data(found)})
    elif not found.features:
        warn(nothing)
    else:
        show(found.features, options, verbose)
    return verdict(found.features, assert_in_sync)


def with_advice(each: FullFeatureMetadataRepresentation, found: Status) -> FullFeatureMetadataRepresentation:
    """Say of an error that nobody expected how to learn more."""
    failure = found.failures.get(each.feature_key)
    return each.model_copy(update={"error_message": message_of(failure)}) if failure else each


def as_data(found: Status) -> dict[str, Any]:
    """Return everything as plain data, without what is not known."""
    data: dict[str, Any] = {
        "project_version": found.project_version,
        "features": {each.feature_key: each.model_dump(mode="json", exclude_none=True) for each in found.features},
        "needs_update": found.needs_update,
    }
    errors = [
        {"feature": each.feature_key, "error": each.error_message} for each in found.features if each.error_message
    ]
    warnings = {"missing_in_graph": list(found.unknown), "errors": errors}
    shown = {name: those for name, those in warnings.items() if those}
    return data | ({"warnings": shown} if shown else {})


def show(found: Sequence[FullFeatureMetadataRepresentation], options: StatusOptions, verbose: bool) -> None:
    """Print a table, and below it what does not fit into one."""
    heads = ["Status", "Feature", "Materialized", "New", "Stale", "Orphaned"]
    rows = [[_icon(each, options.compute_progress), each.feature_key, *_counts(each)] for each in found]
    if options.behind:
        heads.append("Behind")
        rows = [[*row, _count(each.behind)] for row, each in zip(rows, found, strict=True)]
    if verbose:
        heads.append("Table")
        rows = [[*row, _where(each)] for row, each in zip(rows, found, strict=True)]
    print_table("", heads, rows)
    for each in found:
        if each.error_message:
            warn(
                each.error_message
                if each.feature_key in each.error_message
                else f"{each.feature_key}: {each.error_message}"
            )
        for text in _remarks(each):
            print_text(f"{each.feature_key}: {text}")


def _remarks(each: FullFeatureMetadataRepresentation) -> Iterator[str]:
    """Yield what is to be said of a feature beside its counts."""
    if each.missing_input:
        consequence = "all samples are orphaned, " if each.orphaned else ""
        yield f"{consequence}{no_input(each.missing_input)}"
    if each.parent_columns and (each.missing or each.stale):
        yield f"new and stale are parents, by {', '.join(each.parent_columns)}"
    if each.failed:
        yield f"{each.failed} sample(s) failed before: `mx metadata errors` shows why"
    if each.claimed:
        yield f"{each.claimed} sample(s) are claimed: `mx metadata claims` shows by whom"
    if each.changed_fields:
        counts = ", ".join(f"{name} {count:,}" for name, count in each.changed_fields.items())
        yield f"changed fields: {counts}"
    yield from each.sample_details or ()


def _icon(each: FullFeatureMetadataRepresentation, with_progress: bool) -> str:
    icon = ICONS[each.status]
    if each.is_root_feature or each.status == "error":
        return icon
    if each.missing is None:
        return f"{icon} (no input)"
    return (
        f"{icon} ({each.progress_percentage:.0f}%)" if with_progress and each.progress_percentage is not None else icon
    )


def _counts(each: FullFeatureMetadataRepresentation) -> list[str]:
    rows = str(each.store_rows) if each.metadata_exists and each.status != "error" else "-"
    return [rows, *(_count(getattr(each, name)) for name in COUNTS)]


def _count(count: int | None) -> str:
    return "-" if count is None else str(count)


def _where(each: FullFeatureMetadataRepresentation) -> str:
    """Say where the rows are: the table or the path, and the store if it is another one."""
    asked = each.store_metadata or {}
    place = asked.get("resolved_from", {})
    known = ("name", "type", "display")
    table = next((str(value) for name, value in place.items() if name not in known), str(place.get("display", "-")))
    return table if place.get("name") in (None, asked.get("name")) else f"{table} in {place['name']}"


def verdict(found: Sequence[FullFeatureMetadataRepresentation], assert_in_sync: bool) -> int:
    """Return how the process exits: an error is a failure always, what is not in sync only if that was asked."""
    wrong = {"error"} | ({"missing", "needs_update"} if assert_in_sync else set())
    return FAILURE if any(each.status in wrong for each in found) else 0
