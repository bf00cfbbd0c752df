"""All formats by name, and the one call that renders a view in one of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from metaxy.dag.diff import GraphDiff, only_changes
from metaxy.dag.render.cards import CardsRenderer
from metaxy.dag.render.config import RenderConfig, Theme
from metaxy.dag.render.document import JsonRenderer, YamlRenderer
from metaxy.dag.render.fields import FieldsMermaidRenderer, FieldsRenderer
from metaxy.dag.render.graphviz import GraphvizRenderer
from metaxy.dag.render.markup import HtmlRenderer, MarkdownRenderer
from metaxy.dag.render.mermaid import MermaidRenderer
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.render.terminal import TerminalRenderer
from metaxy.dag.view import GraphData

FORMATS: Final[dict[str, type[BaseRenderer]]] = {
    "terminal": TerminalRenderer,
    "cards": CardsRenderer,
    "mermaid": MermaidRenderer,
    "graphviz": GraphvizRenderer,
    "json": JsonRenderer,
    "yaml": YamlRenderer,
    "markdown": MarkdownRenderer,
    "html": HtmlRenderer,
}
FIELD_FORMATS: Final[dict[str, type[BaseRenderer]]] = {"terminal": FieldsRenderer, "mermaid": FieldsMermaidRenderer}


def render(view: GraphData, name: str, config: RenderConfig, theme: Theme | None = None, *, color: bool = False) -> str:
    """Return a view in a format.

    Args:
        view: The graph or the comparison.
        name: One of `FORMATS`.
        config: What to show.
        theme: Colours of pictures.
        color: Whether text for terminals is coloured.
    """
    if name == "terminal":
        return TerminalRenderer(graph_data=view, config=config, theme=theme, color=color).render()
    return FORMATS[name](graph_data=view, config=config, theme=theme).render()


class DiffFormatter:
    """Writes comparisons that are given as lists or as plain data.

    Args:
        console: Taken for compatibility, and not used: the text is returned.
    """

    def __init__(self, console: object = None) -> None:
        self.console = console

    def format(
        self,
        diff: GraphDiff | None = None,
        merged_data: Mapping[str, Any] | None = None,
        format: str = "terminal",  # noqa: A002 - the name that callers use
        verbose: bool = False,
        diff_only: bool = False,
        show_all_fields: bool = True,
    ) -> str:
        """Return a comparison as text.

        Args:
            diff: The comparison as lists.
            merged_data: The comparison as `metaxy.dag.diff.merged_struct` writes it.
            format: One of `FORMATS`.
            verbose: Show code versions and whole hashes.
            diff_only: Leave out what is the same.
            show_all_fields: Show fields that are the same, too.
        """
        if merged_data is not None:
            view = GraphData.from_merged_diff(merged_data)
        elif diff is not None:
            view = diff.to_view()
        else:
            raise ValueError("nothing to format: pass diff or merged_data")
        if diff_only or not show_all_fields:
            shorter = only_changes(view)
            view = shorter if diff_only else replace_nodes(view, shorter)
        config = RenderConfig.verbose() if verbose else RenderConfig()
        return render(view, format, replace(config, hash_length=0) if format in ("json", "yaml") else config)


def replace_nodes(view: GraphData, other: GraphData) -> GraphData:
    """Return a view with those features of another that it has, too."""
    return view.model_copy(update={"nodes": {**view.nodes, **other.nodes}})
