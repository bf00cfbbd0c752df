"""The graph for programs: JSON and YAML. Hashes are whole unless a length is asked for."""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from metaxy.dag.diff import merged_struct
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.labels import format_hash
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.definitions.keys import FeatureKey
from metaxy.printable import json_text

PROJECT_VERSIONS: Final = ("metaxy_project_version", "project_version", "old_project_version")


class JsonRenderer(BaseRenderer):
    """A JSON object: of a graph its nodes and edges, of a comparison also what changed."""

    folds: ClassVar[bool] = False

    def lines(self) -> Iterator[str]:
        """Yield the JSON text."""
        yield json_text(self.struct(), indent=2)

    def struct(self) -> dict[str, Any]:
        """Return the object, without what the options hide."""
        struct = merged_struct(self.graph_data) if self.graph_data.is_diff else self.graph_data.as_plain()
        nodes = struct["nodes"]
        if isinstance(nodes, dict):
            kept: Any = {key: self._node(key, node) for key, node in nodes.items()}
        else:
            kept = [self._node(str(FeatureKey(node["key"])), node) for node in nodes]
        hidden = () if self.config.show_project_version else PROJECT_VERSIONS
        return {key: kept if key == "nodes" else value for key, value in struct.items() if key not in hidden}

    def _node(self, key: str, node: dict[str, Any]) -> dict[str, Any]:
        """Return the plain data of a feature, with what was counted for it."""
        stats = self.graph_data.nodes[key].stats
        return shown(node, self.config) | ({"stats": stats.model_dump(mode="json")} if stats else {})


def shown(node: dict[str, Any], config: RenderConfig) -> dict[str, Any]:
    """Return the plain data of a node without what the options hide."""
    hidden = {
        *(() if config.show_feature_versions else ("version", "old_version", "new_version", "definition_version")),
        *(() if config.show_fields else ("fields", "field_changes")),
        *(() if config.show_projects else ("project",)),
        *(() if config.show_changes else ("changes",)),
        *(() if config.show_code_versions else ("code_version",)),
    }
    kept = {name: _cut(name, value, config) for name, value in node.items() if name not in hidden}
    for name in ("fields", "field_changes"):
        if isinstance(kept.get(name), list):
            kept[name] = [_field(field, config) for field in kept[name]]
        elif name in kept:
            lengths = {key: value and format_hash(value, config.hash_length) for key, value in kept[name].items()}
            kept[name] = lengths if config.show_field_versions else list(lengths)
    return kept


def _field(field: dict[str, Any], config: RenderConfig) -> dict[str, Any]:
    hidden = {
        *(() if config.show_field_versions else ("version", "old_version", "new_version")),
        *(() if config.show_code_versions else ("code_version",)),
    }
    return {name: _cut(name, value, config) for name, value in field.items() if name not in hidden}


def _cut(name: str, value: Any, config: RenderConfig) -> Any:
    is_hash = name.endswith("version") and isinstance(value, str) and name != "code_version"
    return format_hash(value, config.hash_length) if is_hash else value


class YamlRenderer(JsonRenderer):
    """The same object as YAML."""

    def lines(self) -> Iterator[str]:
        """Yield the YAML text."""
        return yaml_lines(self.struct())


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    r"""Yield plain data as lines of YAML; text is quoted as in JSON, which YAML understands.

    >>> print(*yaml_lines({"a": [1, {"b": "x", "c": []}], "d": None}), sep="\n")
    "a":
      - 1
      -
        "b": "x"
        "c": []
    "d": null
    """
    entries = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in entries:
        label = f"{indent}-" if key is None else f"{indent}{json_text(key)}:"
        if isinstance(item, (dict, list)) and item:
            yield label
            yield from yaml_lines(item, indent + "  ")
        else:
            yield f"{label} {json_text(item)}"
