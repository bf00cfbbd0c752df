"""The graph as a page to look around in: one file that needs no network and no server.

The picture is that of `metaxy.dag.render.svg`; the script of the page moves, searches, folds and highlights it. Who
runs no scripts sees the picture and a table.
"""

from collections.abc import Iterator
from typing import Any, Final

from metaxy.dag.render.drawing import DrawingRenderer, asset, bundled, picture_css, policy_hash
from metaxy.dag.render.markup import HtmlTable
from metaxy.dag.render.svg import escape
from metaxy.printable import json_text, printable

MARK: Final = "document.documentElement.className='js'"  # before anything is painted
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


class HtmlRenderer(DrawingRenderer):
    """A page: pan, zoom, search, folding, lineage of features and fields, and all that is known of each."""

    def lines(self) -> Iterator[str]:
        """Yield the page."""
        script = bundled(asset("picture.js"), asset("page.js"))
        policy = f"default-src 'none';style-src 'unsafe-inline';script-src {policy_hash(MARK)} {policy_hash(script)}"
        yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
        yield f"<title>{escape(self.headline)}</title>"
        yield f'<script type="text/javascript">{MARK}</script>'
        yield from ("<style>", asset("page.css"), picture_css(self.theme), "</style></head><body>")
        yield from self._table()
        yield from self._app()
        yield f'<script type="application/json" id="data">{_embedded(self.data())}</script>'
        yield f'<script type="module">{script}</script>'
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
        yield f'<svg class="mx picture" role="img" aria-label="{escape(self.headline)}"><g class="view">'
        yield from (*self.drawn(), "</g></svg>")
        if signs := "".join(self.signs()):
            yield f'<div class="legend">{signs}</div>'
        yield TOOLS
        yield '</main><aside class="detail" id="detail" aria-live="polite"></aside></div>'


def _embedded(data: Any) -> str:
    """Return data as JSON that cannot end the element that it stands in."""
    return printable(json_text(data)).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
