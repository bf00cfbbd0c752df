"""Definitions that processes of Dagster import by themselves: two children of one parent, by day."""

import json
import os
import signal
from datetime import date
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
from tests.factory import define, rows

import dagster as dg
from metaxy.config import MetaxyConfig
from metaxy.ext import dagster as mxd
from metaxy.ext.dagster.incremental import AssetIncrement, IncrementalMetaxyIOManager

DAYS = dg.DailyPartitionsDefinition("2026-01-01")
CONFIGURATION = "CONFIGURATION_OF_TEST"
TERMINATED = "terminated"  # a file that says so
FEATURES = ("video", "clip", "thumb")


def defined() -> MetaxyConfig:
    """Load the configuration that a variable has, and define the features."""
    config = MetaxyConfig(**json.loads(os.environ[CONFIGURATION]))
    MetaxyConfig.set(config)
    define("video")
    define("clip", "video")
    define("thumb", "video")
    return config


def by_day(feature: str) -> dict[str, str]:
    """Return the metadata of the asset of a feature."""
    return {"metaxy/feature": feature, "partition_by": "day"}


def assets() -> dg.JobDefinition:
    """Return a job of three assets."""
    defined()

    @dg.asset(metadata=by_day("video"), partitions_def=DAYS)
    def video(context: dg.AssetExecutionContext) -> pl.DataFrame:
        days = [date.fromisoformat(key) for key in context.partition_keys]
        return rows(id=[f"{day:%d}" for day in days], day=days)

    def child(feature: str) -> dg.AssetsDefinition:
        @dg.asset(name=feature, metadata=by_day(feature), partitions_def=DAYS)
        def computed(video: AssetIncrement) -> dg.Output[Any]:
            return dg.Output(batch.with_columns(n=nw.lit(1)) for batch in video.batches())

        return computed

    resources = {"io_manager": IncrementalMetaxyIOManager()}
    definitions = dg.Definitions(
        [video, child("clip"), child("thumb")], jobs=[dg.define_asset_job("all")], resources=resources
    )
    return definitions.resolve_job_def("all")


def computing() -> dg.JobDefinition:
    """Return a job of two assets that functions compute, where the second may be terminated when it begins."""
    terminated = Path(defined().stores["dev"].config["database"]).with_name(TERMINATED)

    @mxd.computes("video", samples=rows(id=[f"{n}" for n in range(100)]))
    def video(row: dict[str, Any]) -> dict[str, Any]:
        return {"step": os.getpid()}

    @mxd.computes("clip", batch_size=1)
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        if terminated.exists():  # once, as the second time ends it at once
            terminated.unlink()
            os.kill(os.getpid(), signal.SIGTERM)
        return {"step": os.getpid()}

    resources = {"store": mxd.MetaxyStoreFromConfigResource()}
    definitions = dg.Definitions([video, clip], jobs=[dg.define_asset_job("all")], resources=resources)
    return definitions.resolve_job_def("all")
