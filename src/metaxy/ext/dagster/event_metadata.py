"""What events of Dagster say of a feature: its definition and, of the rows that a store has, all that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import dagster as dg
from metaxy import MetadataStore, __version__
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, coerce_to_feature_key
from metaxy.ext.dagster.constants import (
    DAGSTER_METAXY_FEATURE_CODE_VERSION_TAG_KEY,
    DAGSTER_METAXY_FEATURE_METADATA_KEY,
    DAGSTER_METAXY_FEATURE_VERSION_TAG_KEY,
    DAGSTER_METAXY_INFO_METADATA_KEY,
    DAGSTER_METAXY_PARTITION_METADATA_KEY,
)
from metaxy.ext.dagster.partitions import EVERYTHING, Partitions, conditions, partition_columns
from metaxy.ext.dagster.previews import build_table_preview_metadata
from metaxy.ext.dagster.specs import TAG_LENGTH, feature_tag
from metaxy.service.assets import NO_ROWS, State, contents, newest, state_of
from metaxy.service.failures import Failure
from metaxy.service.parts import Conditions, everything
from metaxy.service.project import Project

STORE: Final = "metaxy/store"
ROW_COUNT: Final = "dagster/row_count"
PARTITION_ROW_COUNT: Final = "dagster/partition_row_count"
TABLE: Final = "dagster/table"
TABLE_NAME: Final = "dagster/table_name"
URI: Final = "dagster/uri"
WRITTEN: Final = "metaxy/materialized_in_run"
ERROR: Final = "metaxy/error"
PREVIEW_ROWS: Final = 5
COUNTED_PARTITIONS: Final = 100
"""As many get counts of their own in one statement."""
TOGETHER: Final = ""  # what is counted of all partitions at once; no count of one


class FeatureStats(NamedTuple):
    """How many rows a feature has, and a text that changes with them; ``empty`` without rows."""

    row_count: int
    data_version: str

    @classmethod
    def of(cls, state: State) -> "FeatureStats":
        """Return the state of rows as Dagster has it."""
        return cls(state.rows, state.data_version)


NO_STATS: Final = FeatureStats(0, NO_ROWS)


def compute_feature_stats(store: MetadataStore, feature: CoercibleToFeatureKey) -> FeatureStats:
    """Count the latest rows of a feature, and say in which state they are; the store may be closed.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
    """
    with store.open("r"):
        return FeatureStats.of(contents(store, coerce_to_feature_key(feature)).whole)


def compute_stats_from_lazy_frame(lazy_df: Any, *, id_columns: Sequence[str] = ()) -> FeatureStats:
    """Count the rows of any frame, and say in which state they are.

    Rows are read from where they are, so this costs more than `compute_feature_stats`, whose data versions are others.

    Args:
        lazy_df: Rows with Metaxy's columns, in a frame of any library.
        id_columns: The columns that tell samples apart. Without them all columns count that hold one value each, also
            when rows were written.

    >>> import polars as pl
    >>> compute_stats_from_lazy_frame(pl.LazyFrame({"id": ["a"]}).clear())
    FeatureStats(row_count=0, data_version='empty')
    """
    return FeatureStats.of(state_of(lazy_df, id_columns))


def feature_info(project: Project, key: FeatureKey) -> dict[str, Any]:
    """Return what ``metaxy/info`` says: the definition of a feature, and which Metaxy knows it."""
    definition = project.graph.get_feature_definition(key)
    feature = {
        "project": definition.project,
        "spec": definition.spec.model_dump(mode="json"),
        "version": project.graph.get_feature_version(key),
        "type": definition.feature_class_path,
    }
    return {"feature": feature, "metaxy": {"version": __version__, "plugins": project.config.plugins}}


def event_tags(project: Project, key: FeatureKey) -> dict[str, str]:
    """Return the tags of an event of a feature, as long as Dagster allows."""
    version = project.graph.get_feature_version(key)
    code = project.graph.get_feature_definition(key).spec.code_version
    return {
        DAGSTER_METAXY_FEATURE_METADATA_KEY: feature_tag(key),
        DAGSTER_METAXY_FEATURE_VERSION_TAG_KEY: version[:TAG_LENGTH],
        DAGSTER_METAXY_FEATURE_CODE_VERSION_TAG_KEY: code[:TAG_LENGTH],
    }


@dataclass(frozen=True)
class RuntimeMetadata:
    """What an event says of rows.

    ``stats`` are of the partitions of the run, if it has any, else of the asset; ``by_partition`` of each of these.
    """

    metadata: Mapping[str, Any]
    stats: FeatureStats = NO_STATS
    by_partition: Mapping[str, FeatureStats] = field(default_factory=dict)
    is_known: bool = True

    @property
    def partitions(self) -> dict[str, int]:
        """How many rows each partition has."""
        return {name: stats.row_count for name, stats in self.by_partition.items()}

    @property
    def data_version(self) -> dg.DataVersion | None:
        """The data version of the event; none where rows could not be read, for it is not that of no rows."""
        return dg.DataVersion(self.stats.data_version) if self.is_known else None


def asset_metadata(
    project: Project,
    store: MetadataStore,
    key: FeatureKey,
    metadata: Mapping[str, Any],
    partitions: Partitions = EVERYTHING,
    *,
    run: str | None = None,
    preview: int = PREVIEW_ROWS,
) -> RuntimeMetadata:
    """Ask a store, which must be open, what it has of an asset; otherwise as `runtime_metadata`.

    Args:
        project: What has the feature.
        store: Where it is.
        key: The feature.
        metadata: That of the asset, with ``partition_by`` and ``metaxy/partition``.
        partitions: Those of the run.
        run: The materialization id whose rows are counted as written, if any are.
        preview: How many rows are shown.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
    """
    among, parts = partial(conditions, metadata, EVERYTHING), parts_of(metadata, partitions)
    return runtime_metadata(project, store, key, among=among, partitions=parts, run=run, preview=preview)


def parts_of(metadata: Mapping[str, Any], partitions: Partitions) -> dict[str, Conditions] | None:
    """Return the rows of each partition; of very many, all together; None if nothing tells them apart."""
    by_key = {**metadata, DAGSTER_METAXY_PARTITION_METADATA_KEY: None}
    if partitions.keys is None or not partition_columns(by_key, partitions.definition):
        return None
    if len(partitions.keys) > COUNTED_PARTITIONS:
        return {TOGETHER: partial(conditions, by_key, partitions)}
    return {name: partial(conditions, by_key, Partitions([name], partitions.definition)) for name in partitions.keys}


def failure_metadata(project: Project, key: FeatureKey, failure: Failure) -> RuntimeMetadata:
    """Say that nothing is known of rows, and why."""
    return RuntimeMetadata({**definition_metadata(project, key), ERROR: failure.message}, is_known=False)


def definition_metadata(project: Project, key: FeatureKey) -> dict[str, Any]:
    """Return the metadata that need no store."""
    info = feature_info(project, key)
    return {DAGSTER_METAXY_FEATURE_METADATA_KEY: str(key), DAGSTER_METAXY_INFO_METADATA_KEY: info}


def runtime_metadata(
    project: Project,
    store: MetadataStore,
    key: FeatureKey,
    *,
    among: Conditions = everything,
    partitions: Mapping[str, Conditions] | None = None,
    run: str | None = None,
    preview: int = 0,
) -> RuntimeMetadata:
    """Ask a store, which must be open, what it has of a feature, by one statement; by two more, if rows are shown.

    Args:
        project: What has the feature.
        store: Where it is.
        key: The feature.
        among: The rows of the asset.
        partitions: Those of them that each partition of the run has; None where the run has no partitions.
        run: The materialization id whose rows are counted as written, if any are.
        preview: How many rows are shown, unless the feature is external.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
    """
    with project.active():
        found = contents(store, key, among=among, parts=partitions or {}, run=run)
        shown = preview and found.whole.rows and not project.graph.get_feature_definition(key).is_external
        rows = newest(store, key, among=among, limit=preview) if shown else None
    metadata = {  # in the order of the page of an asset: what is short comes first
        DAGSTER_METAXY_FEATURE_METADATA_KEY: str(key),
        ROW_COUNT: found.whole.rows,
        **({} if partitions is None or TOGETHER in partitions else {PARTITION_ROW_COUNT: found.in_parts.rows}),
        **({} if run is None else {WRITTEN: found.written}),
        **_place(found.store["resolved_from"]),
        **({} if rows is None else {TABLE: build_table_preview_metadata(rows, n_rows=preview)}),
        STORE: found.store,
        **definition_metadata(project, key),
    }
    stats = FeatureStats.of(found.whole if partitions is None else found.in_parts)
    return RuntimeMetadata(metadata, stats, {name: FeatureStats.of(part) for name, part in found.parts.items()})


def _place(where: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of where a table is, as far as its store says so."""
    found = {TABLE_NAME: where["table_name"]} if "table_name" in where else {}
    return {**found, URI: dg.MetadataValue.path(where["uri"])} if "uri" in where else found
