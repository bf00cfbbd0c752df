"""`mx metadata show` and `stats`: rows, and how many there are."""

from functools import partial

from metaxy.cli.listing import no_features
from metaxy.cli.output import OutputFormat, print_json, print_table, print_text, progress, say, shown_time
from metaxy.cli.selection import AllFeatures, Columns, Features, Flag, Limit, RowFilters, Store, named_features
from metaxy.cli.workspace import workspace
from metaxy.service.rows import FeatureStatistics, Rows, rows, statistics


def show(
    feature: str,
    *,
    limit: Limit = 10,
    columns: Columns = None,
    all_columns: Flag = False,
    filter: RowFilters = None,
    store: Store = None,
    format: OutputFormat = "plain",
) -> None:
    """Show the latest rows of a feature, in its current version.

    Args:
        feature: Key of the feature.
        limit: How many rows.
        columns: Which columns; by default those that are not Metaxy's own.
        all_columns: Show Metaxy's own columns as well.
    """
    found = rows(
        workspace(),
        feature,
        store=store,
        limit=limit,
        columns=columns,
        system_columns=all_columns,
        filters=filter or (),
    )
    print_rows(found, limit, format)


def print_rows(found: Rows, limit: int, format: OutputFormat) -> None:
    """Print rows, and how many there are."""
    if format == "json":
        print_json(found.data())
        return
    print_table("", found.columns, found.rows)
    count = len(found.rows)
    print_text(f"{count} row(s)" + (f"; --limit {limit}" if count == limit else ""))


def stats(
    features: Features = None,
    *,
    all_features: AllFeatures = False,
    store: Store = None,
    format: OutputFormat = "plain",
) -> None:
    """Count the rows and versions that features have in a store, all features if none is named; times are UTC.

    Args:
        features: Keys of features.
        all_features: All features of the project.
    """
    named = named_features(features, all_features, default_all=True)
    with progress("features") as bar:
        found = statistics(workspace(), named, store=store, track=partial(bar.track, description="count"))
    if format == "json":
        print_json({"features": {str(each.feature_key): each.model_dump(mode="json") for each in found}})
    elif found:
        print_table("", ["Feature", *(head for head, _ in COLUMNS)], map(_row, found))
    else:
        say(no_features(workspace()))


COLUMNS = (
    ("Samples", "samples"),
    ("Rows", "rows"),
    ("Tombstones", "tombstones"),
    ("Feature versions", "feature_versions"),
    ("Last write", "last_write"),
)


def _row(statistics: FeatureStatistics) -> list[str]:
    values = dict(statistics)
    values["last_write"] = shown_time(statistics.last_write)
    cells = ["-" if values[name] is None else str(values[name]) for _, name in COLUMNS]
    return [str(statistics.feature_key), *cells]
