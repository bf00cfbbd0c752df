"""The graph as a drawn picture: SVG that stands alone, light or dark as the reader likes it.

It needs no fonts, scripts or other files. Boxes and lines say more when one points at them. All its rules are for
pictures only and it has no IDs, so that many of them can be on one page.
"""

import html
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Final

from metaxy.dag.graph import FeatureGraph
from metaxy.dag.layout import Arc, Box, Layout, Route, lay_out
from metaxy.dag.render.config import Direction, RenderConfig
from metaxy.dag.render.labels import snapshot_text, to_compute
from metaxy.dag.render.palette import CALM, state_class, style
from metaxy.dag.render.panels import (
    FIELD,
    HEADER,
    LINE,
    PADDING,
    SIGN,
    STACK,
    UNSIGNED,
    Panel,
    Words,
    shortened,
    state_of,
    text_width,
)
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.stats import State
from metaxy.dag.view import EdgeData, NodeStatus, Relation
from metaxy.printable import printable

MARGIN: Final = 28.0
TITLE: Final = 46.0
LEGEND: Final = 40.0
ARROW: Final = 7.0
TEXT_MIDDLE: Final = 4.0  # from the middle of a line of text down to where its letters stand
# Signs differ in shape: filled circle, square and diamond, open circle, pencil, dashed circle.
SIGNS: Final = {
    NodeStatus.ADDED: '<circle class="full" r="7"/><path d="M-3.5 0H3.5M0-3.5V3.5"/>',
    NodeStatus.REMOVED: '<rect class="full" x="-6.5" y="-6.5" width="13" height="13" rx="2"/><path d="M-3.5 0H3.5"/>',
    NodeStatus.CHANGED: '<path class="full" d="M-8 0L0-8 8 0 0 8Z"/>'
    '<path d="M-3.6 1C-2.4-1.6-1-1.2 0 0S2.4 1.6 3.6-1"/>',
    NodeStatus.AFFECTED: '<circle class="open" r="6.8" stroke-width="1.3"/>'
    '<path class="ink" d="M3.2-.6A3.3 3.3 0 1 0 2.6 2M3.6-3.2V-.4H.9"/>',
    NodeStatus.DESCRIBED: '<path class="ink" d="M-5 5L-4.2 1.8 2.8-5.2 5.2-2.8-1.8 4.2ZM1-3.4L3.4-1"/>',
    NodeStatus.MISSING: '<circle class="open" r="6.8" stroke-width="1.3" stroke-dasharray="3 2"/>',
}
# Signs say what a store has of a feature, as `mx metadata status` does: tick, triangle, cross, square, empty circle.
STATES: Final[Mapping[State, tuple[str, str]]] = {
    "up_to_date": ("up to date", '<circle class="full" r="7"/><path d="M-3.2.2L-.9 2.6 3.4-2.4"/>'),
    "needs_update": (
        "needs an update",
        '<polygon class="full" points="0,-7.2 8,6.4 -8,6.4"/><path d="M0-2.4V1.6M0 4V4.1"/>',
    ),
    "missing": (
        "no table yet",
        '<circle class="open" r="6.8" stroke-width="1.3"/><path class="ink" d="M-2.6-2.6L2.6 2.6M2.6-2.6L-2.6 2.6"/>',
    ),
    "error": (
        "could not be counted",
        '<rect class="full" x="-6.5" y="-6.5" width="13" height="13" rx="2"/><path d="M0-3.6V.6M0 3.5V3.6"/>',
    ),
    "root_feature": ("root", '<circle class="open" r="5" stroke-width="1.6"/>'),
}
DRAWN: Final = {status.value: drawn for status, drawn in SIGNS.items()} | {
    state_class(state): drawn for state, (_, drawn) in STATES.items()
}
# Lamps say the same within a line, with the same shapes; the left end is at 0.
LAMPS: Final[Mapping[State, str]] = {
    "error": "M1-3.5H8V3.5H1ZM4.5-1.6V.4M4.5 1.8V1.9",
    "missing": "M1 0A3.5 3.5 0 1 1 8 0A3.5 3.5 0 1 1 1 0ZM3.3-1.2L5.7 1.2M5.7-1.2L3.3 1.2",
    "needs_update": "M4.5-4L9 3.8H0Z",
    "up_to_date": "M.5.3L3.5 3.3L8.7-3.5",
    "root_feature": "M2 0A2.5 2.5 0 1 1 7 0A2.5 2.5 0 1 1 2 0Z",
}


