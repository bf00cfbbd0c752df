"""What metaxy 0.1 had in ``metaxy.ext.dagster.utils``."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from metaxy import MetadataStore
from metaxy.definitions.keys import CoercibleToFeatureKey, coerce_to_feature_key
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import FeatureNotFoundError
from metaxy.ext.dagster.constants import DAGSTER_METAXY_PARTITION_KEY, DAGSTER_METAXY_PARTITION_METADATA_KEY
from metaxy.ext.dagster.event_metadata import NO_STATS, FeatureStats, asset_metadata, event_tags, feature_info
from metaxy.ext.dagster.partitions import Partitions
from metaxy.ext.dagster.specs import own_asset_key
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.versioning.frames import as_lazy, count_lazy_rows, wrapped_frame


def build_feature_info_metadata(feature: CoercibleToFeatureKey) -> dict[str, Any]:
    """Return what ``metaxy/info`` says of a feature."""
    return feature_info(Project.loaded(), coerce_to_feature_key(feature))


def build_feature_event_tags(feature: CoercibleToFeatureKey) -> dict[str, str]:
    """Return the tags of an event of a feature."""
    return event_tags(Project.loaded(), coerce_to_feature_key(feature))


def build_runtime_feature_metadata(
    feature_key: CoercibleToFeatureKey,
    store: MetadataStore,
    context: Any,
    *,
    partition_col: str | None = None,
    metaxy_partition: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], FeatureStats]:
    """Return what an event says of the rows of a feature; where they cannot be read the log says why, and no more.

    Args:
        feature_key: The feature.
        store: Where it is.
        context: Of an asset, an op, an input or an output.
        partition_col: The column that has the partition of a row.
        metaxy_partition: Columns and values of the rows that the asset has.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
    """
    metadata = {DAGSTER_METAXY_PARTITION_KEY: partition_col, DAGSTER_METAXY_PARTITION_METADATA_KEY: metaxy_partition}
    key = coerce_to_feature_key(feature_key)
    try:
        with store.open("r"):
            found = asset_metadata(Project.loaded(), store, key, metadata, Partitions.of(context))
    except FeatureNotFoundError:
        raise
    except Exception as error:
        context.log.error(f"feature {key}: its rows cannot be counted: {Failure.of(error).message}")
        return {}, NO_STATS
    return dict(found.metadata), found.stats


def compute_row_count(lazy_df: Any) -> int:
    """Count the rows of a frame."""
    return count_lazy_rows(as_lazy(wrapped_frame(lazy_df)))


def get_asset_key_for_metaxy_feature_spec(feature_spec: FeatureSpec) -> dg.AssetKey:
    """Return the key of the asset of a feature: the one that its spec names, else that of the feature."""
    return own_asset_key(feature_spec)
