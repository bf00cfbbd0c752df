"""The graph as a page to look around in: one file that needs no network and no server.

The picture is that of `metaxy.dag.render.svg`; the script of the page moves, searches, folds and highlights it. Who
runs no scripts sees the picture and a table.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

from metaxy.dag.render.document import shown, yaml_lines
from metaxy.dag.render.labels import field_notes, stats_lines
from metaxy.dag.render.markup import HtmlTable
from metaxy.dag.render.palette import style
from metaxy.dag.render.svg import SvgRenderer, escape, sign
from metaxy.dag.view import GraphNode
from metaxy.printable import json_text, printable

ASSETS: Final = files("metaxy.dag.render") / "page"
MARK: Final = "document.documentElement.className='js'"  # before anything is painted
FACTS: Final = {
    "project": "project",
    "version": "version",
    "old_version": "old version",
    "code_version": "code version",
}
TOOLS: Final = """<div class="tools">
<button id="all" title="Show the whole graph">All</button>
<button id="near" title="Show only what is around the selected feature">Around</button>
<select id="depth" aria-label="How far around" hidden>
<option value="1">1 step</option><option value="2">2 steps</option><option value="3">3 steps</option>
<option value="all">all of it</option></select>
<button id="fold" title="Fold or unfold all groups">Fold</button>
<select id="by" aria-label="What makes a group" hidden>
<option value="key">by key</option><option value="project">by project</option></select>
<button id="fit" title="Show all (f)">Fit</button>
<button id="in" aria-label="Zoom in" title="Zoom in (+)">+</button>
<button id="out" aria-label="Zoom out" title="Zoom out (-)">&minus;</button>
</div>"""


class HtmlRenderer(SvgRenderer):
    """A page: pan, zoom, search, folding, lineage of features and fields, and all that is known of each."""

    def lines(self) -> Iterator[str]:
        """Yield the page."""
        script = ASSETS.joinpath("page.js").read_text(encoding="utf-8").rstrip()
        policy = f"default-src 'none';style-src 'unsafe-inline';script-src {_hash(MARK)} {_hash(script)}"
        yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
        yield f"<title>{escape(self.headline)}</title>"
        yield f'<script type="text/javascript">{MARK}</script>'
        yield from ("<style>", ASSETS.joinpath("page.css").read_text(encoding="utf-8").rstrip(), *style(self.theme))
        yield "</style></head><body>"
        yield from self._table()
        yield from self._app()
        yield f'<script type="application/json" id="data">{_embedded(self._data())}</script>'
        yield f'<script type="text/javascript">{script}</script>'
        yield "</body></html>"

    def _table(self) -> Iterator[str]:
        """Yield what is shown where no script runs."""
        yield f'<div class="table"><h1>{escape(self.headline)}</h1><p>{escape(self.counts)}</p>'
        yield from HtmlTable(graph_data=self.graph_data, config=self.config, theme=self.theme).lines()
        yield "</div>"

    def _app(self) -> Iterator[str]:
        yield f'<div class="app" id="app"><nav class="side"><div><h1>{escape(self.headline)}</h1>'
        yield f'<div class="soft">{escape(self.counts)}</div></div>'
        yield '<input id="search" type="search" placeholder="Search features and fields  /" aria-label="Search">'
        yield '<div class="list" id="list"></div></nav><main class="stage" id="stage">'
        yield f'<svg class="mx" id="picture" role="img" aria-label="{escape(self.headline)}"><g id="view">'
        yield from (
            '<g id="far"></g><g id="edges">',
            *self.edges(),
            '</g><g id="cards">',
            *self.cards(),
            "</g></g></svg>",
        )
        yield from self._legend()
        yield TOOLS
        yield '</main><aside class="detail" id="detail" aria-live="polite"></aside></div>'

    def _legend(self) -> Iterator[str]:
        if names := self.legend:
            signs = (f'<span><svg class="mx">{sign(status, 8, 8)}</svg>{escape(name)}</span>' for status, name in names)
            yield f'<div class="legend">{"".join(signs)}</div>'

    def _data(self) -> dict[str, Any]:
        return {"direction": self.direction, "nodes": {_name(node.key): self._node(node) for node in self.features}}

    def _node(self, node: GraphNode) -> dict[str, Any]:
        """Return what the page says of a feature, as far as the options show it."""
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
            "facts": [[title, str(known[name])] for name, title in FACTS.items() if known.get(name)],
            "stats": stats_lines(node),
            "changes": list(known.get("changes", ())),
            "fields": [
                [_name(field.key), " · ".join(field_notes(field, config)).removeprefix("v: ")] for field in fields
            ],
            "parents": {_name(f.key): [list(map(_name, parent)) for parent in f.parents or ()] for f in fields},
            "dependencies": [[_name(dep), node.relation(dep).text] for dep in node.dependencies],
            "more": _definition(node),
        }


def _definition(node: GraphNode) -> str:
    """Return what else is known of a feature, as YAML."""
    columns = {name: each.get("type") for name, each in ((node.columns or {}).get("properties") or {}).items()}
    ids = list(node.spec.id_columns) if node.spec else []
    known = {"id columns": ids, "metadata": node.metadata, "columns": columns}
    return "\n".join(yaml_lines({name: value for name, value in known.items() if value}))


def _name(name: object) -> str:
    """Return a name as the picture has it."""
    return printable(str(name))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _embedded(data: Any) -> str:
    """Return data as JSON that cannot end the element that it stands in."""
    return printable(json_text(data)).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
