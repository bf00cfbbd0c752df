"""The short texts that pictures are made of: keys, hashes, versions, and names that a format can carry."""

import re
from typing import Final

from metaxy.dag.diff import SYMBOLS
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus

UNKNOWN: Final = "?"
# Words that Mermaid takes for itself where an ID should stand.
_MERMAID_WORDS: Final = frozenset(
    {"call", "class", "classdef", "click", "default", "direction", "end", "flowchart", "graph", "href", "linkstyle"}
    | {"style", "subgraph"}
)
_ESCAPES: Final = {"/": "__", "-": "_m", "_": "_u", ".": "_d"}


def format_hash(text: str | None, length: int = 8) -> str:
    """Return the start of a hash; all of it for length 0, and `?` for one that is not known.

    >>> format_hash("28b8374e0f2c91aa"), format_hash("28b8374e0f2c91aa", 0)
    ('28b8374e', '28b8374e0f2c91aa')
    """
    return (text[:length] if length > 0 else text) if text else UNKNOWN


def sanitize_mermaid_id(text: str) -> str:
    """Return a name that Mermaid takes as an ID; different texts give different names.

    >>> sanitize_mermaid_id("video/raw"), sanitize_mermaid_id("a/b_c-d"), sanitize_mermaid_id("end")
    ('video__raw', 'a__b_uc_md', 'end_')
    """
    escaped = re.sub(r"[^A-Za-z0-9]", lambda match: _ESCAPES.get(match[0], f"_x{ord(match[0]):x}_"), text)
    return escaped + "_" if escaped.lower() in _MERMAID_WORDS else escaped


def version_text(node: GraphNode | FieldNode, length: int) -> str:
    """Return a version, or both where it changed.

    >>> changed = FieldNode(key="a", version="2", old_version="1", status=NodeStatus.CHANGED)
    >>> version_text(changed, 8)
    '1 → 2'
    """
    old, new = versions(node)
    shown = [format_hash(version, length) for version in (old, new) if version is not None]
    return " → ".join(shown) or UNKNOWN


def versions(node: GraphNode | FieldNode) -> tuple[str | None, str | None]:
    """Return the old version where there is something to compare, and the new one where the node still is."""
    if node.status is NodeStatus.REMOVED:
        return node.old_version, None
    differ = node.status in (NodeStatus.CHANGED, NodeStatus.AFFECTED) and node.old_version != node.version
    return (node.old_version if differ else None), node.version


def feature_version_text(node: GraphNode, config: RenderConfig) -> str:
    """Return the version of a feature as a picture shows it, empty if it shows none."""
    hidden = not config.show_feature_versions or node.status is NodeStatus.MISSING or node.group
    return "" if hidden else version_text(node, config.hash_length)


def field_notes(field: FieldNode, config: RenderConfig) -> list[str]:
    """Return what a picture says of a field behind its name."""
    notes = [f"v: {version_text(field, config.hash_length)}"] if config.show_field_versions else []
    if config.show_code_versions and field.code_version:
        notes.append(f"cv: {field.code_version}")
    return [*notes, *changes(field, config)]


def field_text(field: FieldNode, config: RenderConfig) -> str:
    """Return the name of a field with what a picture says of it, and the sign of its status."""
    notes = field_notes(field, config)
    return " ".join(filter(None, (str(field.key), f"({', '.join(notes)})" if notes else "", badge(field.status))))


def changes(node: GraphNode | FieldNode, config: RenderConfig) -> tuple[str, ...]:
    """Return what changed in a feature or a field, in words, and what that will compute, where it was counted."""
    work = (node.work.text,) if isinstance(node, GraphNode) and node.work else ()
    return (*node.changes, *work) if config.show_changes else work


def dependency_text(node: GraphNode, parent: object, field: str = "") -> str:
    """Return the key of a parent, or of a field of it, with what is not usual about its rows.

    >>> node = GraphNode(key="a", dependencies=["b"], relations={"b": {"lineage": "N:1", "optional": True}})
    >>> dependency_text(node, "b")
    'b (N:1, optional)'
    """
    name = f"{parent}.{field}" if field else str(parent)
    return f"{name} ({text})" if (text := node.relation(parent).text) else name


def feature_notes(node: GraphNode, config: RenderConfig) -> list[str]:
    """Return what a picture says of a feature behind its key."""
    if node.status is NodeStatus.MISSING:
        return ["not in the graph"]
    if node.group:
        return node.group.lines
    notes = [f"project: {node.project}"] if config.show_projects and node.project else []
    if version := feature_version_text(node, config):
        notes.append(f"v: {version}")
    if config.show_code_versions and node.code_version:
        notes.append(f"cv: {format_hash(node.code_version, config.hash_length)}")
    return notes


def stats_lines(node: GraphNode) -> list[str]:
    """Return what was counted for a feature, in short lines; none if nothing was."""
    return node.stats.lines if node.stats else []


def to_compute(view: GraphData) -> str:
    """Return how many samples there are to compute, empty where that was not counted for all features or is unknown."""
    counts = [node.stats.to_compute if node.stats else None for node in view.nodes.values()]
    known = [count for count in counts if count is not None]
    if not known or len(known) < len(counts):
        return ""
    total = sum(known)
    return f"{total:,} sample{'' if total == 1 else 's'} to compute" if total else "nothing to compute"


def badge(status: NodeStatus) -> str:
    """Return the sign of a status, empty where nothing differs."""
    return f"[{SYMBOLS[status]}]" if status in SYMBOLS else ""


def snapshot_text(view: GraphData, config: RenderConfig) -> str:
    """Return the version of the project, or both of a comparison; empty if it is not shown."""
    if not config.show_project_version:
        return ""
    new = format_hash(view.project_version, config.hash_length) if view.project_version else ""
    if not view.is_diff or not view.old_project_version:
        return new
    return f"{format_hash(view.old_project_version, config.hash_length)} → {new or UNKNOWN}"
