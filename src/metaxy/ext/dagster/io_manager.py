"""Rows of features as inputs and outputs of assets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import narwhals as nw
from narwhals.typing import IntoFrame
from pydantic import PrivateAttr

import dagster as dg
from metaxy import MetadataStore
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import DefinitionError, FeatureNotFoundError, MetadataSchemaError
from metaxy.ext.dagster.event_metadata import PARTITION_ROW_COUNT, ROW_COUNT, STORE, asset_metadata
from metaxy.ext.dagster.partitions import Partitions, conditions, partition_columns, refuse_other_rows
from metaxy.ext.dagster.resources import MetaxyStoreFromConfigResource, OfProject, project_if_set
from metaxy.ext.dagster.specs import feature_in
from metaxy.service.asset_increments import AssetIncrement
from metaxy.service.asset_rows import rows_of
from metaxy.service.parts import Conditions
from metaxy.service.project import Project

MetaxyOutput: TypeAlias = IntoFrame | None
"""What an asset returns: a frame that Narwhals knows, or nothing."""


@dataclass(frozen=True)
class Destination:
    """Where an output goes: a feature and, of its rows, those of the asset's partitions in this run."""

    project: Project
    store: MetadataStore
    key: FeatureKey
    metadata: Mapping[str, Any]
    partitions: Partitions

    @classmethod
    def of(cls, project: Project, store: MetadataStore, context: dg.OutputContext) -> "Destination":
        """Find it by the metadata of the asset.

        Raises:
            DefinitionError: if the asset is no feature.
        """
        metadata = context.definition_metadata
        return cls(project, store, feature_of_asset(metadata, context), metadata, Partitions.of(context))

    def write(self, obj: Any) -> None:
        """Write a frame, or each of several; nothing of a frame, if a row of it is of another partition.

        Raises:
            MetadataSchemaError: if there are such rows, or something is no frame.
        """
        for frame in frames_of(obj, self.where):
            checked = self.checked(frame)
            with self.store.open("w"):
                self.store.write(self.key, checked)

    def checked(self, frame: Any) -> Any:
        """Return a frame whose rows are all of the partitions of this run; one of Polars is collected."""
        if isinstance(frame, nw.LazyFrame) and frame.implementation.is_polars():
            frame = frame.collect()
        if isinstance(frame, nw.DataFrame) and not len(frame):
            return frame
        schema = frame.collect_schema()
        ids = self.project.graph.get_feature_definition(self.key).id_columns
        named = [name for name in (*ids, *self.columns) if name in schema]
        refuse_other_rows(frame, self.part(schema), list(dict.fromkeys(named)), self.where)
        return frame

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"asset of feature {self.key}"

    @cached_property
    def columns(self) -> Sequence[str]:
        """The columns that have the partition of a row."""
        return list(partition_columns(self.metadata, self.partitions.definition).values())

    @property
    def part(self) -> Conditions:
        """The rows that this run has of the asset."""
        return partial(conditions, self.metadata, self.partitions)

    def describe(self, context: dg.OutputContext) -> None:
        """Tell Dagster what the store has now, unless the asset has: metadata, and the data version of the asset."""
        if ROW_COUNT in (context.output_metadata or {}):
            return
        with suppress(FeatureNotFoundError), self.store.open("r"):
            run = self.store.materialization_id
            found = asset_metadata(self.project, self.store, self.key, self.metadata, self.partitions, run=run)
            context.add_output_metadata(found.metadata)
            with suppress(dg.DagsterInvariantViolationError):  # outside of a step there are no events
                step = context.step_context
                step.set_data_version(context.asset_key, dg.DataVersion(found.stats.data_version))
                for key, rows in found.partitions.items() if len(found.partitions) > 1 else ():
                    step.add_asset_metadata({PARTITION_ROW_COUNT: rows}, context.asset_key, key)


