"""Types of Dagster for features: frames, with what is known of their columns."""

from collections.abc import Mapping
from typing import Any

import narwhals as nw

import dagster as dg
from metaxy.ext.dagster.columns import Feature, build_column_lineage, build_column_schema, known
from metaxy.ext.dagster.constants import (
    DAGSTER_COLUMN_LINEAGE_METADATA_KEY,
    DAGSTER_COLUMN_SCHEMA_METADATA_KEY,
    DAGSTER_METAXY_INFO_METADATA_KEY,
)
from metaxy.ext.dagster.event_metadata import feature_info
from metaxy.service.project import Project


def feature_to_dagster_type(
    feature: Feature,
    *,
    name: str | None = None,
    description: str | None = None,
    inject_column_schema: bool = True,
    inject_column_lineage: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> dg.DagsterType:
    """Return a type that takes None and the frames that Narwhals takes, for outputs and inputs of a feature.

    Assets get it where it is given to them, as ``dagster_type``.

    Args:
        feature: The feature, as a class, a definition or a key.
        name: The name of the type; by default the key of the feature, joined by two underscores.
        description: What it is; by default what the feature says.
        inject_column_schema: Let its metadata say which columns the feature declares.
        inject_column_lineage: Let its metadata say where they come from.
        metadata: More metadata.

    Raises:
        UnknownFeatureError: if the active graph does not have the feature (a KeyError).
    """
    project = Project.loaded()
    definition = known(project, feature)
    found: dict[str, Any] = {
        **(metadata or {}),
        DAGSTER_METAXY_INFO_METADATA_KEY: feature_info(project, definition.key),
    }
    if inject_column_schema and not definition.is_external:
        found[DAGSTER_COLUMN_SCHEMA_METADATA_KEY] = build_column_schema(definition)
    if inject_column_lineage and (comes_from := build_column_lineage(definition)) is not None:
        found[DAGSTER_COLUMN_LINEAGE_METADATA_KEY] = comes_from

    def check(_context: object, value: object) -> dg.TypeCheck:
        if value is None or _is_frame(value):
            return dg.TypeCheck(success=True)
        told = f"feature '{definition.key}' is a frame that Narwhals takes, such as one of Polars, or None"
        return dg.TypeCheck(success=False, description=f"{told}, not {type(value).__name__}")

    return dg.DagsterType(
        check,
        name=name or definition.table_name,
        description=description or definition.spec.description or f"Rows of the feature '{definition.key}'.",
        metadata=found,
    )


def _is_frame(value: object) -> bool:
    return isinstance(nw.from_native(value, pass_through=True), (nw.DataFrame, nw.LazyFrame))
