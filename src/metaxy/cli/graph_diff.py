"""`mx graph-diff`: what changed between two versions of the project, one of which may be the code in memory."""

from cyclopts import App

from metaxy.cli.failures import FAILURE, USAGE, CommandError
from metaxy.cli.listing import no_features
from metaxy.cli.output import warn
from metaxy.cli.pictures import Flag, Output, PictureFormat, PictureOptions, conflict, deliver, wants_color
from metaxy.cli.workspace import Workspace, workspace
from metaxy.dag.diff import TO_COMPUTE, merge
from metaxy.dag.diff import only_changes as without_the_same
from metaxy.dag.render.formats import render as rendered
from metaxy.dag.view import GraphData
from metaxy.store.snapshots import CURRENT, find_version, recorded_view

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
        message, flags = "--strict says what --exit-code counts", ["--exit-code"]
        raise CommandError("MISSING_REQUIRED_FLAG", message, exit_code=USAGE, required_flags=flags)
    place = workspace()
    project = one_project(place)
    config = options.config(format)
    sides = [side(place, literal, store, project) for literal in (from_version, to_version)]
    view = merge(*sides)
    changes = without_the_same(view)
    painted = wants_color(format, output)
    text = rendered(changes if only_changes else view, format, config, color=painted)
    deliver(text, output, "Diff rendered to", painted=painted)
    counted = changes.nodes.values() if strict else [n for n in changes.nodes.values() if n.status in TO_COMPUTE]
    return FAILURE if exit_code and counted else 0


def one_project(place: Workspace) -> str:
    """Return the project whose versions are compared.

    Raises:
        CommandError: if that is not one.
    """
    if place.options.all_projects:
        raise conflict("a comparison is about one project", "--all-projects")
    if place.project is None:
        place.refuse_no_config()
        raise CommandError(
            "PROJECT_NOT_SET", "a comparison is about one project", hint="give --project NAME", exit_code=USAGE
        )
    return place.project


def side(place: Workspace, literal: str, store: str | None, project: str) -> GraphData:
    """Return one side of the comparison as a view."""
    if literal == CURRENT:
        view = GraphData.from_feature_graph(place.graph, project)
        if not view.nodes:
            warn(no_features(place))
        return view
    opened = place.store(store)
    return recorded_view(opened, find_version(opened, literal, project), project)
