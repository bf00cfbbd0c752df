"""`mx preview`: stores over other ones, for a branch of the code."""

from cyclopts import App

from metaxy.cli.output import OutputFormat, confirm, done, print_json, say
from metaxy.cli.selection import Flag
from metaxy.cli.workspace import workspace
from metaxy.service import previews

app = App(name="preview", help="Work on previews: stores that see the rows of other ones under their own.")


@app.command
def clean(store: str, /, *, yes: Flag = False, dry_run: Flag = False, format: OutputFormat = "plain") -> None:
    """Remove all tables of a preview, as when its branch is merged or closed; the stores below it are not touched.

    Args:
        store: Name of the preview, a store with fallback = "rows".
        yes: Do not ask.
        dry_run: Only say which tables would be removed.
    """
    project = workspace()
    if not dry_run:
        confirm(f"Remove all tables of the preview {project.store_name(store)}", yes=yes)
    cleaned = previews.clean(project, store, dry_run=dry_run)
    if format == "json":
        print_json({"store": cleaned.store, "tables": cleaned.tables, "dry_run": dry_run})
        return
    what = f"{len(cleaned.tables)} table(s) of {cleaned.store}"
    names = f": {', '.join(cleaned.tables)}" if cleaned.tables else ""
    say(f"Dry run: would remove {what}{names}") if dry_run else done(f"Removed {what}{names}")
