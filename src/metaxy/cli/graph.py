"""`mx graph`: the graph as a picture, and what is around one feature or field."""

from functools import partial
from typing import Annotated, Literal

from cyclopts import App, Parameter

from metaxy.cli.failures import conflict, usage_error
from metaxy.cli.listing import no_features
from metaxy.cli.output import OutputFormat, print_json, print_text, progress, warn
from metaxy.cli.pictures import Output, PictureFormat, PictureOptions, deliver, wants_color
from metaxy.cli.selection import Flag
from metaxy.cli.workspace import workspace
from metaxy.service import graph
from metaxy.service.graph_stats import with_stats
from metaxy.service.project import Project

app = App(name="graph", help="Draw the features of the project.")


@app.command
def render(
    *,
    format: PictureFormat = "terminal",
    type: Annotated[Literal["graph", "cards", "fields"], Parameter(alias="-t")] = "graph",
    output: Output = None,
    snapshot: str | None = None,
    store: str | None = None,
    stats: Flag = False,
    options: PictureOptions = PictureOptions(),  # noqa: B008 - frozen
) -> None:
    """Draw the graph of the project in memory, or one that was pushed.

    Args:
        format: What to draw it as.
        type: Whether to draw features, features as cards (terminal), or fields (terminal, mermaid, svg).
        output: Write the picture into this file.
        snapshot: Draw this version of the project, as it was pushed; `latest` for the last one.
        store: Where to look for it, or for what --stats counts; the default store if not given.
        stats: Show how many rows features have, how many samples are missing, stale, orphaned or failed before, when
            they were last written, and how large their tables are.
        options: What to show of the graph.
    """
    if stats and type == "fields" and format != "svg":
        raise conflict("--stats counts rows of features, which --type fields shows as svg only", "--stats", "--type")
    project = workspace()
    config = options.config(format, project.scope)
    view = seen(project, snapshot, store, counts=stats)
    if graph.is_empty(view, config):
        warn(no_features(project) if snapshot is None else "the snapshot has no features of this project")
        deliver("", output, "Rendered graph saved to") if output else None
        return
    warn_of_missing(view)
    if stats:
        view = counted(project, view, config, snapshot, store)
    if type == "cards" and format not in ("terminal", "cards"):
        raise conflict("--type cards is drawn with text only", "--type", "--format")
    name, fields = ("cards" if type == "cards" else format), type == "fields"
    painted = not fields and wants_color(name, output)
    text = graph.picture(view, name, config, fields=fields, color=painted)
    deliver(text, output, "Rendered graph saved to", painted=painted)


@app.command
def lineage(name: str, *, format: OutputFormat = "plain") -> None:
    """Show what a feature or a field depends on, and what depends on it.

    Args:
        name: A feature, such as video/crop, or one of its fields, such as video/crop.frames.
    """
    found = graph.lineage(workspace(), name)
    print_json(found.data()) if format == "json" else print_text("\n".join(found.lines()))


def seen(project: Project, snapshot: str | None, store: str | None, *, counts: bool = False) -> graph.GraphData:
    """Return the graph in memory, or a recorded one, as a view; ``counts`` says that the store is needed for more."""
    if snapshot is None and store is not None and not counts:
        message = "--store says where to look for a snapshot"
        raise usage_error(message, code="MISSING_REQUIRED_FLAG", required_flags=["--snapshot"])
    return graph.graph(project, snapshot, store if snapshot else None)


def counted(
    project: Project, view: graph.GraphData, config: graph.RenderConfig, snapshot: str | None, store: str | None
) -> graph.GraphData:
    """Return a view with counts, with a warning for each feature that could not be counted."""
    with progress("features") as bar:
        found = with_stats(
            project, view, config, store=store, snapshot=snapshot, track=partial(bar.track, description="count")
        )
    for key, node in found.nodes.items():
        if node.stats and node.stats.error:
            warn(f"{key} could not be counted: {node.stats.error}")
    return found


def warn_of_missing(view: graph.GraphData) -> None:
    """Say which features others depend on, but are not in the graph."""
    if missing := graph.missing_features(view):
        warn(
            f"features are not in the graph, though others depend on them: {', '.join(missing)}. Import the modules "
            "that define them, or, if they belong to another project, run `mx lock`, or give --sync"
        )
