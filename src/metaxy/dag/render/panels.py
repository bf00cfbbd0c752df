"""What the box of a feature says in a drawn picture, and how large it must be for that.

Fonts are those of whoever looks, so widths are estimates by the widest of the usual ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Final, NamedTuple
from unicodedata import combining, east_asian_width

from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.labels import (
    changes,
    feature_version_text,
    field_notes,
    format_hash,
    stats_lines,
    version_text,
)
from metaxy.dag.stats import State
from metaxy.dag.view import FieldNode, GraphNode, NodeStatus

PADDING: Final = 14.0
BETWEEN: Final = 18.0  # from a name to what stands at the other end of its line
NARROWEST: Final = 132.0
LIVE: Final = 196.0  # the least of a box in which a page writes counts
WIDEST: Final = 380.0
HEADER: Final = 34.0
LINE: Final = 17.0
FIELD: Final = 21.0
STACK: Final = 8.0  # room for the boxes below that of a group
SIGN: Final = 20.0  # room for the sign of a status
UNSIGNED: Final = (NodeStatus.NORMAL, NodeStatus.UNCHANGED)  # without a sign
SIZES: Final = {"name": 13.0, "mono": 11.0, "small": 11.0, "plain": 12.0, "title": 17.0}
_NARROW: Final = frozenset("iljtfrI.,:;'|!()[]/ ")
_WIDE: Final = frozenset("mwMW@%&—")


def text_width(text: str, kind: str = "plain") -> float:
    """Return how wide a text is at most.

    >>> text_width("video"), text_width("video", "mono"), text_width("映像")
    (32.88, 33.55, 24.0)
    """
    if kind == "mono":
        return sum([_cells(letter) for letter in text]) * SIZES[kind] * 0.61
    bold = 1.06 if kind in ("name", "title") else 1.0
    return round(sum([_share(letter) for letter in text]) * SIZES[kind] * bold, 2)


def _cells(letter: str) -> int:
    return 0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1


def _share(letter: str) -> float:
    if letter in _NARROW:
        return 0.34
    if letter in _WIDE:
        return 0.92
    if not letter.isascii():
        return (0.0, 0.7, 1.0)[_cells(letter)]
    return 0.72 if letter.isupper() else 0.6


def shortened(text: str, width: float, kind: str = "plain") -> str:
    """Return a text, or as much of it as there is room for.

    >>> shortened("transcription", 60)
    'transcri…'
    """
    if text_width(text, kind) <= width:
        return text
    room = width - text_width("…", kind)
    kept = 0
    while kept < len(text) and (room := room - text_width(text[kept], kind)) >= 0:
        kept += 1
    return text[:kept].rstrip() + "…"


class Words(NamedTuple):
    """A line of a box: what stands at its left and at its right end; ``kind`` is the class of the left."""

    left: str
    right: str = ""
    kind: str = "plain"
    status: NodeStatus = NodeStatus.NORMAL
    port: str = ""  # the field that lines start from here
    about: str = ""  # what a field says when one points at it

    @property
    def width(self) -> float:
        """How much room the line needs."""
        kind = self.kind if self.kind in SIZES else "small"
        sides = text_width(self.left, kind) + (BETWEEN + text_width(self.right, "mono") if self.right else 0)
        return sides + (SIGN if self.port and self.status is not NodeStatus.NORMAL else 0)


@dataclass(frozen=True)
class Panel:
    """The box of a feature: its key, notes below, and its fields; ``live`` has room for one note more.

    ``state`` is what a store has of it, if that was counted and no comparison says more.
    """

    key: str
    status: NodeStatus
    notes: tuple[Words, ...]
    fields: tuple[Words, ...]
    about: str
    live: bool = False
    state: State | None = None
    is_group: bool = False

    @classmethod
    def of(cls, node: GraphNode, config: RenderConfig, *, live: bool = False) -> "Panel":
        """Make the box of a feature; ``config`` says what is shown."""
        shown = node.fields if config.show_fields else ()
        fields = tuple(_field(field, config) for field in shown)
        live = live and node.status is not NodeStatus.MISSING
        notes, about = tuple(_notes(node, config)), _about(node, config)
        return cls(str(node.key), node.status, notes, fields, about, live, state_of(node), node.group is not None)

    @property
    def is_signed(self) -> bool:
        """Whether there is a sign in its corner."""
        return self.state is not None or self.status not in UNSIGNED

    @property
    def prefix(self) -> str:
        """The key up to its last part; nothing for a group."""
        return "" if self.is_group else self.key[: self.key.rfind("/") + 1]

    @property
    def name(self) -> str:
        """The last part of the key, or the name of a group."""
        return self.key[len(self.prefix) :]

    @cached_property
    def width(self) -> float:
        """How wide the box is; a multiple of 4, so that few boxes differ by a hair."""
        head = text_width(self.prefix) + text_width(self.name, "name") + (SIGN + 8 if self.is_signed else 0)
        widest = max([head, *(line.width for line in (*self.notes, *self.fields))])
        least = LIVE if self.live else NARROWEST
        return float(4 * ceil(min(WIDEST, max(least, widest + 2 * PADDING)) / 4))

    @cached_property
    def height(self) -> float:
        """How high the box is."""
        return self.fields_top + (len(self.fields) * FIELD + 10 if self.fields else 0)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        stacked = STACK if self.is_group else 0
        return self.width + stacked, self.height + stacked

    @property
    def fields_top(self) -> float:
        """Where the fields begin, below the header."""
        lines = len(self.notes) + self.live
        return HEADER + lines * LINE + (7 if lines else 2)

    def ports(self) -> dict[str, float]:
        """Return how far down the middle of each field is."""
        top = self.fields_top + 5 + FIELD / 2
        return {field.port: top + index * FIELD for index, field in enumerate(self.fields)}


def state_of(node: GraphNode) -> State | None:
    """Return what a store has of a feature, or the worst of those of a group, if no comparison says more."""
    counted = node.group or node.stats
    return counted.state if counted and node.status in UNSIGNED else None


def _notes(node: GraphNode, config: RenderConfig) -> Iterator[Words]:
    if node.status is NodeStatus.MISSING:
        yield Words("not in the graph", kind="soft")
        return
    if node.group:
        counted, *notes = node.group.lines
        yield from (Words(counted, kind="soft"), *(Words(note, kind="what") for note in notes))
        return
    project = node.project if config.show_projects and node.project else ""
    if (version := feature_version_text(node, config)) or project:
        yield Words(project, version, "soft") if project else Words("version", version, "soft")
    if config.show_code_versions and node.code_version:
        yield Words("code", format_hash(node.code_version, config.hash_length), "soft")
    for index, text in enumerate(stats_lines(node)):
        yield Words(text, kind="what" if index == 0 and node.status in UNSIGNED else "soft")
    for text in changes(node, config):
        yield Words(text, kind="what", status=node.status)


def _field(field: FieldNode, config: RenderConfig) -> Words:
    version = version_text(field, config.hash_length) if config.show_field_versions else ""
    code = f"{field.code_version}" if config.show_code_versions and field.code_version else ""
    about = "\n".join([str(field.key), *field_notes(field, config)])
    return Words(
        str(field.key), " · ".join(filter(None, (code, version))), "plain", field.status, str(field.key), about
    )


def _about(node: GraphNode, config: RenderConfig) -> str:
    """Return what the box says when one points at it."""
    notes = [f"{line.left} {line.right}".strip() for line in _notes(node, config)]
    status = "" if node.status in (NodeStatus.NORMAL, NodeStatus.MISSING) else node.status.value
    description = node.spec.description if node.spec and node.spec.description else ""
    members = node.group.members if node.group else ()
    return "\n".join(filter(None, (str(node.key), description, status, *notes, *members)))
