"""The graph in the DOT language of Graphviz; `dot -Tsvg` makes a picture of it."""

from collections.abc import Iterator
from typing import Any

from metaxy.dag.render.labels import changes, feature_notes, field_notes, snapshot_text, stats_lines
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.view import FieldNode, GraphNode, NodeStatus, Relation


def quote(text: str) -> str:
    r"""Return text as a DOT string; line ends stay line ends of the label.

    >>> print(quote('a "b" \\ c'))
    "a \"b\" \\ c"
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def attributes(**values: Any) -> str:
    """Return a list of attributes."""
    return "[" + ", ".join(f"{name}={quote(str(value))}" for name, value in values.items()) + "]"


class GraphvizRenderer(BaseRenderer):
    """One node per feature and, linked by a dashed line, one per field."""

    def lines(self) -> Iterator[str]:
        """Yield the graph in DOT."""
        snapshot = snapshot_text(self.graph_data, self.config)
        default = "Graph changes" if self.graph_data.is_diff else "Graph"
        label = "\n".join(filter(None, (self.config.title or default, f"snapshot: {snapshot}" if snapshot else "")))
        yield from ("strict digraph {", f"    rankdir={self.config.direction};", f"    label={quote(label)};")
        yield from ("    labelloc=t;", "    fontsize=14;")
        features = self.features
        for node in features:
            yield f"    {quote(str(node.key))} {self._feature(node)};"
        for edge in self.graph_data.edges:
            yield f"    {quote(str(edge.from_key))} -> {quote(str(edge.to_key))}{_line(edge.relation)};"
        for node in features if self.config.show_fields else ():
            yield from self._fields(node)
        yield "}"

    def _feature(self, node: GraphNode) -> str:
        if node.status is NodeStatus.MISSING:
            return attributes(label=f"{node.key}\nnot in the graph", shape="box", style="dashed")
        lines = [str(node.key), *feature_notes(node, self.config), *stats_lines(node), *changes(node, self.config)]
        shape = {NodeStatus.ADDED: "oval", NodeStatus.REMOVED: "octagon"}.get(node.status)
        shape = "folder" if node.group else shape or ("doubleoctagon" if node.is_root else "box")
        return attributes(label=_marked(lines, node.status), shape=shape, **self._color(node.status))

    def _fields(self, node: GraphNode) -> Iterator[str]:
        for field in node.fields:
            name = quote(f"{node.key}::{field.key}")
            yield f"    {name} {self._field(field)};"
            yield f"    {quote(str(node.key))} -> {name} [style=dashed, arrowhead=none];"

    def _field(self, field: FieldNode) -> str:
        lines = [str(field.key), *field_notes(field, self.config)]
        return attributes(
            label=_marked(lines, field.status), shape="ellipse", fontsize="10", **self._color(field.status)
        )

    def _color(self, status: NodeStatus) -> dict[str, str]:
        return {} if status is NodeStatus.NORMAL else {"color": self.theme.of_status(status)}


def _line(relation: Relation) -> str:
    """Return how an edge looks that is not usual; dotted where the parent is optional."""
    style = {"style": "dotted"} if relation.optional else {}
    return f" {attributes(label=relation.text, fontsize='10', **style)}" if relation.text else ""


def _marked(lines: list[str], status: NodeStatus) -> str:
    shown = status not in (NodeStatus.NORMAL, NodeStatus.UNCHANGED)
    return "\n".join([f"{lines[0]} [{status.value.upper()}]" if shown else lines[0], *lines[1:]])
