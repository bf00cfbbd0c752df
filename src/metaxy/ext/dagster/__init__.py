"""Dagster: features as assets, with partitions, observations, checks, and what is known of each write.

Each name is loaded when it is first used: importing this module costs little beside Dagster itself.
"""

from typing import TYPE_CHECKING, Final

from metaxy import _lazy
from metaxy.ext.dagster.constants import (
    DAGSTER_METAXY_FEATURE_METADATA_KEY,
    DAGSTER_METAXY_INFO_METADATA_KEY,
    DAGSTER_METAXY_KIND,
    DAGSTER_METAXY_PARTITION_KEY,
    DAGSTER_METAXY_PROJECT_TAG_KEY,
    METAXY_DAGSTER_METADATA_KEY,
)

if TYPE_CHECKING:
    from metaxy.ext.dagster.assets import metaxify as metaxify
    from metaxy.ext.dagster.automation import automation_sensor as automation_sensor
    from metaxy.ext.dagster.automation import has_changes as has_changes
    from metaxy.ext.dagster.checks import build_in_sync_checks as build_in_sync_checks
    from metaxy.ext.dagster.checks import build_row_error_checks as build_row_error_checks
    from metaxy.ext.dagster.columns import build_column_lineage as build_column_lineage
    from metaxy.ext.dagster.columns import build_column_schema as build_column_schema
    from metaxy.ext.dagster.component import MetaxyComponent as MetaxyComponent
    from metaxy.ext.dagster.computing import assets_from_functions as assets_from_functions
    from metaxy.ext.dagster.computing import computes as computes
    from metaxy.ext.dagster.deployments import store_of_deployment as store_of_deployment
    from metaxy.ext.dagster.event_metadata import FeatureStats as FeatureStats
    from metaxy.ext.dagster.event_metadata import compute_feature_stats as compute_feature_stats
    from metaxy.ext.dagster.event_metadata import compute_stats_from_lazy_frame as compute_stats_from_lazy_frame
    from metaxy.ext.dagster.events import generate_materialize_results as generate_materialize_results
    from metaxy.ext.dagster.events import generate_observe_results as generate_observe_results
    from metaxy.ext.dagster.incremental import AssetIncrement as AssetIncrement
    from metaxy.ext.dagster.incremental import IncrementalMetaxyIOManager as IncrementalMetaxyIOManager
    from metaxy.ext.dagster.io_manager import MetaxyIOManager as MetaxyIOManager
    from metaxy.ext.dagster.io_manager import MetaxyOutput as MetaxyOutput
    from metaxy.ext.dagster.observation import observable_metaxy_asset as observable_metaxy_asset
    from metaxy.ext.dagster.observation_jobs import (
        build_metaxy_multi_observation_job as build_metaxy_multi_observation_job,
    )
    from metaxy.ext.dagster.observation_jobs import build_metaxy_observation_job as build_metaxy_observation_job
    from metaxy.ext.dagster.ops import copy as copy
    from metaxy.ext.dagster.ops import delete as delete
    from metaxy.ext.dagster.ops import optimize as optimize
    from metaxy.ext.dagster.ops import rebase as rebase
    from metaxy.ext.dagster.partitions import build_partition_filter as build_partition_filter
    from metaxy.ext.dagster.partitions import get_partition_filter as get_partition_filter
    from metaxy.ext.dagster.previews import build_table_preview_metadata as build_table_preview_metadata
    from metaxy.ext.dagster.resources import MetaxyStoreFromConfigResource as MetaxyStoreFromConfigResource
    from metaxy.ext.dagster.selecting import select_metaxy_assets as select_metaxy_assets
    from metaxy.ext.dagster.types import feature_to_dagster_type as feature_to_dagster_type
    from metaxy.ext.dagster.validating import validate_definitions as validate_definitions