class MetaxyIOManager(OfProject, dg.ConfigurableIOManager):
    """Reads the features of upstream assets as inputs, and writes what an asset returns to its own feature.

    Frames: an input is a lazy frame of Narwhals with the latest rows of the upstream feature, of the partitions that
    the run needs; the store is open only while it is collected. An output is a frame as `MetadataStore.write` takes
    it, an iterator of such frames, of which one at a time is in memory, or None.

    What ops that are no assets return, such as those of graphs and of jobs, is kept in files, as by Dagster's default.

    Args:
        store: where features are; the default store of the configuration by default.
    """

    store: dg.ResourceDependency[MetadataStore]
    _project: Project | None = PrivateAttr(default_factory=project_if_set)

    def __init__(self, **data: Any) -> None:
        super().__init__(**{"store": MetaxyStoreFromConfigResource(), **data})

    @property
    def own_store(self) -> MetadataStore:
        """The store: in a run, resources are what they make."""
        return self.store

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the rows of the upstream feature that this run needs.

        Raises:
            DefinitionError: if the upstream asset is no feature, or the input should be an `AssetIncrement`.
            FeatureNotFoundError: if no store has a table for it.
        """
        if (files := between_ops(context)) is not None:
            return files.load_input(context)
        metadata, partitions = metadata_of_input(context), Partitions.of(context)
        key = feature_of_asset(metadata, context)
        _refuse_increment(context, key)
        found = rows_of(self.project, self.own_store, key, partial(conditions, metadata, partitions))
        if not context.has_asset_partitions or (partitions.keys and len(partitions.keys) == 1):
            context.add_input_metadata(input_metadata(found.store))
        return found.frame

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write what an asset returns, and tell Dagster what the store has now.

        Raises:
            DefinitionError: if the asset is no feature.
            MetadataSchemaError: if rows are of other partitions than those of the run, or cannot be written.
        """
        if (files := between_ops(context)) is not None:
            files.handle_output(context, obj)
            return
        destination = Destination.of(self.project, self.own_store, context)
        with self.project.active():
            destination.write(obj)
            destination.describe(context)


def metadata_of_input(context: dg.InputContext) -> Mapping[str, Any]:
    """Return the metadata of the asset that is an input."""
    upstream = context.upstream_output
    return (upstream or context).definition_metadata


def between_ops(context: dg.InputContext | dg.OutputContext) -> dg.IOManager | None:
    """Return what keeps values of ops that are no assets, as Dagster does by default; None for those of assets."""
    of_op = not context.has_asset_key and (isinstance(context, dg.OutputContext) or context.upstream_output is not None)
    if not of_op:
        return None
    folder = context.step_context.instance.storage_directory()
    return dg.FilesystemIOManager(base_dir=folder).create_io_manager(dg.build_init_resource_context())


def _refuse_increment(context: dg.InputContext, key: FeatureKey) -> None:
    """Refuse rows for an input that should be an increment: Dagster would only say that their types differ."""
    with suppress(dg.DagsterInvariantViolationError):  # a context of a test may have no type
        if context.dagster_type.typing_type is AssetIncrement:
            raise DefinitionError(
                f"input {context.name!r} takes an AssetIncrement, but gets the rows of feature {key}: only "
                "IncrementalMetaxyIOManager gives increments, to assets whose feature depends on that one, and inputs "
                "are read by the IO manager of the asset that they come from. Give it to both assets, or name it by "
                f"ins={{{context.name!r}: dg.AssetIn(input_manager_key=...)}}"
            )


def feature_of_asset(metadata: Mapping[str, Any], context: dg.InputContext | dg.OutputContext) -> FeatureKey:
    """Return the feature of the asset of an input or an output.

    Raises:
        DefinitionError: if it is none.
    """
    name = context.asset_key.to_user_string() if context.has_asset_key else context.name
    if (key := feature_in(metadata, f"asset {name!r}")) is None:
        raise DefinitionError(
            f'asset {name!r} is no feature: give it the metadata {{"metaxy/feature": "<key>"}}, or let another IO '
            "manager read and write it"
        )
    return key


def frames_of(obj: Any, where: str) -> Iterator[nw.DataFrame[Any] | nw.LazyFrame[Any]]:
    """Give the frames that an asset returned: one, several, or none.

    Raises:
        MetadataSchemaError: if something is no frame.
    """
    if obj is None:
        return
    frame = nw.from_native(obj, pass_through=True)
    if isinstance(frame, (nw.DataFrame, nw.LazyFrame)):
        yield frame
    elif isinstance(obj, Iterable) and not isinstance(obj, (str, bytes, Mapping)):
        for each in obj:
            yield from frames_of(each, where)
    else:
        raise MetadataSchemaError(
            f"{where} returned a {type(obj).__module__}.{type(obj).__qualname__}, which is no dataframe; return a "
            "Polars, Pandas, PyArrow, DuckDB, Ibis or Narwhals frame, an iterator of frames, or None"
        )


def input_metadata(store: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Dagster shows of an input: where its rows come from."""
    found = store.get("resolved_from", {})
    place = {f"dagster/{name}": found[name] for name in ("table_name", "uri") if name in found}
    return {"name": store["name"], STORE: found.get("display", store["display"]), "resolved_from": found, **place}
