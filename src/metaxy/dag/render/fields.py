"""Dependencies between fields: as a Mermaid flowchart, or as lines of text."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from metaxy.dag.render.labels import dependency_text, field_text, sanitize_mermaid_id
from metaxy.dag.render.mermaid import arrow, escape
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.view import GraphData, GraphNode, Relation

BORDER = "#4C78A8"


def _id(feature: object, field: object) -> str:
    return sanitize_mermaid_id(f"{feature}.{field}")


class FieldsMermaidRenderer(BaseRenderer):
    """One subgraph per feature, its fields inside, and an arrow for each field that another is computed from."""

    folds: ClassVar[bool] = False

    def lines(self) -> Iterator[str]:
        """Yield the flowchart."""
        yield f"flowchart {self.config.direction}"
        features = self.features
        for node in features:
            yield from self._feature(node)
        for parent, child, relation in field_edges(self.graph_data, features):
            yield f"    {parent} {arrow(relation)} {child}"
        for node in features:
            yield f"    style {sanitize_mermaid_id(str(node.key))} stroke:{BORDER},stroke-width:2px"

    def _feature(self, node: GraphNode) -> Iterator[str]:
        yield f'    subgraph {sanitize_mermaid_id(str(node.key))}["{escape(str(node.key))}"]'
        for field in sorted(node.fields, key=lambda field: str(field.key)):
            yield f'        {_id(node.key, field.key)}["{escape(field_text(field, self.config))}"]'
        yield "    end"


def field_edges(view: GraphData, features: Iterable[GraphNode]) -> Iterator[tuple[str, str, Relation]]:
    """Yield the IDs of each two fields of a view that depend on each other, parent first, and how their rows do."""
    for node in features:
        for field in sorted(node.fields, key=lambda field: str(field.key)):
            for parent in field.parents or ():
                if parent[0] in view.nodes:
                    yield _id(*parent), _id(node.key, field.key), node.relation(parent[0])


class FieldsRenderer(BaseRenderer):
    """One line per field: `feature.field ← parent.field, parent.field`."""

    folds: ClassVar[bool] = False

    def lines(self) -> Iterator[str]:
        """Yield the lines."""
        for node in self.features:
            for field in node.fields:
                parents = ", ".join(dependency_text(node, *parent) for parent in field.parents or ())
                yield f"{node.key}.{field_text(field, self.config)}" + (f" ← {parents}" if parents else "")
