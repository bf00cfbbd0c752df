"""Features that something else writes, as assets that Dagster observes."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import narwhals as nw

import dagster as dg
from dagster import AssetExecutionContext
from metaxy import MetadataStore
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, coerce_to_feature_key
from metaxy.errors import FeatureNotFoundError
from metaxy.ext.dagster.assets import metaxify
from metaxy.ext.dagster.constants import DAGSTER_METAXY_FEATURE_METADATA_KEY
from metaxy.ext.dagster.event_metadata import (
    COUNTED_PARTITIONS,
    NO_STATS,
    ROW_COUNT,
    RuntimeMetadata,
    asset_metadata,
    definition_metadata,
    event_tags,
)
from metaxy.ext.dagster.events import opened
from metaxy.ext.dagster.partitions import EVERYTHING, Partitions, conditions, partition_columns
from metaxy.service.failures import Failure
from metaxy.service.project import Project

Look: TypeAlias = Callable[[Any, MetadataStore, nw.LazyFrame[Any]], Mapping[str, Any] | None]
MISSING = "error"


def observable_metaxy_asset(
    feature: CoercibleToFeatureKey,
    *,
    store_resource_key: str = "store",
    inject_metaxy_kind: bool = True,
    inject_code_version: bool = True,
    set_description: bool = True,
    **observable_kwargs: Any,
) -> Callable[[Look], dg.SourceAsset]:
    """Make an asset of a feature that Dagster does not compute, but observes: its rows and their data version.

    The decorated function is given the context, the open store and the latest rows of the feature, as a lazy frame;
    what it returns, if anything, is metadata of the observation. Without a table for the feature it is not called, and
    the observation says so. Each partition of an asset is observed for itself, with a data version and no metadata, as
    Dagster has no place for these.

    Args:
        feature: Anything that names a feature of the active graph.
        store_resource_key: The resource that has the store.
        inject_metaxy_kind: Add the kind ``metaxy``.
        inject_code_version: As for `metaxify`; assets that are observed have none.
        set_description: Describe an asset that has no description as the feature is described.
        observable_kwargs: Arguments of ``dagster.observable_source_asset``, such as ``key``, ``key_prefix``,
            ``metadata`` or ``automation_condition``.

    Raises:
        UnknownFeatureError: if the active graph does not have the feature (a KeyError).
    """
    project, key = Project.loaded(), coerce_to_feature_key(feature)
    options = dict(observable_kwargs)
    metadata = {**(options.pop("metadata", None) or {}), DAGSTER_METAXY_FEATURE_METADATA_KEY: str(key)}
    needed = {store_resource_key, *(options.pop("required_resource_keys", None) or ())}
    # A key that the user gives is the one of the asset, as are names; metaxify would give it that of the feature.
    is_named = options.get("key") is not None or options.get("name") is not None
    prefix = None if is_named else options.pop("key_prefix", None)

    def decorate(look: Look) -> dg.SourceAsset:
        source = Source(project, key, metadata, store_resource_key, look, options.get("partitions_def"))

        def observe(context: AssetExecutionContext) -> Any:
            return source.observe(context)

        observe.__name__, observe.__doc__ = look.__name__, look.__doc__
        with without_beta_warnings():
            made = dg.observable_source_asset(metadata=metadata, required_resource_keys=needed, **options)(observe)
        return metaxify(
            made,
            key=made.key if is_named else None,
            key_prefix=prefix,
            inject_metaxy_kind=inject_metaxy_kind,
            inject_code_version=inject_code_version,
            set_description=set_description,
        )

    return decorate


@contextmanager
def without_beta_warnings() -> Iterator[None]:
    """Warn of no beta of Dagster: the user did not call it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


@dataclass(frozen=True)
class Source:
    """A feature that is observed, and the function that looks at its rows."""

    project: Project
    key: FeatureKey
    metadata: Mapping[str, Any]
    store_resource_key: str
    look: Look
    partitions_def: dg.PartitionsDefinition[Any] | None

    def observe(self, context: AssetExecutionContext) -> dg.ObserveResult | dg.DataVersionsByPartition:
        """Say what the store has now."""
        given = getattr(context.resources, self.store_resource_key)
        with self.project.active(), opened(given, context) as store:
            if self.partitions_def is not None:
                states = self._by_partition(context, store, self.partitions_def)
                with without_beta_warnings():
                    return dg.DataVersionsByPartition(states)
            known = observed(self.project, store, self.key, self.metadata)
            more = {} if MISSING in known.metadata else self._look(context, store)
            return dg.ObserveResult(
                metadata={**known.metadata, **more},
                data_version=known.data_version,
                tags=event_tags(self.project, self.key),
            )

    def _by_partition(
        self, context: AssetExecutionContext, store: MetadataStore, definition: dg.PartitionsDefinition[Any]
    ) -> dict[str, str]:
        """Return the data versions of this run's partitions, without any in it of all that have rows."""
        keys = Partitions.of(context).keys or definition.get_partition_keys(dynamic_partitions_store=context.instance)
        known = observed(self.project, store, self.key, self.metadata, Partitions(keys, definition))
        if MISSING not in known.metadata:
            self._look(context, store)
        return {name: stats.data_version for name, stats in known.by_partition.items() if stats.row_count}

    def _look(self, context: AssetExecutionContext, store: MetadataStore) -> Mapping[str, Any]:
        """Call the function with the rows of the asset."""
        own = conditions(self.metadata, types=store.read(self.key).collect_schema())
        return self.look(context, store, store.read(self.key, filters=own)) or {}


def observed(
    project: Project,
    store: MetadataStore,
    key: FeatureKey,
    metadata: Mapping[str, Any],
    partitions: Partitions = EVERYTHING,
) -> RuntimeMetadata:
    """Say what an open store has of an asset, and of each of any number of its partitions.

    Of a feature that no store has, say that there are no rows, and why.
    """
    keys, size = partitions.keys or (), COUNTED_PARTITIONS
    if not partition_columns(metadata, partitions.definition):  # nothing tells their rows apart
        return _observed(project, store, key, metadata, partitions)
    some = [Partitions(keys[at : at + size], partitions.definition) for at in range(0, len(keys), size)]
    found = [_observed(project, store, key, metadata, each) for each in some or [partitions]]
    return replace(found[0], by_partition={k: stats for each in found for k, stats in each.by_partition.items()})


def _observed(
    project: Project, store: MetadataStore, key: FeatureKey, metadata: Mapping[str, Any], partitions: Partitions
) -> RuntimeMetadata:
    try:
        return asset_metadata(project, store, key, metadata, partitions, preview=0)
    except FeatureNotFoundError as error:
        nothing = {**definition_metadata(project, key), ROW_COUNT: 0, MISSING: Failure.of(error).message}
        return RuntimeMetadata(nothing, NO_STATS, dict.fromkeys(partitions.keys or (), NO_STATS))
