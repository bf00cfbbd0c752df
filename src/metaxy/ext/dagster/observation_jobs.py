"""Jobs that observe assets of features."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
from dagster import AssetSpec, OpExecutionContext
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import DefinitionError
from metaxy.ext.dagster.constants import (
    DAGSTER_METAXY_FEATURE_METADATA_KEY,
    DAGSTER_METAXY_PARTITION_METADATA_KEY,
)
from metaxy.ext.dagster.event_metadata import PARTITION_ROW_COUNT, FeatureStats, event_tags
from metaxy.ext.dagster.events import opened
from metaxy.ext.dagster.observation import observed
from metaxy.ext.dagster.partitions import Partitions
from metaxy.ext.dagster.specs import definition_of, feature_tag, features_of
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.wording import did_you_mean

DATA_VERSION: Final = "dagster/data_version"
Asset = AssetSpec | dg.AssetsDefinition


def build_metaxy_observation_job(
    asset: Asset, *, store_resource_key: str = "store", tags: Mapping[str, str] | None = None
) -> list[dg.JobDefinition]:
    """Make a job for each asset that is a feature, which observes its rows and their data version.

    It is called ``observe_`` and the feature, then the asset if it is one of several of that feature, and has the
    partitions of the asset.

    Args:
        asset: An asset, or several.
        store_resource_key: The resource that has the store.
        tags: More tags of the jobs.

    Raises:
        TypeError: if it is something else.
        DefinitionError: if none of them is a feature (a ValueError).
        UnknownFeatureError: if the active graph does not have one of the features (a KeyError).
    """
    observing = Observing(Project.loaded(), store_resource_key)
    found = observing.features(_specs(asset))
    counts = Counter(key for _, key in found)
    return [_job_of(observing, spec, key, counts[key] > 1, tags or {}) for spec, key in found]


def build_metaxy_multi_observation_job(
    name: str,
    *,
    asset_selection: dg.AssetSelection | None = None,
    defs: dg.Definitions | None = None,
    assets: Sequence[Asset] | None = None,
    store_resource_key: str = "store",
    tags: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> dg.JobDefinition:
    """Make one job that observes several assets, each in a step of its own; those that are no features are left out.

    Its config may name some of them, as ``asset_keys`` of the op ``<name>_fanout``.

    Args:
        name: Of the job.
        asset_selection: Which of ``defs``.
        defs: Definitions that have the assets.
        assets: The assets, instead of a selection.
        store_resource_key: The resource that has the store.
        tags: Tags of the job.
        kwargs: More arguments of ``GraphDefinition.to_job``, such as ``executor_def``.

    Raises:
        DefinitionError: if it is not clear which assets are meant, none of them is a feature, or they have not all the
            same partitions (a ValueError).
        UnknownFeatureError: if the active graph does not have one of the features (a KeyError).
    """
    observing = Observing(Project.loaded(), store_resource_key)
    found = observing.features(_chosen(asset_selection, defs, assets))
    first, partitions_def = found[0][0], found[0][0].partitions_def
    for spec, _ in found:
        if spec.partitions_def != partitions_def:
            raise DefinitionError(
                f"job {name}: {first.key.to_user_string()} and {spec.key.to_user_string()} have not the same "
                "partitions; make a job for each"
            )
    steps = dict(zip(_step_names(spec for spec, _ in found), found, strict=True))
    listed = "\n".join(f"- `{spec.key.to_user_string()}` → `{key}`" for spec, key in found)
    links = {f"metaxy/asset/{spec.key.to_user_string()}": dg.MetadataValue.asset(spec.key) for spec, _ in found}
    return _fan_out(name, observing, steps).to_job(
        name=name,
        description=f"Observes:\n\n{listed}",
        partitions_def=partitions_def,
        tags=dict(tags or {}),
        metadata={"metaxy/features": list(dict.fromkeys(str(key) for _, key in found)), **links},
        **kwargs,
    )


# -- which assets ------------------------------------------------------------------------------------------------------


def _specs(asset: Any) -> list[AssetSpec]:
    if isinstance(asset, AssetSpec):
        return [asset]
    if isinstance(asset, dg.AssetsDefinition):
        return list(asset.specs)
    raise TypeError(f"jobs observe an AssetSpec or an AssetsDefinition, not a {type(asset).__qualname__}")


def _chosen(
    selection: dg.AssetSelection | None, defs: dg.Definitions | None, assets: Sequence[Asset] | None
) -> list[AssetSpec]:
    if assets is not None and selection is None and defs is None:
        return [spec for asset in assets for spec in _specs(asset)]
    if assets is not None or selection is None or defs is None:
        raise DefinitionError("say which assets are observed: pass either assets=, or asset_selection= and defs=")
    chosen = selection.resolve(defs.resolve_asset_graph())
    return [spec for spec in defs.resolve_all_asset_specs() if spec.key in chosen]


def _step_names(specs: Iterable[AssetSpec]) -> list[str]:
    """Name steps by assets: `a/b` and `a__b` are two."""
    found: dict[str, None] = {}
    for spec in specs:
        name = spec.key.to_python_identifier()
        while name in found:
            name += "_"
        found[name] = None
    return list(found)


# -- jobs --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Observing:
    """What jobs observe with."""

    project: Project
    store_resource_key: str

    def features(self, specs: Iterable[AssetSpec]) -> list[tuple[AssetSpec, FeatureKey]]:
        """Return those of some assets that are features.

        Raises:
            DefinitionError: if none is.
            UnknownFeatureError: if the project does not have one of them.
        """
        given = list(specs)
        found = list(features_of(given))
        if not found:
            names = ", ".join(spec.key.to_user_string() for spec in given) or "nothing"
            raise DefinitionError(f'no feature to observe in {names}: assets of one have the metadata "metaxy/feature"')
        for spec, _ in found:
            definition_of(self.project, spec)
        return found

    def observe(self, context: OpExecutionContext, spec: AssetSpec, key: FeatureKey) -> None:
        """Tell Dagster what the store has now of an asset, or of each of its partitions in this run.

        Raises:
            Failure: if the rows cannot be read, without secrets.
        """
        try:
            given = getattr(context.resources, self.store_resource_key)
            with self.project.active(), opened(given, context) as store:
                known = observed(self.project, store, key, spec.metadata, Partitions.of(context, spec))
        except Exception as error:
            message = f"asset {spec.key.to_user_string()} cannot be observed: {Failure.of(error).message}"
            raise dg.Failure(message) from None
        tags = event_tags(self.project, key)
        each: Iterable[tuple[str | None, FeatureStats]] = known.by_partition.items() or [(None, known.stats)]
        for name, stats in each:
            of_partition = {} if name is None else {PARTITION_ROW_COUNT: stats.row_count}
            context.log_event(
                dg.AssetObservation(
                    spec.key,
                    partition=name or (context.partition_key if context.has_partition_key else None),
                    metadata={**known.metadata, **of_partition},
                    tags={**tags, DATA_VERSION: stats.data_version},
                )
            )


def _job_of(
    observing: Observing, spec: AssetSpec, key: FeatureKey, is_shared: bool, tags: Mapping[str, str]
) -> dg.JobDefinition:
    name = f"observe_{key.table_name}"
    if is_shared or DAGSTER_METAXY_PARTITION_METADATA_KEY in spec.metadata:
        name += f"__{spec.key.to_python_identifier()}"

    @dg.op(name=f"{name}_op", required_resource_keys={observing.store_resource_key})
    def observe(context: OpExecutionContext) -> None:
        observing.observe(context, spec, key)

    @dg.graph(name=f"{name}_graph")
    def graph() -> None:
        observe()

    return graph.to_job(
        name=name,
        description=f"Observes `{spec.key.to_user_string()}`, feature `{key}`.",
        partitions_def=spec.partitions_def,
        tags={DAGSTER_METAXY_FEATURE_METADATA_KEY: feature_tag(key), **tags},
        metadata={
            DAGSTER_METAXY_FEATURE_METADATA_KEY: str(key),
            "metaxy/asset": dg.MetadataValue.asset(spec.key),
        },
    )


def _fan_out(name: str, observing: Observing, steps: Mapping[str, tuple[AssetSpec, FeatureKey]]) -> dg.GraphDefinition:
    names = {spec.key.to_user_string(): step for step, (spec, _) in steps.items()}
    asset_keys = dg.Field([str], is_required=False, default_value=list(names), description="The assets to observe.")

    @dg.op(name=f"{name}_fanout", out=dg.DynamicOut(str), config_schema={"asset_keys": asset_keys})
    def fan_out(context: OpExecutionContext) -> Iterator[dg.DynamicOutput[str]]:
        wanted = dict.fromkeys(context.op_config["asset_keys"])
        for asset in wanted:
            if asset not in names:
                raise ValueError(f"job {name} observes no asset {asset!r}.{did_you_mean(asset, names)}")
        for asset in wanted:
            yield dg.DynamicOutput(names[asset], mapping_key=names[asset])

    @dg.op(name=f"{name}_observe", required_resource_keys={observing.store_resource_key})
    def observe(context: OpExecutionContext, step: str) -> None:
        observing.observe(context, *steps[step])

    @dg.graph(name=f"{name}_graph")
    def graph() -> None:
        fan_out().map(observe)

    return graph
