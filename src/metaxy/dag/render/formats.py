"""All formats by name, and the one call that renders a view in one of them."""

from typing import Final

from metaxy.dag.render.cards import CardsRenderer
from metaxy.dag.render.config import RenderConfig, Theme
from metaxy.dag.render.document import JsonRenderer, YamlRenderer
from metaxy.dag.render.fields import FieldsMermaidRenderer, FieldsRenderer
from metaxy.dag.render.graphviz import GraphvizRenderer
from metaxy.dag.render.html import HtmlRenderer
from metaxy.dag.render.markup import MarkdownRenderer
from metaxy.dag.render.mermaid import MermaidRenderer
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.render.svg import FieldsSvgRenderer, SvgRenderer
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
    "svg": SvgRenderer,
}
FIELD_FORMATS: Final[dict[str, type[BaseRenderer]]] = {
    "terminal": FieldsRenderer,
    "mermaid": FieldsMermaidRenderer,
    "svg": FieldsSvgRenderer,
}


def render(view: GraphData, name: str, config: RenderConfig, theme: Theme | None = None, *, color: bool = False) -> str:
    """Return a view in a format."""
    if name == "terminal":
        return TerminalRenderer(graph_data=view, config=config, theme=theme, color=color).render()
    return FORMATS[name](graph_data=view, config=config, theme=theme).render()
