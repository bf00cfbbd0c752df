"""The graph as a table: in Markdown, such as for a pull request, and in HTML."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar, Final, NamedTuple

from metaxy.dag.diff import summary
from metaxy.dag.render.labels import (
    changes,
    dependency_text,
    feature_version_text,
    field_text,
    snapshot_text,
    stats_lines,
)
from metaxy.dag.render.mermaid import MermaidRenderer
from metaxy.dag.render.renderer import BaseRenderer

PICTURE_FEATURES: Final = 60  # a picture of more than that helps nobody
PICTURE_BYTES: Final = 50_000  # Mermaid draws no more
COMMENT_BYTES: Final = 60_000  # with a picture; GitHub takes comments of 65,536 characters
# What Markdown takes for formatting, links, cells and HTML; underscores within words are none of it.
FORMATTING: Final = re.compile(r"[\\`*~<>\[\]|&]|(?<!\w)_+|_+(?!\w)")
HEADS: Final = ("feature", "version", "fields", "depends on")


class Row(NamedTuple):
    """A feature as cells; ``lists`` has its fields, its dependencies, what was counted and what changed."""

    status: str
    feature: str
    version: str
    lists: list[list[str]]


class TableRenderer(BaseRenderer):
    """What tables of features have in common."""

    @property
    def title(self) -> str:
        """The headline."""
        default = "Feature graph changes" if self.graph_data.is_diff else "Feature graph"
        snapshot = snapshot_text(self.graph_data, self.config)
        return (self.config.title or default) + (f" ({snapshot})" if snapshot else "")

    @property
    def counts(self) -> str:
        """What stands below the headline."""
        if not self.graph_data.is_diff:
            return f"{len(self.whole.nodes)} features"
        return summary(self.whole)

    @property
    def _more(self) -> list[str]:
        stored = ["stored"] if self.graph_data.has_stats else []
        return [*stored, *(["what changed"] if self._says_changes else [])]

    @property
    def _says_changes(self) -> bool:
        return self.graph_data.is_diff and self.config.show_changes

    def rows(self) -> Iterator[Row]:
        """Yield a row per feature."""
        for node in self.features:
            fields = [field_text(field, self.config) for field in node.fields if self.config.show_fields]
            lists = [fields, [dependency_text(node, dep) for dep in node.dependencies]]
            lists += [stats_lines(node)] if self.graph_data.has_stats else []
            lists += [list(changes(node, self.config))] if self._says_changes else []
            status = node.status.value if self.graph_data.is_diff else ""
            version = ", ".join(node.group.lines) if node.group else feature_version_text(node, self.config)
            yield Row(status, str(node.key), version, lists)


class MarkdownRenderer(TableRenderer):
    """Headline, counts, a table, and a picture of what changed where that is not too large."""

    def lines(self) -> list[str]:
        """Return the Markdown text."""
        lines = [f"### {self.title}", "", f"**{self.counts}**", ""]
        rows = list(self.rows())
        if rows:
            heads = ["", *HEADS, *self._more]
            lines += ["| " + " | ".join(heads).lstrip() + " |", "|---" * len(heads) + "|"]
            lines += map(_markdown_row, rows)
            picture = self._picture()
            lines += picture if _size(lines) + _size(picture) <= COMMENT_BYTES else []
        return lines

    def _picture(self) -> list[str]:
        if len(self.graph_data.nodes) > PICTURE_FEATURES:
            return []
        config = replace(self.config, show_feature_versions=False, show_field_versions=False)
        picture = MermaidRenderer(graph_data=self.whole, config=config, theme=self.theme).render()
        if len(picture.encode()) > PICTURE_BYTES:
            return []
        return ["", "<details><summary>Picture</summary>", "", "```mermaid", picture, "```", "", "</details>"]


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def _markdown_row(row: Row) -> str:
    lists = ("<br>".join(map(markdown_text, items)) for items in row.lists)
    return f"| {' | '.join((row.status, f'`{row.feature}`', markdown_text(row.version), *lists))} |"


def markdown_text(text: str) -> str:
    r"""Return text as Markdown that shows it in a cell of a table, and does nothing else.

    >>> print(markdown_text("a_b of __init__, 1 | <b>2</b>"))
    a_b of \_\_init\_\_, 1 \| \<b\>2\</b\>
    """
    return FORMATTING.sub(lambda found: "".join(f"\\{mark}" for mark in found[0]), text.replace("\n", " "))


class HtmlTable(TableRenderer):
    """The same table in HTML, of all features."""

    folds: ClassVar[bool] = False

    def lines(self) -> list[str]:
        """Return the table."""
        heads = "".join(f"<th>{head}</th>" for head in ("", *HEADS, *self._more))
        return [f"<table><tr>{heads}</tr>", *map(_html_row, self.rows()), "</table>"]


def _html_row(row: Row) -> str:
    lists = ("<br>".join(map(html.escape, items)) for items in row.lists)
    cells = (html.escape(row.status), f"<code>{html.escape(row.feature)}</code>", html.escape(row.version), *lists)
    return f'<tr class="{row.status}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
