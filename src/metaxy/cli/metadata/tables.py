"""`mx metadata tables`: tables of features that the project does not have any more."""

from functools import partial
from typing import Annotated

from cyclopts import App, Parameter

from metaxy.cli.metadata.rename import rename
from metaxy.cli.metadata.show import print_rows
from metaxy.cli.output import (
    OutputFormat,
    confirm,
    done,
    print_json,
    print_table,
    print_text,
    progress,
    say,
    shown_time,
)
from metaxy.cli.selection import Columns, Flag, Limit, RowFilters, Store
from metaxy.cli.workspace import workspace
from metaxy.service import renaming

app = App(name="tables", help="Show, drop and rename tables of features that are no more.")
app.command(rename, name="rename", help="Take rows over to the new key of a feature, as `mx metadata rename` does.")


@app.default
@app.command(name="list")
def list_tables(*, store: Store = None, format: OutputFormat = "plain") -> None:
    """Show the tables of features that the project does not have: how many rows they hold, when they were written."""
    project = workspace()
    found = renaming.tables(project, store=store)
    if format == "json":
        print_json({"tables": [each.data() for each in found]})
    elif found:
        rows = ([t.feature, str(t.rows), str(t.feature_versions), shown_time(t.last_write)] for t in found)
        print_table("", ["Feature", "Rows", "Feature versions", "Last write"], rows)
        print_text(f"Total: {len(found)} table(s)")
    else:
        say(f"No tables of former features in {project.store_name(store)}.")


@app.command
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
    """Show rows of such a table, of all versions.

    Args:
        feature: Key that the feature had.
        limit: How many rows.
        columns: Which columns; by default those that are not Metaxy's own.
        all_columns: Show Metaxy's own columns as well.
    """
    found = renaming.rows(
        workspace(),
        feature,
        store=store,
        limit=limit,
        columns=columns,
        system_columns=all_columns,
        filters=filter or (),
    )
    print_rows(found, limit, format)


@app.command
def drop(
    features: Annotated[list[str], Parameter(negative=())],
    *,
    yes: Flag = False,
    dry_run: Flag = False,
    store: Store = None,
) -> None:
    """Remove such tables, with all that is in them.

    Args:
        features: Keys that the features had.
        yes: Do not ask.
        dry_run: Only say how many rows would go.
    """
    project = workspace()
    if not dry_run and not yes:  # nobody is asked about what is not there
        found = renaming.named(project, features, store=store)
        confirm(f"Drop the tables of {', '.join(found)} from {project.store_name(store)}", yes=yes)
    with progress("tables") as bar:
        track = partial(bar.track, description="drop")
        dropped = list(renaming.drop(project, features, store=store, dry_run=dry_run, track=track))
    for each in dropped:
        print_text(f"{each.feature}: table {'would be ' if dry_run else ''}dropped, with {each.rows} row(s)")
    what = f"{len(dropped)} table(s), {sum(each.rows for each in dropped)} row(s)"
    say(f"Dry run complete: {what} would go") if dry_run else done(f"Drop complete: {what}")
