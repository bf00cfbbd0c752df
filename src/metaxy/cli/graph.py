"""`mx graph`: the graph as a picture, and what is around one feature or field."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from metaxy.cli.failures import CommandError
from metaxy.cli.listing import no_features
from metaxy.cli.output import OutputFormat, print_json, print_text, warn
from metaxy.cli.pictures import Output, PictureFormat, PictureOptions, conflict, deliver, wants_color
from metaxy.cli.workspace import Workspace, workspace
from metaxy.dag.describe import lineage as lineage_of
from metaxy.dag.render.formats import FIELD_FORMATS
from metaxy.dag.render.formats import render as rendered
from metaxy.dag.render.renderer import shown_part
from metaxy.dag.render.terminal import draw, grow
from metaxy.dag.view import GraphData, NodeStatus
from metaxy.store.snapshots import find_version, recorded_view

app = App(name="graph", help="Draw the features of the project.")


@app.command
def render(
    *,
    format: PictureFormat = "terminal",
    type: Annotated[Literal["graph", "cards", "fields"], Parameter(alias="-t")] = "graph",
    output: Output = None,
    snapshot: str | None = None,
    store: str | None = None,
    options: PictureOptions = PictureOptions(),  # noqa: B008 - frozen
) -> None:
    """Draw the graph of the project in memory, or one that was pushed.

    Args:
        format: What to draw it as.
        type: Whether to draw features, features as cards (terminal), or fields (terminal, mermaid).
        output: Write the picture into this file.
        snapshot: Draw this version of the project, as it was pushed; `latest` for the last one.
        store: Where to look for it; the default store if not given.
        options: What to show of the graph.
    """
    place = workspace()
    config = options.config(format, None if place.options.all_projects else place.project)
    view = seen(place, snapshot, store)
    if not shown_part(view, config).nodes:
        warn(no_features(place) if snapshot is None else "the snapshot has no features of this project")
        deliver("", output, "Rendered graph saved to") if output else None
        return
    warn_of_missing(view)
    name, painted = ("cards" if type == "cards" else format), False
    if type == "cards" and format not in ("terminal", "cards"):
        raise conflict("--type cards is drawn with text only", "--type", "--format")
    if type == "fields":
        if format not in FIELD_FORMATS:
            raise conflict(f"--type fields is drawn as {' or '.join(FIELD_FORMATS)} only", "--type", "--format")
        text = FIELD_FORMATS[format](graph_data=view, config=config).render()
    else:
        painted = wants_color(name, output)
        text = rendered(view, name, config, color=painted)
    deliver(text, output, "Rendered graph saved to", painted=painted)


@app.command
def lineage(name: str, *, format: OutputFormat = "plain") -> None:
    """Show what a feature or a field depends on, and what depends on it.

    Args:
        name: A feature, such as video/crop, or one of its fields, such as video/crop.frames.
        format: How to print it.
    """
    view = seen(workspace(), None, None)
    feature, _, field = name.partition(".")
    ways = lineage_of(view, feature, field or None)
    if format == "json":
        print_json({"name": name, **{way: reached(name, neighbours) for way, neighbours in ways.items()}})
        return
    for title, neighbours in (("depends on", ways["dependencies"]), ("is needed by", ways["dependents"])):
        found = neighbours.get(name)
        print_text(
            "\n".join(draw(grow(name, neighbours)._replace(text=f"{name} {title}{'' if found else ' nothing'}")))
        )


def reached(start: str, neighbours: dict[str, list[str]]) -> list[str]:
    """Return what can be reached from a name, nearest first."""
    found = {start: None}
    waiting = [start]
    for name in waiting:  # grows while it is walked
        new = [other for other in neighbours.get(name, ()) if other not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return list(found)[1:]


def seen(place: Workspace, snapshot: str | None, store: str | None) -> GraphData:
    """Return the graph in memory, or a recorded one, as a view."""
    if snapshot is None:
        if store is not None:
            message = "--store says where to look for a snapshot"
            raise CommandError("MISSING_REQUIRED_FLAG", message, required_flags=["--snapshot"], exit_code=2)
        view = GraphData.from_feature_graph(place.graph)
        if not view.nodes:
            place.refuse_no_config()
        return view
    opened = place.store(store)
    project = None if place.options.all_projects else place.project
    return recorded_view(opened, find_version(opened, snapshot, project), project)


def warn_of_missing(view: GraphData) -> None:
    """Say which features others depend on, but are not in the graph."""
    if missing := [str(node.key) for node in view.get_nodes_by_status(NodeStatus.MISSING)]:
        warn(
            f"features are not in the graph, though others depend on them: {', '.join(missing)}. Import the modules "
            "that define them, or, if they belong to another project, run `mx lock`, or give --sync"
        )