__all__ = [
    "DAGSTER_METAXY_FEATURE_METADATA_KEY",
    "DAGSTER_METAXY_INFO_METADATA_KEY",
    "DAGSTER_METAXY_KIND",
    "DAGSTER_METAXY_PARTITION_KEY",
    "DAGSTER_METAXY_PROJECT_TAG_KEY",
    "METAXY_DAGSTER_METADATA_KEY",
    "AssetIncrement",
    "FeatureStats",
    "IncrementalMetaxyIOManager",
    "MetaxyComponent",
    "MetaxyIOManager",
    "MetaxyOutput",
    "MetaxyStoreFromConfigResource",
    "assets_from_functions",
    "automation_sensor",
    "build_column_lineage",
    "build_column_schema",
    "build_in_sync_checks",
    "build_metaxy_multi_observation_job",
    "build_metaxy_observation_job",
    "build_partition_filter",
    "build_row_error_checks",
    "build_table_preview_metadata",
    "compute_feature_stats",
    "compute_stats_from_lazy_frame",
    "computes",
    "copy",
    "delete",
    "feature_to_dagster_type",
    "generate_materialize_results",
    "generate_observe_results",
    "get_partition_filter",
    "has_changes",
    "metaxify",
    "observable_metaxy_asset",
    "optimize",
    "rebase",
    "select_metaxy_assets",
    "store_of_deployment",
    "validate_definitions",
]
_HOMES: Final[dict[str, str]] = {
    "AssetIncrement": "metaxy.ext.dagster.incremental",
    "FeatureStats": "metaxy.ext.dagster.event_metadata",
    "IncrementalMetaxyIOManager": "metaxy.ext.dagster.incremental",
    "MetaxyComponent": "metaxy.ext.dagster.component",
    "MetaxyIOManager": "metaxy.ext.dagster.io_manager",
    "MetaxyOutput": "metaxy.ext.dagster.io_manager",
    "MetaxyStoreFromConfigResource": "metaxy.ext.dagster.resources",
    "assets_from_functions": "metaxy.ext.dagster.computing",
    "automation_sensor": "metaxy.ext.dagster.automation",
    "build_column_lineage": "metaxy.ext.dagster.columns",
    "build_column_schema": "metaxy.ext.dagster.columns",
    "build_in_sync_checks": "metaxy.ext.dagster.checks",
    "build_metaxy_multi_observation_job": "metaxy.ext.dagster.observation_jobs",
    "build_metaxy_observation_job": "metaxy.ext.dagster.observation_jobs",
    "build_partition_filter": "metaxy.ext.dagster.partitions",
    "build_row_error_checks": "metaxy.ext.dagster.checks",
    "build_table_preview_metadata": "metaxy.ext.dagster.previews",
    "compute_feature_stats": "metaxy.ext.dagster.event_metadata",
    "compute_stats_from_lazy_frame": "metaxy.ext.dagster.event_metadata",
    "computes": "metaxy.ext.dagster.computing",
    "copy": "metaxy.ext.dagster.ops",
    "delete": "metaxy.ext.dagster.ops",
    "feature_to_dagster_type": "metaxy.ext.dagster.types",
    "generate_materialize_results": "metaxy.ext.dagster.events",
    "generate_observe_results": "metaxy.ext.dagster.events",
    "get_partition_filter": "metaxy.ext.dagster.partitions",
    "has_changes": "metaxy.ext.dagster.automation",
    "metaxify": "metaxy.ext.dagster.assets",
    "observable_metaxy_asset": "metaxy.ext.dagster.observation",
    "optimize": "metaxy.ext.dagster.ops",
    "rebase": "metaxy.ext.dagster.ops",
    "select_metaxy_assets": "metaxy.ext.dagster.selecting",
    "store_of_deployment": "metaxy.ext.dagster.deployments",
    "validate_definitions": "metaxy.ext.dagster.validating",
}

if not TYPE_CHECKING:  # type checkers would take any name for a public one
    __getattr__, __dir__ = _lazy.attributes(__name__, _HOMES)
