"""The graph as a Mermaid flowchart, which Markdown pages on GitHub and elsewhere show as a picture."""

import html
import json
from collections.abc import Iterator
from typing import Final

from metaxy.dag.render.labels import (
    badge,
    changes,
    feature_version_text,
    field_notes,
    format_hash,
    sanitize_mermaid_id,
    snapshot_text,
    stats_lines,
)
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.view import GraphNode, NodeStatus, Relation

INIT: Final = (
    '%%{init: {"flowchart": {"htmlLabels": true, "curve": "basis"}, "themeVariables": {"fontSize": "14px"}}}%%'
)
# What stands around a label gives the node its shape: a box, round for added, a stadium for removed features.
SHAPES: Final = {NodeStatus.ADDED: ("(", ")"), NodeStatus.REMOVED: ("([", "])")}

GROUP: Final = ("[[", "]]")


def escape(text: str) -> str:
    """Return text for an HTML label in double quotes; `%%` would begin a comment or a directive."""
    text = html.escape(text, quote=False).replace("#", "&num;").replace('"', "&quot;").replace("\n", " ")
    return text.replace("%%", "&percnt;&percnt;")


def arrow(relation: Relation) -> str:
    """Return an arrow that shows how rows belong together; dotted where the parent is optional.

    >>> arrow(Relation()), arrow(Relation(lineage="N:1")), arrow(Relation(lineage="1:N", optional=True))
    ('-->', '-->|N:1|', '-.->|1:N, optional|')
    """
    label = f"|{relation.text}|" if relation.text else ""
    return f"-.->{label}" if relation.optional else f"-->{label}"


class MermaidRenderer(BaseRenderer):
    """One node per feature, with its fields in the label; every node and every edge is one line."""

    def lines(self) -> Iterator[str]:
        """Yield the flowchart."""
        default = "Feature Graph Changes" if self.graph_data.is_diff else "Feature Graph"
        yield from ("---", f"title: {json.dumps(self.config.title or default, ensure_ascii=False)}", "---")
        yield f"flowchart {self.config.direction}"
        if snapshot := snapshot_text(self.graph_data, self.config):
            yield f"    %% Snapshot version: {snapshot}"
        yield f"    {INIT}"
        features = self.features
        for node in features:
            left, right = GROUP if node.group else SHAPES.get(node.status, ("[", "]"))
            yield f'    {sanitize_mermaid_id(str(node.key))}{left}"{self._label(node)}"{right}'
        for edge in self.graph_data.edges:
            ends = (sanitize_mermaid_id(str(key)) for key in (edge.from_key, edge.to_key))
            yield f"    {f' {arrow(edge.relation)} '.join(ends)}"
        for node in features:
            yield from self._style(node)

    def _style(self, node: GraphNode) -> Iterator[str]:
        if node.status is NodeStatus.MISSING:
            yield f"    style {sanitize_mermaid_id(str(node.key))} stroke-dasharray: 5 5"
        elif node.status is not NodeStatus.NORMAL:
            color = self.theme.of_status(node.status)
            yield f"    style {sanitize_mermaid_id(str(node.key))} stroke:{color},stroke-width:2px"

    def _label(self, node: GraphNode) -> str:
        lines = [" ".join(filter(None, (f"<b>{escape(str(node.key))}</b>", badge(node.status))))]
        if node.status is NodeStatus.MISSING:
            return "<br/>".join([*lines, "<small>not in the graph</small>"])
        if node.group:
            return "<br/>".join([*lines, *(f"<small>{escape(text)}</small>" for text in node.group.lines)])
        if self.config.show_projects and node.project:
            lines.append(f"<small>project: {escape(node.project)}</small>")
        if version := feature_version_text(node, self.config):
            lines.append(self._colored(version))
        if self.config.show_code_versions and node.code_version:
            lines.append(f"cv: {format_hash(node.code_version, self.config.hash_length)}")
        lines += [f"<small>{escape(text)}</small>" for text in (*stats_lines(node), *changes(node, self.config))]
        if self.config.show_fields and node.fields:
            lines += ["---", *self._fields(node)]
        return "<br/>".join(lines)

    def _fields(self, node: GraphNode) -> Iterator[str]:
        for field in node.fields:
            notes = [note.removeprefix("v: ") for note in field_notes(field, self.config)]
            version = f"({', '.join(self._colored(note) for note in notes)})" if notes else ""
            yield " ".join(filter(None, (f"- {escape(str(field.key))}", version, badge(field.status))))

    def _colored(self, version: str) -> str:
        """Return a version; of two, the old one in red and the new one in green."""
        old, arrow, new = version.partition(" → ")
        if not arrow:
            return escape(version)
        return (
            f"<font color='{self.theme.old_version_color}'>{escape(old)}</font> → "
            f"<font color='{self.theme.new_version_color}'>{escape(new)}</font>"
        )
