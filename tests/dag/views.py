"""Graphs and views for tests of pictures, descriptions and comparisons."""

from collections.abc import Iterable
from typing import Any

from tests.dag.definitions import stored

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import GraphData
from metaxy.definitions.definition import FeatureDefinition


def feature_graph(*definitions: FeatureDefinition) -> FeatureGraph:
    """Make a graph that knows its versions."""
    graph = FeatureGraph()
    for definition in definitions:
        graph.add_feature_definition(definition)
    return graph


def view(*definitions: FeatureDefinition, project: str | None = None) -> GraphData:
    """Make a view of a graph of project `p`."""
    with MetaxyConfig(project="p").use():
        return GraphData.from_feature_graph(feature_graph(*definitions), project)


def video(frames: str = "1", *, crop_fields: Iterable[Any] = ("audio", "frames")) -> list[FeatureDefinition]:
    """Make four features: video/raw → video/crop → faces, and audio/transcript, which needs only the sound."""
    return [
        stored("video/raw", fields=["audio", {"key": "frames", "code_version": frames}]),
        stored("video/crop", ["video/raw"], fields=list(crop_fields)),
        stored("faces", ["video/crop"], fields=["frames"]),
        stored("audio/transcript", ["video/raw"], fields=["audio"]),
    ]


def chain(length: int, first: str = "1") -> list[FeatureDefinition]:
    """Make a chain of features, f0 → f1 → …"""
    fields = [{"key": "a", "code_version": first}, "b"]
    return [stored(f"f{n}", [f"f{n - 1}"] if n else [], fields=["a", "b"] if n else fields) for n in range(length)]
