"""`mx graph-diff`: what changed between two versions of the project, one of which may be the code in memory."""

from cyclopts import App

from metaxy.cli.failures import FAILURE, conflict, usage_error
from metaxy.cli.listing import no_features
from metaxy.cli.output import warn
from metaxy.cli.pictures import Output, PictureFormat, PictureOptions, deliver, wants_color
from metaxy.cli.selection import Flag
from metaxy.cli.workspace import workspace
from metaxy.service.graph import CURRENT, compare, picture

app = App(name="graph-diff", help="Show what changed between two versions of the project.")


@app.command
def render(
    from_version: str,
    to_version: str = CURRENT,
    /,
    *,
    store: str | None = None,
    format: PictureFormat = "terminal",
    output: Output = None,
    only_changes: Flag = False,
    exit_code: Flag = False,
    strict: Flag = False,
    options: PictureOptions = PictureOptions(),  # noqa: B008 - frozen
) -> int:
    """Draw two versions of the project as one graph that shows what was added, removed, changed and affected, and how.

    A feature is changed if its own definition gives it other versions or samples, affected if something upstream does:
    then there is something to compute. It is only described differently if all its rows are still right. Versions are
    `latest` for what was pushed last, `current` for the code as it is, and the hashes that `mx history` shows, or how
    they start.

    Args:
        from_version: The older version.
        to_version: The newer version; the code as it is if not given.
        store: Where to look for what was pushed; the default store if not given.
        format: What to draw it as.
        output: Write the picture into this file.
        only_changes: Leave out what is the same.
        exit_code: Return 1 if there is something to compute, as for a check in CI.
        strict: With --exit-code, return 1 also if features are only described differently.
        options: What to show of the graph.
    """
    if strict and not exit_code:
        message = "--strict says what --exit-code counts"
        raise usage_error(message, code="MISSING_REQUIRED_FLAG", required_flags=["--exit-code"])
    project = workspace()
    if project.all_projects:
        raise conflict("a comparison is about one project", "--all-projects")
    config = options.config(format)
    found = compare(project, from_version, to_version, store)
    for literal, side in ((from_version, found.old), (to_version, found.new)):
        if literal == CURRENT and not side.nodes:
            warn(no_features(project))
    painted = wants_color(format, output)
    text = picture(found.changes if only_changes else found.view, format, config, color=painted)
    deliver(text, output, "Diff rendered to", painted=painted)
    counted = found.is_described_differently if strict else found.needs_computing
    return FAILURE if exit_code and counted else 0
