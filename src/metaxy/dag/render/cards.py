"""The graph as cards for terminals: the arrows first, then a box per feature, side by side."""

from collections.abc import Iterator
from typing import Any, Final

from metaxy.dag.diff import summary
from metaxy.dag.render.labels import badge, changes, feature_notes, field_text, snapshot_text, stats_lines
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.dag.view import EdgeData, GraphNode

WIDTH: Final = 100


class CardsRenderer(BaseRenderer):
    """Boxes with fields as bullets.

    Args:
        width: How many characters fit into a line; a box that is wider has a line for itself.
    """

    def __init__(self, *args: Any, width: int = WIDTH, **options: Any) -> None:
        super().__init__(*args, **options)
        self.width = width

    def lines(self) -> list[str]:
        """Return title, arrows and boxes."""
        snapshot = snapshot_text(self.graph_data, self.config)
        lines = ["Graph changes" if self.graph_data.is_diff else "Graph"]
        lines[0] += f" (snapshot: {snapshot})" if snapshot else ""
        if self.graph_data.is_diff:
            lines.append(summary(self.whole))
        if arrows := [_arrow(edge) for edge in self.graph_data.edges]:
            lines += ["", "Dependencies:", *arrows]
        lines += ["", "Features:"]
        for row in self._rows([_box(self._card(node)) for node in self.features]):
            lines += _side_by_side(row)
        return lines

    def _card(self, node: GraphNode) -> list[str]:
        lines = [" ".join(filter(None, (str(node.key), badge(node.status)))), *feature_notes(node, self.config)]
        lines += [*stats_lines(node), *(f"✎ {text}" for text in changes(node, self.config))]
        if self.config.show_fields and node.fields:
            lines += ["Fields:", *(f"• {field_text(field, self.config)}" for field in node.fields)]
        return lines

    def _rows(self, boxes: list[list[str]]) -> Iterator[list[list[str]]]:
        row: list[list[str]] = []
        used = 0
        for box in boxes:
            if row and used + len(box[0]) > self.width:
                yield row
                row, used = [], 0
            row.append(box)
            used += len(box[0]) + 1
        if row:
            yield row


def _arrow(edge: EdgeData) -> str:
    arrow = f"  {edge.from_key} → {edge.to_key}"
    return f"{arrow} ({text})" if (text := edge.relation.text) else arrow


def _box(lines: list[str]) -> list[str]:
    width = max(map(len, lines))
    bar = "─" * (width + 2)
    return [f"╭{bar}╮", *(f"│ {line:{width}} │" for line in lines), f"╰{bar}╯"]


def _side_by_side(boxes: list[list[str]]) -> list[str]:
    height = max(map(len, boxes))
    padded = [box + [" " * len(box[0])] * (height - len(box)) for box in boxes]
    return [" ".join(parts).rstrip() for parts in zip(*padded, strict=True)]
