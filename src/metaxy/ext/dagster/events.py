"""Results of assets that are features, with all that is known of their rows."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import dagster as dg
from dagster import AssetExecutionContext, AssetSpec, OpExecutionContext
from metaxy import MetadataStore
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import FeatureNotFoundError
from metaxy.ext.dagster.event_metadata import (
    PARTITION_ROW_COUNT,
    PREVIEW_ROWS,
    RuntimeMetadata,
    asset_metadata,
    event_tags,
    failure_metadata,
)
from metaxy.ext.dagster.partitions import Partitions
from metaxy.ext.dagster.specs import features_of
from metaxy.service.failures import Failure
from metaxy.service.project import Project

Context: TypeAlias = AssetExecutionContext | OpExecutionContext
Asset: TypeAlias = tuple[AssetSpec, FeatureKey]


def generate_materialize_results(
    context: Context,
    store: MetadataStore | Any,
    specs: Iterable[AssetSpec] | None = None,
    *,
    project: Project | None = None,
    preview: int = PREVIEW_ROWS,
) -> Iterator[dg.MaterializeResult[None]]:
    """Say of each asset that is a feature what its rows are after this run, parents first.

    The store is opened once, for all of them, and closed before the first result. An asset whose feature has no table
    is left out, and the log says so; where rows cannot be read, the log and the event say why, and nothing is counted.

    Args:
        context: Of the asset.
        store: A store, or the resource that makes one.
        specs: The assets; by default those of the context that are selected.
        project: What has the features; by default what is active.
        preview: How many of the newest rows are shown.

    Raises:
        ValueError: if the context is that of an op and there are no ``specs``.
    """
    for spec, found, tags in _found(context, store, specs, project, preview, of_run=True):
        yield dg.MaterializeResult(
            asset_key=spec.key,
            metadata=found.metadata,
            data_version=found.data_version,
            tags=tags,
            value=None,
        )


def generate_observe_results(
    context: Context,
    store: MetadataStore | Any,
    specs: Iterable[AssetSpec] | None = None,
    *,
    project: Project | None = None,
    preview: int = 0,
) -> Iterator[dg.ObserveResult]:
    """Say of each asset that is a feature what its rows are now, parents first; otherwise as for what a run made.

    Rows are counted and none are shown, unless that is asked: to find the newest costs as much again.

    Args:
        context: Of the asset.
        store: A store, or the resource that makes one.
        specs: The assets; by default those of the context that are selected.
        project: What has the features; by default what is active.
        preview: How many of the newest rows are shown.

    Raises:
        ValueError: if the context is that of an op and there are no ``specs``.
    """
    for spec, found, tags in _found(context, store, specs, project, preview, of_run=False):
        yield dg.ObserveResult(asset_key=spec.key, metadata=found.metadata, data_version=found.data_version, tags=tags)


def _found(
    context: Context,
    store: Any,
    specs: Iterable[AssetSpec] | None,
    project: Project | None,
    preview: int,
    *,
    of_run: bool,
) -> list[tuple[AssetSpec, RuntimeMetadata, dict[str, str]]]:
    project = project or Project.loaded()
    ordered = _in_order(project, features_of(_selected(context) if specs is None else specs))
    with opened(store, context) as given:
        asking = Asking(context, project, given, given.materialization_id if of_run else None, preview)
        found = [(spec, known, event_tags(project, key)) for spec, key in ordered if (known := asking.about(spec, key))]
    for spec, known, _ in found:
        _tell_partitions(context, spec, known)
    return found


def _selected(context: Context) -> list[AssetSpec]:
    """Return the assets that a context is of, as far as this run is to make them.

    Raises:
        ValueError: if it is the context of an op, which may be of no asset.
    """
    if isinstance(context, OpExecutionContext):
        raise ValueError("the context of an op does not say which assets are meant: pass specs=, such as assets.specs")
    selected = context.selected_asset_keys
    return [spec for spec in context.assets_def.specs if spec.key in selected]


def _in_order(project: Project, assets: Iterable[Asset]) -> list[Asset]:
    """Put parents before children; assets of one feature stay in their order."""
    given = list(assets)
    order = project.graph.topological_sort_features(list({key: None for _, key in given}))
    places = {key: place for place, key in enumerate(order)}
    return sorted(given, key=lambda asset: places[asset[1]])


@contextmanager
def opened(store: Any, context: Any) -> Iterator[MetadataStore]:
    """Open a store for reading, or the one that a resource makes."""
    given = store if isinstance(store, MetadataStore) else store.create_resource(context)
    with given.open("r"):
        yield given


@dataclass(frozen=True)
class Asking:
    """What an open store is asked with; rows of ``run`` are counted, and some rows shown."""

    context: Context
    project: Project
    store: MetadataStore
    run: str | None
    preview: int

    def about(self, spec: AssetSpec, key: FeatureKey) -> RuntimeMetadata | None:
        """Ask about an asset; None if no store has its feature. What fails is logged, without secrets."""
        name, log, partitions = spec.key.to_user_string(), self.context.log, Partitions.of(self.context, spec)
        try:
            return asset_metadata(
                self.project, self.store, key, spec.metadata, partitions, run=self.run, preview=self.preview
            )
        except FeatureNotFoundError as error:
            log.error(f"asset {name} is left out: {Failure.of(error).message}")
            return None
        except Exception as error:  # of any store; counts that are not known must not fail a run that has written
            failure = Failure.of(error)
            log.error(f"asset {name}: its rows cannot be counted: {failure.message}")
            return failure_metadata(self.project, key, failure)


def _tell_partitions(context: Context, spec: AssetSpec, known: RuntimeMetadata) -> None:
    """Give each partition its own count, where a run has several, for which Dagster makes an event each."""
    if len(known.partitions) > 1 and isinstance(context, AssetExecutionContext):
        for name, rows in known.partitions.items():
            context.add_asset_metadata({PARTITION_ROW_COUNT: rows}, spec.key, name)