def escape(text: str) -> str:
    """Return text that may stand in SVG, whatever it is; controls are made visible."""
    safe = printable(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    return html.escape(safe.encode("utf-8", "replace").decode())


def number(value: float) -> str:
    """Return a coordinate, short.

    >>> number(12.0), number(0.333), number(-0.01)
    ('12', '0.3', '0')
    """
    return f"{value:.1f}".removesuffix(".0").replace("-0.0", "0") if abs(value) >= 0.05 else "0"


class SvgRenderer(BaseRenderer):
    """A box per feature, with its fields, and a line for each dependency; dotted where the parent is optional."""

    live: ClassVar[bool] = False  # whether boxes have an empty line, for what a page learns later

    def lines(self) -> Iterator[str]:
        """Yield the picture."""
        layout, names = self.layout, self.legend
        least = max(text_width(self.headline, "title"), _legend_width(names)) + 2 * MARGIN
        top, below = MARGIN + TITLE, MARGIN + (LEGEND if names else 0)
        width, height = max(least, layout.width + 2 * MARGIN), top + layout.height + below
        size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
        name = f'role="img" aria-label="{escape(self.headline)}"'
        yield f'<svg xmlns="http://www.w3.org/2000/svg" class="mx" {size} {name}>'
        yield from ("<style>", *style(self.theme, self.config.color_scheme), "</style>")
        yield f'<rect class="paper" width="{number(width)}" height="{number(height)}" rx="12"/>'
        yield from self._title()
        left = (width - layout.width) / 2
        yield f'<g transform="translate({number(left)} {number(top)})">'
        yield from (*self.edges(), *self.cards())
        yield "</g>"
        yield from _legend(names, height - MARGIN)
        yield "</svg>"

    @cached_property
    def panels(self) -> dict[str, Panel]:
        """The boxes by key."""
        return {str(node.key): Panel.of(node, self.config, live=self.live) for node in self.features}

    @cached_property
    def layout(self) -> Layout:
        """Where boxes and lines are."""
        return lay_out({key: panel.size for key, panel in self.panels.items()}, self.arcs(), self.direction)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The signs that are here, and what they mean, with how many features have them."""
        counts = Counter(_mark(state_of(node), node.status) for node in self.whole.nodes.values())
        words = {status.value: status.value for status in SIGNS}
        words |= {state_class(state): word for state, (word, _) in STATES.items()}
        return [(mark, f"{word} {counts[mark]}") for mark, word in words.items() if counts[mark]]

    @property
    def direction(self) -> Direction:
        """Where the picture grows to."""
        return self.config.direction

    @property
    def headline(self) -> str:
        """The title."""
        return self.config.title or ("Feature graph changes" if self.graph_data.is_diff else "Feature graph")

    def arcs(self) -> Iterable[Arc]:
        """Return the lines to draw."""
        return sorted(Arc(str(edge.from_key), str(edge.to_key)) for edge in self.graph_data.edges)

    def edges(self) -> Iterator[str]:
        """Yield the lines, those that say something over the others, and what they say."""
        layout, panels = self.layout, self.panels
        edges = {(str(edge.from_key), str(edge.to_key)): edge for edge in self.graph_data.edges}
        kinds = [_of_edge(*(panels[key] for key in route.arc[:2])) for route in layout.routes]
        for kind, route in sorted(zip(kinds, layout.routes, strict=True), key=lambda each: bool(each[0])):
            yield from self._edge(route, edges[route.arc[:2]], kind)
        tagged = {route.arc[:2]: route for route in reversed(layout.routes)}
        for ends, route in tagged.items():
            if edges[ends].relation.text:
                yield f'<g class="tags"{_ends(route)}>'
                yield from _tag(route, edges[ends].relation)
                yield "</g>"

    def cards(self) -> Iterator[str]:
        """Yield the boxes."""
        for key, panel in self.panels.items():
            yield from _card(panel, self.layout.boxes[key])

    @property
    def counts(self) -> str:
        """What stands below the title."""
        count = len(self.whole.nodes)
        notes = [f"{count} feature{'' if count == 1 else 's'}", to_compute(self.whole)]
        notes.append(snapshot_text(self.graph_data, self.config))
        return " · ".join(filter(None, notes))

    def _title(self) -> Iterator[str]:
        yield _text(MARGIN, MARGIN + 10, self.headline, "title strong")
        yield _text(MARGIN, MARGIN + 28, self.counts, "small soft")

    def _edge(self, route: Route, edge: EdgeData, kind: str) -> Iterator[str]:
        flat = self.direction == "LR"
        classes = " ".join(filter(None, ("edge", "optional" if edge.relation.optional else "", kind)))
        note = f" ({edge.relation.text})" if edge.relation.text else ""
        yield f'<g class="{classes}"{_ends(route)}><title>{escape(self.about(route.arc) + note)}</title>'
        yield f'<path class="line" d="{path(route, flat=flat)}"/>'
        yield f'<path class="head" d="{_arrow(route, flat=flat)}"/></g>'

    def about(self, arc: Arc) -> str:
        """Return what a line says when one points at it."""
        return f"{arc.source} → {arc.target}"


class FieldsSvgRenderer(SvgRenderer):
    """A line for each field that another is computed from, from left to right."""

    folds: ClassVar[bool] = False
    _ports: dict[str, dict[float | None, str]]  # which field is at which place of a box

    @property
    def direction(self) -> Direction:
        """To the right always: fields stand below each other."""
        return "LR"

    def arcs(self) -> Iterator[Arc]:
        """Yield the lines between fields."""
        ports = {key: panel.ports() for key, panel in self.panels.items()}
        self._ports = {key: {place: name for name, place in places.items()} for key, places in ports.items()}
        for node in self.features:
            for field in node.fields if ports[str(node.key)] else ():
                for feature, name in field.parents or ():
                    if name in ports.get(feature, ()):
                        yield Arc(feature, str(node.key), ports[feature][name], ports[str(node.key)][str(field.key)])

    def about(self, arc: Arc) -> str:
        """Return what a line says when one points at it."""
        source, target = (
            self._ports[key][place] for key, place in ((arc.source, arc.leaves), (arc.target, arc.enters))
        )
        return f"{arc.source}.{source} → {arc.target}.{target}"


def draw(graph: FeatureGraph, *, fields: bool = False, **options: Any) -> str:
    """Return the picture of a graph; options are those of `RenderConfig`."""
    renderer = FieldsSvgRenderer if fields else SvgRenderer
    return renderer(graph, RenderConfig(**options)).render()


# -- lines -------------------------------------------------------------------------------------------------------------


def path(route: Route, *, flat: bool) -> str:
    """Return the way of a line; it ends where its arrow begins.

    >>> path(Route(Arc("a", "b"), ((0, 0), (0, 9), (40, 59))), flat=False)
    'M0 0V9C0 30.5 40 30.5 40 52'
    """
    *points, last = [(y, x) if flat else (x, y) for x, y in route.points]
    way = 1 if last[1] >= points[-1][1] else -1
    points.append((last[0], last[1] - way * ARROW))
    found = [f"M{_point(*points[0], flat=flat)}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        if abs(x - to_x) < 0.5:
            found.append(f"{'H' if flat else 'V'}{number(to_y)}")
        else:
            half = (to_y - y) / 2
            bend = (_point(x, y + half, flat=flat), _point(to_x, to_y - half, flat=flat))
            found.append(f"C{bend[0]} {bend[1]} {_point(to_x, to_y, flat=flat)}")
    return "".join(found)


def _ends(route: Route) -> str:
    """Return what a page finds a line by."""
    return f' data-from="{escape(route.arc.source)}" data-to="{escape(route.arc.target)}"'


def _point(across: float, along: float, *, flat: bool) -> str:
    return f"{number(along)} {number(across)}" if flat else f"{number(across)} {number(along)}"


def _arrow(route: Route, *, flat: bool) -> str:
    (*_, before, tip) = [(y, x) if flat else (x, y) for x, y in route.points]
    base = tip[1] - (ARROW if tip[1] >= before[1] else -ARROW)
    left, right = (_point(tip[0] + side, base, flat=flat) for side in (-3.6, 3.6))
    return f"M{left}L{_point(*tip, flat=flat)}L{right}Z"


def _of_edge(source: Panel, target: Panel) -> str:
    """Return the class of a line: of what is no more, is new, changes with its parent, or has something to compute."""
    statuses = (source.status, target.status)
    for status in (NodeStatus.REMOVED, NodeStatus.ADDED):
        if status in statuses:
            return str(status.value)
    if all(status in (NodeStatus.CHANGED, NodeStatus.AFFECTED) for status in statuses):
        return str(NodeStatus.AFFECTED.value)
    return state_class(target.state) if target.state and target.state not in CALM else ""


def _mark(state: State | None, status: NodeStatus) -> str:
    """Return what the sign of a box is called, empty where it has none."""
    if state:
        return state_class(state)
    return "" if status in UNSIGNED else str(status.value)


def _tag(route: Route, relation: Relation) -> Iterator[str]:
    """Yield what is not usual about a line, on it, near its end."""
    (x0, y0), (x1, y1) = route.points[-2:]
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    width = text_width(relation.text, "small") + 8
    corner = f'x="{number(x - width / 2)}" y="{number(y - 8)}"'
    yield f'<rect class="tag" {corner} width="{number(width)}" height="16" rx="4"/>'
    yield _text(x, y + TEXT_MIDDLE, relation.text, "small soft", anchor="middle")


# -- boxes -------------------------------------------------------------------------------------------------------------


def _card(panel: Panel, box: Box) -> Iterator[str]:
    mark = _mark(panel.state, panel.status)
    classes = f"{panel.status.value} {mark if panel.state else ''}".strip()
    yield f'<g class="node {classes}" data-key="{escape(panel.key)}" transform="{_at(box.x, box.y)}">'
    yield f"<title>{escape(panel.about)}</title>"
    if panel.is_group:
        yield from _stacked(panel, box)
    else:
        yield from _sheet(panel, box.width, box.height)
    yield "</g>"


def _stacked(panel: Panel, box: Box) -> Iterator[str]:
    """Yield the box of a group, on top of others."""
    width, height = box.width - STACK, box.height - STACK
    for shift in (STACK, STACK / 2):
        corner = f'x="{number(shift)}" y="{number(STACK - shift)}"'
        yield f'<rect class="pile" {corner} width="{number(width)}" height="{number(height)}" rx="8"/>'
    yield f'<g transform="{_at(0, STACK)}">'
    yield from _sheet(panel, width, height)
    yield "</g>"


def _sheet(panel: Panel, width: float, height: float) -> Iterator[str]:
    yield f'<rect class="card" width="{number(width)}" height="{number(height)}" rx="8"/>'
    mark = _mark(panel.state, panel.status)
    if mark:
        yield sign(mark, width - PADDING - 5, HEADER / 2 + 2)
    yield _key(panel, width - 2 * PADDING - (SIGN + 8 if mark else 0))
    yield '<g class="note">'
    for index, line in enumerate(panel.notes):
        yield from _words(line, width, HEADER + index * LINE + LINE / 2)
    yield "</g>"
    if panel.live:
        yield _live(HEADER + len(panel.notes) * LINE + LINE / 2)
    if panel.fields:
        top = panel.fields_top
        yield f'<path class="rule" d="M1 {number(top)}H{number(width - 1)}"/>'
        for index, line in enumerate(panel.fields):
            yield f'<g class="field {line.status.value}" data-field="{escape(line.port)}">'
            yield f"<title>{escape(line.about)}</title>"
            yield from _words(line, width, top + 5 + FIELD / 2 + index * FIELD)
            yield "</g>"


def _live(middle: float) -> str:
    text = f'<text class="small soft" y="{number(TEXT_MIDDLE)}"/>'
    return f'<g class="live" transform="{_at(PADDING, middle)}"><title/><path class="lamp"/>{text}</g>'


def _at(x: float, y: float) -> str:
    return f"translate({number(x)} {number(y)})"


def _key(panel: Panel, room: float) -> str:
    name = shortened(panel.name, room, "name")
    prefix = shortened(panel.prefix, room - text_width(name, "name")) if panel.prefix else ""
    spans = f'<tspan class="soft">{escape(prefix)}</tspan>' if len(prefix) > 1 else ""
    spans += f'<tspan class="name strong">{escape(name)}</tspan>'
    return f'<text x="{number(PADDING)}" y="{number(HEADER / 2 + 7)}">{spans}</text>'


def _words(line: Words, width: float, middle: float) -> Iterator[str]:
    left, room = PADDING, width - 2 * PADDING
    if line.port and line.status not in UNSIGNED:
        yield f'<g transform="{_at(left + 5, middle)} scale(.8)">{sign(line.status.value, 0, 0)}</g>'
        left, room = left + SIGN, room - SIGN
    kind = "plain" if line.kind == "plain" else "small"
    right = shortened(line.right, room, "mono")
    if right:
        room -= text_width(right, "mono") + 10
        yield _text(width - PADDING, middle + TEXT_MIDDLE, right, "mono soft", anchor="end")
    if line.left and (shown := shortened(line.left, room, kind)):
        classes = line.kind if line.kind == "plain" else f"small {line.kind}"
        yield _text(left, middle + TEXT_MIDDLE, shown, classes)


def sign(mark: str, x: float, y: float) -> str:
    """Return the sign of a status or state, with its middle there."""
    return f'<g class="sign {mark}" transform="{_at(x, y)}">{DRAWN[mark]}</g>'


def _text(x: float, y: float, text: str, classes: str, *, anchor: str = "") -> str:
    at = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{classes}" x="{number(x)}" y="{number(y)}"{at}>{escape(text)}</text>'


# -- legend ------------------------------------------------------------------------------------------------------------


def _legend_width(names: list[tuple[str, str]]) -> float:
    return sum(SIGN + text_width(name, "small") + 18 for _, name in names)


def _legend(names: list[tuple[str, str]], y: float) -> Iterator[str]:
    x = MARGIN
    for mark, name in names:
        yield sign(mark, x + 7, y)
        yield _text(x + SIGN, y + TEXT_MIDDLE, name, "small plain")
        x += SIGN + text_width(name, "small") + 18
