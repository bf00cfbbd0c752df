"""Graphs and comparisons as web pages draw them: groups of SVG with data, and the script that moves them."""

from metaxy.dag.render.config import RenderConfig, Theme
from metaxy.dag.render.drawing import Drawing as Drawing
from metaxy.dag.render.drawing import DrawingRenderer, LiveRenderer, asset, bundled, picture_css, policy_hash
from metaxy.dag.view import GraphData

__all__ = ["Drawing", "bundled", "drawing", "picture_files", "policy_hash"]


def drawing(view: GraphData, config: RenderConfig | None = None, *, live: bool = False) -> Drawing:
    """Return a picture in parts; ``live`` leaves a line in each box for counts that come later.

    Markup is safe to put into a page: names and texts of users are escaped in it. ``data`` has them as they are.
    """
    renderer = LiveRenderer if live else DrawingRenderer
    return renderer(graph_data=view, config=config).drawing()


def picture_files(theme: Theme | None = None) -> dict[str, str]:
    """Return the module that shows such a picture, and its style sheet, by file name."""
    return {"picture.js": asset("picture.js") + "\n", "picture.css": picture_css(theme or Theme()) + "\n"}
