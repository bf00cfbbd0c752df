"""The scope of one call: graph, settings and hash settings, taken once from the surroundings."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metaxy import context
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.hashing import HashAlgorithm, HashSettings
from metaxy.settings import Settings
from metaxy.versioning.codec import Form


@dataclass(frozen=True)
class Scope:
    """The graph and the settings that one call of a verb works with."""

    graph: FeatureGraph
    settings: Settings
    algorithm: HashAlgorithm

    @classmethod
    def current(cls, algorithm: HashAlgorithm) -> "Scope":
        """Take the active graph and configuration."""
        return cls(FeatureGraph.get_active(), context.settings(), algorithm)

    @cached_property
    def hash(self) -> HashSettings:
        """How samples are hashed."""
        return HashSettings(self.algorithm, self.settings.hash_truncation_length)

    @property
    def needs_sync(self) -> bool:
        """Whether external features are loaded before a store is used."""
        return self.settings.sync and (self.graph.has_external_features or bool(self.settings.extra_features))

    @property
    def shape(self) -> Form:
        """How users see columns with versions by field, and how new tables keep them."""
        return "map" if self.settings.enable_map_datatype else "struct"

    def definition(self, feature: Any) -> FeatureDefinition:
        """Return the definition of a feature, given by anything that names one."""
        return self.graph.get_feature_definition(coerce_to_feature_key(feature))

    def version(self, key: FeatureKey) -> str:
        """Return the current version of a feature."""
        return self.graph.get_feature_version(key, self.hash.length)

    def project_version(self, definition: FeatureDefinition) -> str:
        """Return the version of the project that a write belongs to."""
        return self.graph.get_project_version(self.settings.project or definition.project, self.hash.length)


def dependents_first(graph: FeatureGraph, given: Mapping[Any, Any]) -> dict[FeatureKey, Any]:
    """Put frames in the order in which they are stored.

    Raises:
        ValueError: if two of them are for one feature.
    """
    frames: dict[FeatureKey, Any] = {}
    for feature, frame in given.items():
        key = coerce_to_feature_key(feature)
        if key in frames:
            raise ValueError(f"feature {key} is given twice")
        frames[key] = frame
    return {key: frames[key] for key in graph.topological_sort_features(list(frames), descending=True)}
