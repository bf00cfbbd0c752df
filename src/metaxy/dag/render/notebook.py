"""Graphs, comparisons and features as notebooks show them: a picture where a renderer draws one, and tables."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from metaxy.columns import is_system_column
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import FORMATS
from metaxy.dag.render.labels import feature_notes, format_hash
from metaxy.dag.render.markup import HEADS, Row, TableRenderer
from metaxy.dag.view import GraphData, GraphNode, view_feature
from metaxy.definitions.definition import FeatureDefinition
from metaxy.notebook import Html, card, escaped, facts, folded, image, joined, marked, table

PICTURE: Final = "svg"  # the row of `FORMATS` whose picture is shown
PICTURE_FEATURES: Final = 60  # a picture of more than that helps nobody
FEATURES: Final = 100  # that the table shows
CONFIG: Final = RenderConfig()


def graph_page(graph: FeatureGraph) -> str:
    """Return a graph as a notebook shows it."""
    return NotebookRenderer(graph).render()


def view_page(view: GraphData) -> str:
    """Return a view, such as a comparison, as a notebook shows it."""
    return NotebookRenderer(graph_data=view).render()


def class_page(feature: Any) -> str:
    """Return a feature class as a notebook shows it."""
    if not hasattr(feature, "_spec"):
        return card(feature.__name__, note="an abstract feature class: it has no spec")
    node = view_feature(feature.graph, FeatureDefinition.from_feature_class(feature))
    note = "" if node.version else "not in its graph as it is here, or something that it depends on is missing"
    return feature_page(node, note)


class NotebookRenderer(TableRenderer):
    """A piece of a page: the picture and, folded below it, the table; the table alone where there is no picture."""

    def lines(self) -> Iterator[str]:
        """Yield the piece."""
        drawn, listed = self.picture(), self.table()
        if drawn:  # it has a title itself
            yield card("", drawn, folded("features", listed))
        else:
            yield card(self.title, listed, note=self.counts)

    def picture(self) -> Html:
        """Return the picture, nothing where nobody draws one or it would be too large."""
        renderer = FORMATS.get(PICTURE)
        if renderer is None or not 0 < len(self.graph_data.nodes) <= PICTURE_FEATURES:
            return Html("")
        drawn = renderer(graph_data=self.graph_data, config=self.config, theme=self.theme).render()
        return image(drawn, f"{self.title}: {self.counts}")

    def table(self) -> Html:
        """Return a line per feature, of the first ones where there are many."""
        rows = list(self.rows())
        if not rows:
            return Html("")
        status = ("",) if self.graph_data.is_diff else ()
        listed = table(map(self._line, rows[:FEATURES]), (*status, *HEADS, *self._more))
        more = f"<p>and {len(rows) - FEATURES:,} more</p>" if len(rows) > FEATURES else ""
        return joined([listed, Html(more)])

    def _line(self, row: Row) -> list[object]:
        status = [row.status] if self.graph_data.is_diff else []
        return [*status, row.feature, row.version, *(joined(items, "<br>") for items in row.lists)]


def feature_page(node: GraphNode, note: str = "") -> str:
    """Return a feature as a notebook shows it; the note is what is wrong with it."""
    spec = node.spec
    told = ((spec and spec.description) or "").partition("\n\n")[0]
    said = [marked(f"⚠ {note}", "due")] if note else []
    known = {"IDs": ", ".join(spec.id_columns) if spec else "", "depends on": joined(_parents(node), "<br>")}
    columns = list(_columns(node))
    return card(
        node.key,
        Html("".join(f"<p>{escaped(text)}</p>" for text in [*said, told] if text)),
        facts(known),
        table(_fields(node), ("field", "version", "code version", "computed from")),
        folded("columns", table(columns, ("column", "type", "description"))) if columns else Html(""),
        note=", ".join(feature_notes(node, CONFIG)),
    )


def _parents(node: GraphNode) -> Iterator[str]:
    for parent in node.dependencies:
        relation = node.relation(parent).text
        yield f"{parent} ({relation})" if relation else str(parent)


def _fields(node: GraphNode) -> Iterator[tuple[object, ...]]:
    for field in node.fields:
        parents = joined((f"{feature}.{name}" for feature, name in field.parents or ()), "<br>")
        yield field.key, format_hash(field.version, CONFIG.hash_length), field.code_version or "", parents


def _columns(node: GraphNode) -> Iterator[tuple[str, str, str]]:
    """Yield the columns that the class declares, with their types in the words of JSON schemas."""
    for name, schema in (node.columns or {}).get("properties", {}).items():
        if not is_system_column(name):
            yield name, _type(schema), str(schema.get("description", ""))


def _type(schema: Mapping[str, Any]) -> str:
    parts = [part for part in schema.get("anyOf", [schema]) if isinstance(part, Mapping)]
    names = (str(part.get("format") or part.get("type") or part.get("$ref", "").rpartition("/")[2]) for part in parts)
    return " or ".join(dict.fromkeys(filter(None, names)))
