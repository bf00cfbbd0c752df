"""The graph as a tree of text for terminals: one branch per feature, dependencies first.

Colours are the sixteen that every terminal has. They are asked for, so that text that goes into a file has none.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from metaxy.dag.diff import summary
from metaxy.dag.render.labels import (
    badge,
    changes,
    dependency_text,
    feature_notes,
    field_notes,
    snapshot_text,
    stats_lines,
)
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.stats import State
from metaxy.dag.view import FieldNode, GraphNode, NodeStatus
from metaxy.printable import printable

COLORS: Final = {
    NodeStatus.NORMAL: "36",
    NodeStatus.UNCHANGED: "2",
    NodeStatus.ADDED: "32",
    NodeStatus.REMOVED: "31",
    NodeStatus.CHANGED: "33",
    NodeStatus.AFFECTED: "34",
    NodeStatus.DESCRIBED: "36",
    NodeStatus.MISSING: "35",
}
STATE_COLORS: Final[Mapping[State, str]] = {
    "missing": "31",
    "root_feature": "",
    "needs_update": "33",
    "up_to_date": "32",
    "error": "35",
}
DIM: Final = "2"
BOLD: Final = "1"
PLAIN: Final = ""


class Branch(NamedTuple):
    """A line, and the lines below it."""

    text: str
    below: "list[Branch]"


def draw(branch: Branch) -> list[str]:
    r"""Return a branch and all below it as lines.

    >>> print(*draw(Branch("a", [Branch("b", [Branch("c", [])]), Branch("d", [])])), sep="\n")
    a
    ├── b
    │   └── c
    └── d
    """
    lines = []
    waiting = [(branch, "", "")]
    while waiting:
        (text, below), first, indent = waiting.pop()
        lines.append(first + text)
        for child in reversed(below):
            last = child is below[-1]
            waiting.append((child, indent + ("└── " if last else "├── "), indent + ("    " if last else "│   ")))
    return lines


def grow(root: str, neighbours: Mapping[str, Sequence[str]]) -> Branch:
    r"""Return a branch with the neighbours of a name, theirs, and so on; each name is opened once.

    >>> print(*draw(grow("a", {"a": ["b", "c"], "b": ["c"]})), sep="\n")
    a
    ├── b
    │   └── c …
    └── c
    """
    top = Branch(root, [])
    opened = {root}
    layer = [top]
    for branch in layer:  # grows while it is walked
        for name in neighbours.get(branch.text, ()):
            is_new = name not in opened
            branch.below.append(child := Branch(name if is_new else f"{name} …", []))
            if is_new:
                opened.add(name)
                layer.append(child)
    return top


class TerminalRenderer(BaseRenderer):
    """A flat tree: features, their fields and what they depend on; control characters in names are made visible."""

    def __init__(self, *args: Any, color: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.color = color

    def lines(self) -> list[str]:
        """Return the tree, with the counts of a comparison below it."""
        snapshot = snapshot_text(self.graph_data, self.config)
        is_diff = self.graph_data.is_diff
        name = "📊 Graph changes" if is_diff else "📊 Graph"
        top = self.paint(name, BOLD) + self.paint(f" (snapshot: {snapshot})" if snapshot else "", PLAIN)
        lines = draw(Branch(top, [self._feature(node) for node in self.features]))
        return [*lines, summary(self.whole)] if is_diff else lines

    def paint(self, text: str, code: str) -> str:
        """Return text in a colour, if colours are wanted; what it says itself cannot colour anything."""
        text = printable(text.replace("\n", " "))
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code and text else text

    def _label(self, node: GraphNode | FieldNode, notes: list[str]) -> str:
        color = COLORS[node.status]
        parts = [self.paint(str(node.key), color), *(self.paint(f"({note})", DIM) for note in notes)]
        return " ".join([*parts, self.paint(badge(node.status), color)] if badge(node.status) else parts)

    def _feature(self, node: GraphNode) -> Branch:
        below = []
        if counted := stats_lines(node):
            color = STATE_COLORS[node.stats.state] if node.stats else PLAIN
            below.append(Branch(self.paint(f"📦 {', '.join(counted)}", color), []))
        if found := changes(node, self.config):
            below.append(Branch(self.paint("✎ changes", DIM), [Branch(self.paint(text, PLAIN), []) for text in found]))
        if self.config.show_fields and node.fields:
            fields = [Branch(self._label(field, field_notes(field, self.config)), []) for field in node.fields]
            below.append(Branch(self.paint("🔧 fields", DIM), fields))
        if node.dependencies:
            parents = [Branch(self.paint(dependency_text(node, dep), PLAIN), []) for dep in node.dependencies]
            below.append(Branch(self.paint("⬅️  depends on", DIM), parents))
        return Branch(self._label(node, feature_notes(node, self.config)), below)
