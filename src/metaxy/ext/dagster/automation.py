"""When assets are materialized by themselves: as soon as samples are new or stale, which their store is asked."""

from functools import partial
from typing import Any

from dagster._core.asset_graph_view.entity_subset import EntitySubset
from dagster._utils.warnings import disable_dagster_warnings

import dagster as dg
from dagster import AssetKey, AutomationCondition, AutomationContext, AutomationResult
from metaxy.ext.dagster.partitions import Partitions, conditions
from metaxy.ext.dagster.specs import feature_in
from metaxy.ext.dagster.targets import FeatureAsset
from metaxy.process.registry import computed
from metaxy.service.failures import Failure
from metaxy.service.project import Project


class HasChanges(AutomationCondition[AssetKey]):
    """Whether a feature has new or stale samples; of an asset with partitions, those that have some."""

    def __init__(self, project: Project, store: str | None, max_attempts: int | None) -> None:
        self._project, self._store, self._max_attempts = project, store, max_attempts

    @property
    def name(self) -> str:
        """What Dagster calls it; its cursors hang on it."""
        return "metaxy_has_changes"

    @property
    def description(self) -> str:
        """What the page of an asset says of it."""
        return "Samples are new or stale"

    async def evaluate(  # type: ignore[override]  # Dagster awaits it, as conditions of its own
        self, context: AutomationContext[AssetKey]
    ) -> AutomationResult[AssetKey]:
        """Ask the store, unless conditions before this one have decided; a failed run is not repeated for the same."""
        subset, cursor = context.candidate_subset, context.cursor
        if not subset.is_empty:
            failed = await context.asset_graph_view.compute_execution_failed_subset(key=context.key, from_subset=subset)
            asset = self._asset(context)
            try:
                subset, counts = self._changed(context, asset, subset)
            except Exception as error:  # of a store, or of samples that a user lists: others are still looked at
                context.log.error(f"asset {context.key.to_user_string()} is not looked at: {Failure.of(error).message}")
                subset, counts = context.get_empty_subset(), cursor
            subset = subset.compute_difference(failed) if counts == cursor else subset
            cursor = counts
        return AutomationResult(context, subset, cursor)

    def _changed(
        self, context: AutomationContext[AssetKey], asset: FeatureAsset, subset: EntitySubset[AssetKey]
    ) -> tuple[EntitySubset[AssetKey], str | None]:
        """Return what has changes, and how many samples that are."""
        options: dict[str, Any] = {"max_attempts": self._max_attempts}
        target = asset.target(self._project.store(self._store))
        needs = target.needs(**options)
        if needs is None or not (needs.new or needs.stale):
            return context.get_empty_subset(), None
        counts = f"{needs.new:,} new, {needs.stale:,} stale"
        context.log.info(f"asset {context.key.to_user_string()}: {counts}")
        if context.partitions_def is not None:
            by_key = {
                key: partial(conditions, asset.metadata, Partitions([key], context.partitions_def))
                for key in sorted(subset.expensively_compute_partition_keys())
            }
            subset = subset.compute_intersection_with_partition_keys(set(target.parts_in_need(by_key, **options)))
        return subset, counts

    def _asset(self, context: AutomationContext[AssetKey]) -> FeatureAsset:
        metadata = context.asset_graph.get(context.key).metadata
        where = f"asset {context.key.to_user_string()}"
        if (feature := feature_in(metadata, where)) is None:
            raise ValueError(f"{where} is no feature, so has_changes says nothing of it: name one as metaxy/feature")
        with self._project.active():
            return FeatureAsset(self._project, context.key, feature, metadata, computed().get(feature))


def has_changes(*, store: str | None = None, max_attempts: int | None = 3) -> AutomationCondition[AssetKey]:
    """Say that an asset shall be materialized while its feature has new or stale samples.

    One count per asset and tick, by the code location, so the sensor must be `automation_sensor`. An asset is not
    asked about while it is materialized, or one that it depends on is. A run that failed is not repeated before other
    samples are new or stale. The samples of a root are listed at each tick; where that is dear, prefer a schedule.

    Args:
        store: name of the configured store; the default one by default.
        max_attempts: samples that failed so often make no run necessary; None if they always do.

    Other conditions may be joined: ``has_changes() & AutomationCondition.in_latest_time_window()``.
    """
    waits = AutomationCondition.in_progress() | AutomationCondition.any_deps_in_progress()
    return ~waits & HasChanges(Project.loaded(), store, max_attempts)


def automation_sensor(
    name: str = "metaxy_automation", target: Any = None, **options: Any
) -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that asks `has_changes`: one that the code location evaluates, as only it has the features.

    Args:
        name: of the sensor.
        target: which assets it looks after, at most 500; all by default.
        options: of ``dagster.AutomationConditionSensorDefinition``, such as ``minimum_interval_seconds``.
    """
    chosen = dg.AssetSelection.all() if target is None else target
    with disable_dagster_warnings():  # Dagster calls this kind of sensors beta
        return dg.AutomationConditionSensorDefinition(name, target=chosen, use_user_code_server=True, **options)
