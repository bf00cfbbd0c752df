"""Assets as what is asked about them: a feature, in a store, or the part of it that an asset has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import dagster as dg
from metaxy import MetadataStore
from metaxy.definitions.keys import FeatureKey
from metaxy.ext.dagster.partitions import EVERYTHING, Partitions, columns_of, conditions
from metaxy.ext.dagster.specs import features_of
from metaxy.process.registry import Computed, computed
from metaxy.service.computing import Part, Target
from metaxy.service.project import Project

Assets: TypeAlias = Sequence[dg.AssetsDefinition | dg.AssetSpec] | dg.AssetsDefinition | dg.AssetSpec


@dataclass(frozen=True)
class FeatureAsset:
    """An asset that is a feature of a project, with its metadata, and the function that computes it, if any does."""

    project: Project
    key: dg.AssetKey
    feature: FeatureKey
    metadata: Mapping[str, Any]
    function: Computed | None = None

    def target(self, store: MetadataStore, partitions: Partitions = EVERYTHING) -> Target:
        """Return what is asked about: all that the asset has in a store, or some partitions of it."""
        part = Part(columns_of(self.metadata, partitions), partial(conditions, self.metadata, partitions))
        return Target(self.project, store, self.feature, self.function, part)

    @property
    def can_be_counted(self) -> bool:
        """Whether anything says what the feature should have: its parents or, for a root, its function."""
        deps = self.project.graph.get_feature_definition(self.feature).spec.deps
        return bool(deps) or (self.function is not None and self.function.samples is not None)


def assets_of(project: Project, assets: Assets) -> Iterator[FeatureAsset]:
    """Give those assets that are features.

    Raises:
        UnknownFeatureError: if the project does not have one.
    """
    functions = computed()
    for spec, feature in features_of(_specs(assets)):
        project.graph.get_feature_definition(feature)
        yield FeatureAsset(project, spec.key, feature, spec.metadata, functions.get(feature))


def _specs(assets: Assets) -> Iterable[dg.AssetSpec]:
    for each in [assets] if isinstance(assets, (dg.AssetsDefinition, dg.AssetSpec)) else assets:
        if isinstance(each, dg.AssetSpec):
            yield each
        else:
            yield from each.specs
