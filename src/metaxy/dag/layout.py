"""Where the features of a picture stand: in layers, dependencies first, with lines that go around boxes.

Sugiyama's four steps: give every box a layer, put a bend into every layer that a line passes, order each layer so that
few lines cross, and move boxes and bends towards their neighbours. The same input gives the same layout everywhere: no
step depends on chance, on hashes of this process or on a clock.

A line is straight where it passes a layer and bends between two layers only, where no box can be in its way. Lines that
leave a box at the same place are one line until they part.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import Final, Literal, NamedTuple

from metaxy.dag.layering import layers, turned_arcs
from metaxy.dag.spacing import nearest
from metaxy.dag.walk import around

BOX_GAP: Final = 28.0  # between boxes of a layer
LINE_GAP: Final = 16.0  # between a line that passes a layer and what is beside it
CLOSEST: Final = 10.0  # the same where it makes a line straight
PART_GAP: Final = 44.0  # between parts of the graph that nothing connects
LAYER_GAP: Final = 56.0  # between layers; more where lines go far sideways
STEEPEST: Final = 1 / 7  # how much of the way that a line goes sideways is added to the gap between its layers
WIDEST_GAP: Final = 170.0
WORK: Final = 60_000  # boxes and bends that are looked at in all sweeps together: bounds the time of large graphs
SWEEPS: Final = (5, 24)  # at least, at most
PLACINGS: Final = 6
SWAPPED: Final = 700  # boxes and bends; in larger graphs, trying swaps takes too long
SHAPE: Final = 1.6  # width by height that pictures of many parts should have


class Arc(NamedTuple):
    """A line to draw; ``leaves`` and ``enters`` say where on the box, from its start on: its middle by default."""

    source: str
    target: str
    leaves: float | None = None
    enters: float | None = None


class Box(NamedTuple):
    """Where a box stands: its upper left corner, and its size."""

    x: float
    y: float
    width: float
    height: float


class Route(NamedTuple):
    """The way of a line from source to target: straight between two points that face each other, else a bend."""

    arc: Arc
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Layout:
    """A picture of that size with its boxes and lines; nothing is outside of it."""

    width: float
    height: float
    boxes: dict[str, Box]
    routes: tuple[Route, ...]


def lay_out(
    sizes: Mapping[str, tuple[float, float]], arcs: Iterable[Arc], direction: Literal["TB", "LR"] = "TB"
) -> Layout:
    """Place boxes of these sizes (width, height), and lines between them.

    Arcs may form cycles. Those to boxes that are not there, and from a box to itself, are left out.

    >>> layout = lay_out({"video": (60, 20), "crop": (60, 20)}, [Arc("video", "crop")])
    >>> layout.boxes["crop"], layout.routes[0].points
    (Box(x=0.0, y=76.0, width=60, height=20), ((30.0, 20.0), (30.0, 76.0)))
    """
    flat = direction == "LR"
    turned = {key: (size[1], size[0]) if flat else size for key, size in sizes.items()}
    known = [arc for arc in arcs if arc.source in sizes and arc.target in sizes and arc.source != arc.target]
    parts = [_Part(keys, those, turned).placed() for keys, those in _parts(turned, known)]
    whole = _packed(parts, 1 / SHAPE if flat else SHAPE)
    return _turned(whole, known) if flat else _in_order(whole, known)


def _in_order(whole: Layout, arcs: Sequence[Arc]) -> Layout:
    """Return the layout with its routes in the order of the arcs."""
    by_arc = {route.arc: route for route in whole.routes}
    return Layout(whole.width, whole.height, whole.boxes, tuple(by_arc[arc] for arc in dict.fromkeys(arcs)))


def _turned(whole: Layout, arcs: Sequence[Arc]) -> Layout:
    boxes = {key: Box(box.y, box.x, box.height, box.width) for key, box in whole.boxes.items()}
    routes = tuple(Route(route.arc, tuple((y, x) for x, y in route.points)) for route in whole.routes)
    return _in_order(Layout(whole.height, whole.width, boxes, routes), arcs)


# -- parts that nothing connects ---------------------------------------------------------------------------------------


def _parts(keys: Iterable[str], arcs: Iterable[Arc]) -> Iterator[tuple[list[str], list[Arc]]]:
    beside: dict[str, list[str]] = {key: [] for key in keys}
    leaving: dict[str, list[Arc]] = defaultdict(list)
    for arc in arcs:
        beside[arc.source].append(arc.target)
        beside[arc.target].append(arc.source)
        leaving[arc.source].append(arc)
    seen: set[str] = set()
    for key in beside:
        if key not in seen:
            part = around([key], beside.__getitem__, None)
            seen |= part.keys()
            members = [each for each in beside if each in part] if len(part) * 20 > len(beside) else list(part)
            yield members, [arc for each in members for arc in leaving[each]]


def _packed(parts: list[Layout], shape: float) -> Layout:
    """Return all parts as one layout: the high ones first, in rows; within a row, lower ones below each other."""
    ordered = sorted(parts, key=lambda part: (-part.height, -part.width))
    area = sum((part.width + PART_GAP) * (part.height + PART_GAP) for part in parts)
    limit = max([sqrt(area * shape), *(part.width for part in parts)])
    boxes: dict[str, Box] = {}
    routes: list[Route] = []
    top = row = 0.0  # where the row begins, and how high it is
    left = column = down = 0.0  # where the column begins, how wide it is, and how far it is filled
    for part in ordered:
        if down + part.height > row:
            left, column, down = left + column, 0.0, 0.0
        if not row or left + part.width > limit:
            top, row = (top + row + PART_GAP if row else 0.0), part.height
            left = column = down = 0.0
        x, y = left, top + down
        boxes |= {key: Box(box.x + x, box.y + y, box.width, box.height) for key, box in part.boxes.items()}
        routes += (Route(arc, tuple((a + x, b + y) for a, b in points)) for arc, points in part.routes)
        gap = PART_GAP if len(part.boxes) > 1 else BOX_GAP
        down, column = down + part.height + gap, max(column, part.width + gap)
    width = max((box.x + box.width for box in boxes.values()), default=0.0)
    width = max([width, *(x for route in routes for x, _ in route.points)])
    return Layout(width, max((box.y + box.height for box in boxes.values()), default=0.0), boxes, tuple(routes))


# -- one part ----------------------------------------------------------------------------------------------------------


class _Link(NamedTuple):
    """One end of a line between layers: the item there, and the places on both items, from their middles."""

    item: int
    there: float
    here: float
    weight: float


@dataclass
class _Part:
    """A connected part of the graph on its way to a layout. Items are boxes, by number, and then bends."""

    keys: list[str]
    arcs: list[Arc]
    sizes: Mapping[str, tuple[float, float]]
    layer: list[int] = field(default_factory=list)  # of each item
    width: list[float] = field(default_factory=list)
    up: list[list[_Link]] = field(default_factory=list)
    down: list[list[_Link]] = field(default_factory=list)
    ways: list[tuple[Arc, bool, list[int]]] = field(default_factory=list)  # from upper to lower; whether turned around
    chains: list[list[int]] = field(default_factory=list)  # an item and the bends of a line that leaves it
    layers: list[list[int]] = field(default_factory=list)  # items in their order
    x: list[float] = field(default_factory=list)  # middles of items

    def placed(self) -> Layout:
        """Return the layout of the part."""
        number = {key: index for index, key in enumerate(self.keys)}
        ends = [(number[arc.source], number[arc.target]) for arc in self.arcs]
        turned = turned_arcs(len(self.keys), ends)
        downward = [(b, a) if back else (a, b) for (a, b), back in zip(ends, turned, strict=True)]
        self.layer = layers(len(self.keys), downward)
        self.width = [self.sizes[key][0] for key in self.keys]
        self.up = [[] for _ in self.keys]
        self.down = [[] for _ in self.keys]
        self._bend(downward, turned)
        self._order()
        self._place()
        return self._drawn()

    # -- bends -----------------------------------------------------------------------------------------------------

    def _bend(self, downward: list[tuple[int, int]], turned: list[bool]) -> None:
        """Put a bend into every layer that a line passes; lines from one place of a box share theirs."""
        chains: dict[tuple[int, float], list[int]] = {}
        linked: set[tuple[int, int, float, float]] = set()
        for arc, (upper, lower), back in zip(self.arcs, downward, turned, strict=True):
            leaves, enters = (
                self._offset(upper, arc.enters if back else arc.leaves),
                self._offset(lower, arc.leaves if back else arc.enters),
            )
            chain = chains.setdefault((upper, leaves), [upper])
            steps = self.layer[lower] - self.layer[upper]
            while len(chain) < steps:
                chain.append(self._bend_after(chain[-1], leaves if len(chain) == 1 else 0.0))
            way = [*chain[:steps], lower]
            link = (way[-2], lower, leaves if steps == 1 else 0.0, enters)
            if link not in linked:
                linked.add(link)
                self._link(*link)
            self.ways.append((arc, back, way))
        self.chains = [chain for chain in chains.values() if len(chain) > 1]

    def _offset(self, item: int, place: float | None) -> float:
        return 0.0 if place is None else place - self.width[item] / 2

    def _bend_after(self, item: int, leaves: float) -> int:
        bend = len(self.layer)
        self.layer.append(self.layer[item] + 1)
        self.width.append(0.0)
        self.up.append([])
        self.down.append([])
        self._link(item, bend, leaves, 0.0)
        return bend

    def _link(self, upper: int, lower: int, leaves: float, enters: float) -> None:
        bends = (upper >= len(self.keys)) + (lower >= len(self.keys))
        weight = (1.0, 2.0, 8.0)[bends]  # what is long should be straight
        self.down[upper].append(_Link(lower, enters, leaves, weight))
        self.up[lower].append(_Link(upper, leaves, enters, weight))

    # -- order -----------------------------------------------------------------------------------------------------

    def _order(self) -> None:
        """Order the layers by where the neighbours of their items stand, down and up in turns; the best order wins."""
        self.layers = [[] for _ in range(max(self.layer) + 1)]
        for item in _depth_first(self.up, self.down):
            self.layers[self.layer[item]].append(item)
        at = [0.0] * len(self.layer)
        for layer in self.layers:
            _number(layer, at)
        best, fewest, idle = self.layers, self._crossings(at), 0
        least, most = SWEEPS
        for sweep in range(max(least, min(most, WORK // len(self.layer)))):
            if not fewest or idle == 6:
                break
            self._sweep(at, self.up if sweep % 2 == 0 else self.down, down=sweep % 2 == 0)
            if len(self.layer) <= SWAPPED:
                self._swap(at)
            crossings = self._crossings(at)
            idle += 1
            if crossings < fewest:
                best, fewest, idle = [list(layer) for layer in self.layers], crossings, 0
        self.layers = best

    def _sweep(self, at: list[float], links: list[list[_Link]], *, down: bool) -> None:
        for layer in self.layers if down else reversed(self.layers):
            wanted = {}
            for item in layer:
                near = links[item]
                if near:
                    wanted[item] = sum([at[link.item] + link.there * 1e-4 for link in near]) / len(near)
                else:
                    wanted[item] = at[item]
            layer.sort(key=wanted.__getitem__)
            _number(layer, at)

    def _swap(self, at: list[float]) -> None:
        """Swap neighbours of a layer where that saves crossings."""
        for layer in self.layers:
            places = [
                [sorted([at[link.item] + link.there * 1e-4 for link in links[item]]) for links in (self.up, self.down)]
                for item in layer
            ]
            swapped = True
            while swapped:
                swapped = False
                for i in range(len(layer) - 1):
                    left, right = places[i], places[i + 1]
                    if _inversions(left, right) > _inversions(right, left):
                        layer[i], layer[i + 1] = layer[i + 1], layer[i]
                        places[i], places[i + 1] = right, left
                        swapped = True
            _number(layer, at)

    def _crossings(self, at: list[float]) -> int:
        total = 0
        for layer in self.layers[:-1]:
            seen: list[float] = []
            for item in layer:
                near = self.down[item]
                if len(near) > 1:
                    near = sorted(near, key=lambda link: (link.here, at[link.item], link.there))
                for link in near:
                    place = at[link.item] + link.there * 1e-4
                    total += len(seen) - bisect_right(seen, place)
                    insort(seen, place)
        return total

    # -- coordinates -----------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Move all items towards their neighbours, as near as their order and the gaps between them allow."""
        gaps = [[self._gap(a, b) for a, b in pairwise(layer)] for layer in self.layers]
        self.x = [0.0] * len(self.layer)
        for layer, between in zip(self.layers, gaps, strict=True):
            place = 0.0
            for item, gap in zip(layer, [0.0, *between], strict=True):
                place += gap
                self.x[item] = place
        both = [[*above, *below] for above, below in zip(self.up, self.down, strict=True)]
        for turn in range(PLACINGS):
            links = both if turn >= PLACINGS - 2 else (self.up, self.down)[turn % 2]
            numbers = range(len(self.layers))
            for number in numbers if turn % 2 == 0 else reversed(numbers):
                self._move(self.layers[number], gaps[number], links)
        self._straighten()

    def _gap(self, left: int, right: int) -> float:
        boxes = len(self.keys)
        gap = BOX_GAP if left < boxes and right < boxes else LINE_GAP
        return (self.width[left] + self.width[right]) / 2 + gap

    def _move(self, layer: list[int], gaps: list[float], links: list[list[_Link]]) -> None:
        x = self.x
        wanted = []
        weights = []
        for item in layer:
            weight, total = 0.0, 0.0
            for link in links[item]:
                weight += link.weight
                total += link.weight * (x[link.item] + link.there - link.here)
            wanted.append(total / weight if weight else x[item])
            weights.append(weight or 0.05)
        for item, place in zip(layer, nearest(wanted, weights, gaps), strict=True):
            x[item] = place

    def _straighten(self) -> None:
        """Put bends below each other where there is room, so that a line goes sideways once."""
        room = {}
        for layer in self.layers:
            for left, item, right in zip([None, *layer], layer, [*layer[1:], None], strict=False):
                room[item] = (left, right)
        for chain in self.chains:
            bends = chain[1:]
            wish = self.x[chain[0]] + self.up[bends[0]][0].there
            while bends:
                low, high, count = self._free(bends, room)
                wish = min(max(wish, low), high)
                for bend in bends[:count]:
                    self.x[bend] = wish
                bends = bends[count:]

    def _free(self, bends: list[int], room: dict[int, tuple[int | None, int | None]]) -> tuple[float, float, int]:
        """Return the room that the first bends have in common, and how many of them."""
        low, high = float("-inf"), float("inf")
        for count, bend in enumerate(bends):
            left, right = room[bend]
            lowest = low if left is None else max(low, self.x[left] + self.width[left] / 2 + CLOSEST)
            highest = high if right is None else min(high, self.x[right] - self.width[right] / 2 - CLOSEST)
            if count and lowest > highest:
                return low, high, count
            low, high = lowest, highest
        return low, high, len(bends)

    # -- drawing ---------------------------------------------------------------------------------------------------

    def _drawn(self) -> Layout:
        left = min(x - width / 2 for x, width in zip(self.x, self.width, strict=True))
        self.x = [x - left for x in self.x]
        tops, heights = self._rows()
        boxes = {
            key: Box(self.x[item] - self.width[item] / 2, tops[self.layer[item]], *self.sizes[key])
            for item, key in enumerate(self.keys)
        }
        routes = tuple(self._route(way, tops, heights) for way in self.ways)
        width = max(x + width / 2 for x, width in zip(self.x, self.width, strict=True))
        return Layout(width, tops[-1] + heights[-1], boxes, routes)

    def _rows(self) -> tuple[list[float], list[float]]:
        """Return where each layer begins, and how high it is."""
        heights = [0.0] * len(self.layers)
        for item, key in enumerate(self.keys):
            heights[self.layer[item]] = max(heights[self.layer[item]], self.sizes[key][1])
        tops = [0.0]
        for layer, height in zip(self.layers[:-1], heights, strict=False):
            ways = (
                abs(self.x[item] + link.here - self.x[link.item] - link.there)
                for item in layer
                for link in self.down[item]
            )
            tops.append(tops[-1] + height + max(LAYER_GAP, min(WIDEST_GAP, STEEPEST * max(ways, default=0.0))))
        return tops, heights

    def _route(self, way: tuple[Arc, bool, list[int]], tops: list[float], heights: list[float]) -> Route:
        arc, back, items = way
        upper, lower = items[0], items[-1]
        leaves, enters = (arc.enters, arc.leaves) if back else (arc.leaves, arc.enters)
        start, end = self.x[upper] + self._offset(upper, leaves), self.x[lower] + self._offset(lower, enters)
        first = self.layer[upper]
        points = [(start, tops[first] + self.sizes[self.keys[upper]][1]), (start, tops[first] + heights[first])]
        for bend in items[1:-1]:
            top, height = tops[self.layer[bend]], heights[self.layer[bend]]
            points += [(self.x[bend], top), (self.x[bend], top + height)]
        points.append((end, tops[self.layer[lower]]))
        return Route(arc, tuple(dict.fromkeys(reversed(points) if back else points)))


# -- the steps ---------------------------------------------------------------------------------------------------------


def _depth_first(up: list[list[_Link]], down: list[list[_Link]]) -> Iterator[int]:
    """Yield the items from the tops downward, what belongs together side by side."""
    seen = [False] * len(up)
    for start, above in enumerate(up):
        stack = [] if above else [start]
        while stack:
            item = stack.pop()
            if not seen[item]:
                seen[item] = True
                yield item
                stack += (link.item for link in reversed(down[item]) if not seen[link.item])


def _inversions(left: list[list[float]], right: list[list[float]]) -> int:
    """Return how many lines of an item cross lines of the one to the right of it."""
    return sum(
        [
            len(theirs) and sum([bisect_left(theirs, place) for place in own])
            for own, theirs in zip(left, right, strict=True)
        ]
    )


def _number(layer: list[int], at: list[float]) -> None:
    for index, item in enumerate(layer):
        at[item] = index
