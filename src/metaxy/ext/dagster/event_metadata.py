"""What events of Dagster say of a feature: its definition and, of the rows that a store has, all that is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import dagster as dg
from metaxy import MetadataStore, __version__
from metaxy.definitions.keys import FeatureKey
from metaxy.ext.dagster.constants import (
    DAGSTER_METAXY_FEATURE_CODE_VERSION_TAG_KEY,
    DAGSTER_METAXY_FEATURE_METADATA_KEY,
    DAGSTER_METAXY_FEATURE_VERSION_TAG_KEY,
    DAGSTER_METAXY_INFO_METADATA_KEY,
)
from metaxy.service.assets import NO_ROWS, Part, contents, everything
from metaxy.service.project import Project

TAG_LENGTH: Final = 63
STORE: Final = "metaxy/store"
ROW_COUNT: Final = "dagster/row_count"
PARTITION_ROW_COUNT: Final = "dagster/partition_row_count"
TABLE_NAME: Final = "dagster/table_name"
URI: Final = "dagster/uri"
WRITTEN: Final = "metaxy/materialized_in_run"


class FeatureStats(NamedTuple):
    """How many rows a feature has, and a text that changes with them; ``empty`` without rows."""

    row_count: int
    data_version: str


NO_STATS: Final = FeatureStats(0, NO_ROWS)


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
    """Return the tags of an event of a feature; Dagster cuts none, so they are as long as it allows."""
    version = project.graph.get_feature_version(key)
    code = project.graph.get_feature_definition(key).spec.code_version
    return {
        DAGSTER_METAXY_FEATURE_METADATA_KEY: key.table_name[:TAG_LENGTH],
        DAGSTER_METAXY_FEATURE_VERSION_TAG_KEY: version[:TAG_LENGTH],
        DAGSTER_METAXY_FEATURE_CODE_VERSION_TAG_KEY: code[:TAG_LENGTH],
    }


@dataclass(frozen=True)
class RuntimeMetadata:
    """What an event says of rows.

    ``stats`` are of the partitions of the run, if it has any, else of the asset; ``partitions`` counts each one's rows.
    """

    metadata: Mapping[str, Any]
    stats: FeatureStats
    partitions: Mapping[str, int]


def runtime_metadata(
    project: Project,
    store: MetadataStore,
    key: FeatureKey,
    *,
    among: Part = everything,
    partitions: Mapping[str, Part] | None = None,
    run: str | None = None,
) -> RuntimeMetadata:
    """Ask a store, which must be open, what it has of a feature, by one statement.

    Args:
        project: What has the feature.
        store: Where it is.
        key: The feature.
        among: The rows of the asset.
        partitions: Those of them that each partition of the run has; None where the run has no partitions.
        run: The materialization id whose rows are counted as written, if any are.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
    """
    with project.active():
        found = contents(store, key, among=among, parts=partitions or {}, run=run)
    metadata = {
        DAGSTER_METAXY_FEATURE_METADATA_KEY: str(key),
        DAGSTER_METAXY_INFO_METADATA_KEY: feature_info(project, key),
        STORE: found.store,
        ROW_COUNT: found.whole.rows,
        **_place(found.store["resolved_from"]),
    }
    if partitions is not None:
        metadata[PARTITION_ROW_COUNT] = found.in_parts.rows
    if run is not None:
        metadata[WRITTEN] = found.written
    state = found.whole if partitions is None else found.in_parts
    return RuntimeMetadata(
        metadata,
        FeatureStats(state.rows, state.data_version),
        {name: part.rows for name, part in found.parts.items()},
    )


def _place(where: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of where a table is, as far as its store says so."""
    found = {TABLE_NAME: where["table_name"]} if "table_name" in where else {}
    return {**found, URI: dg.MetadataValue.path(where["uri"])} if "uri" in where else found
