"""The picture as a page puts it together: groups of SVG, what there is to say of each feature, and what moves it.

The HTML page and the web page draw with the same script, `page/picture.js`.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, ClassVar, Final

from metaxy.dag.render.config import Theme
from metaxy.dag.render.document import shown, yaml_lines
from metaxy.dag.render.labels import field_notes, stats_lines
from metaxy.dag.render.palette import style
from metaxy.dag.render.svg import LAMPS, SvgRenderer, escape, sign
from metaxy.dag.view import FieldNode, GraphNode
from metaxy.printable import printable

ASSETS: Final = files("metaxy.dag.render") / "page"
FACTS: Final = {
    "project": "project",
    "version": "version",
    "old_version": "old version",
    "code_version": "code version",
}


@dataclass(frozen=True)
class Drawing:
    """A picture in parts: ``svg`` and ``legend`` are markup, ``data`` is what the script of a page says of features.

    Width and height are those of the whole graph; the script shows any part of it in any size.
    """

    svg: str
    data: dict[str, Any]
    title: str
    counts: str
    legend: str
    width: float
    height: float


class DrawingRenderer(SvgRenderer):
    """Draws for the script of a page, which folds by itself."""

    folds: ClassVar[bool] = False

    def drawing(self) -> Drawing:
        """Return the parts."""
        size = (round(self.layout.width, 1), round(self.layout.height, 1))
        svg, legend = "\n".join(self.drawn()), "".join(self.signs())
        return Drawing(svg, self.data(), self.headline, self.counts, legend, *size)

    def drawn(self) -> Iterator[str]:
        """Yield the lines and the boxes."""
        yield from ('<g class="edges">', *self.edges(), '</g><g class="cards">', *self.cards(), "</g>")

    def signs(self) -> Iterator[str]:
        """Yield what the signs of statuses mean."""
        for mark, name in self.legend:
            yield f'<span><svg class="mx">{sign(mark, 8, 8)}</svg>{escape(name)}</span>'

    def data(self) -> dict[str, Any]:
        """Return what the page says of features, as far as the options show it."""
        nodes = {_name(node.key): self._node(node) for node in self.features}
        return {"direction": self.direction, "fold": self.config.fold, "lamps": LAMPS, "nodes": nodes}

    def _node(self, node: GraphNode) -> dict[str, Any]:
        config = replace(self.config, show_changes=False)
        known = shown(node.model_dump(mode="json"), self.config)
        if known.get("old_version") == known.get("version"):
            known.pop("old_version", None)
        fields = node.fields if self.config.show_fields else ()
        return {
            "at": [round(value, 1) for value in self.layout.boxes[str(node.key)]],
            "groups": {
                "key": _name(node.key).partition("/")[0],
                "project": _name(known.get("project") or "no project"),
            },
            "status": node.status.value,
            "description": (node.spec.description or "") if node.spec else "",
            "facts": [[title, str(known[name])] for name, title in FACTS.items() if known.get(name)] + _ids(node),
            "state": node.stats.state if node.stats else None,
            "stats": stats_lines(node),
            "changes": [*known.get("changes", ()), *(_field_changes(fields) if self.config.show_changes else ())],
            "fields": [
                [_name(field.key), " · ".join(field_notes(field, config)).removeprefix("v: ")] for field in fields
            ],
            "parents": {_name(f.key): [list(map(_name, parent)) for parent in f.parents or ()] for f in fields},
            "dependencies": [[_name(dep), node.relation(dep).text] for dep in node.dependencies],
            "more": _definition(node),
        }


class LiveRenderer(DrawingRenderer):
    """Draws boxes with a line for what is known only later: `note` of the script fills it."""

    live: ClassVar[bool] = True


def asset(name: str) -> str:
    """Return a file of the page."""
    return ASSETS.joinpath(name).read_text(encoding="utf-8").rstrip()


def picture_css(theme: Theme) -> str:
    """Return how pictures look that `picture.js` moves; all rules are for them and for what lies on them."""
    return "\n".join([asset("picture.css"), *style(theme)])


def bundled(*modules: str) -> str:
    r"""Return modules as one: each imports only from those before it, and no two have names in common.

    >>> bundled("export const one = 1;", 'import { one } from "./one.js";\nfoo(one);').splitlines()
    ['const one = 1;', 'foo(one);']
    """
    return "\n".join(re.sub(r"^import [^\n]*\n|^export ", "", module, flags=re.MULTILINE) for module in modules)


def policy_hash(text: str) -> str:
    """Return what a Content-Security-Policy names a script or style by that stands in a page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _ids(node: GraphNode) -> list[list[str]]:
    return [["ID columns", ", ".join(map(_name, node.spec.id_columns))]] if node.spec else []


def _field_changes(fields: Iterable[FieldNode]) -> Iterator[str]:
    for field in fields:
        yield from (f"{field.key}: {text}" for text in field.changes)


def _definition(node: GraphNode) -> str:
    """Return what else is known of a feature, as YAML."""
    columns = {name: each.get("type") for name, each in ((node.columns or {}).get("properties") or {}).items()}
    known = {"metadata": node.metadata, "columns": columns}
    return "\n".join(yaml_lines({name: value for name, value in known.items() if value}))


def _name(name: object) -> str:
    """Return a name as the picture has it."""
    return printable(str(name))
