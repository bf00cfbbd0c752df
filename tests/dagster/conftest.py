"""What a code location of Dagster has loaded: features, and a configuration whose default store is real."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.factory import PROJECT
from tests.stores import postgresql_database, postgresql_schema

from dagster import AssetSelection, DagsterInstance, Definitions, ExecuteInProcessResult, define_asset_job
from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig
from metaxy.service.project import Project


def configuration(folder: Path, name: str = "duckdb") -> MetaxyConfig:
    """Return a configuration with one store, in a folder."""
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "duckdb": ("metaxy.ext.duckdb.DuckDBMetadataStore", {"database": str(folder / "store.duckdb")}),
        "delta": ("metaxy.ext.delta.DeltaMetadataStore", {"root_path": str(folder / "delta")}),
        "postgresql": ("metaxy.ext.postgresql.PostgreSQLMetadataStore", {}),
    }
    kind, config = kinds[name]
    if name == "postgresql":
        config = {"connection_params": {**postgresql_database(), "schema": postgresql_schema(folder)}}
    if name != "delta":
        config["auto_create_tables"] = True
    return MetaxyConfig(project=PROJECT, store="dev", stores={"dev": {"type": kind, "config": config}})


def loaded(folder: Path, name: str) -> Iterator[Project]:
    MetaxyConfig.set(configuration(folder, name))
    with FeatureGraph().use():
        yield Project.loaded()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """No features yet, and DuckDB."""
    yield from loaded(tmp_path, "duckdb")


@pytest.fixture(params=["duckdb", "delta", "postgresql"])
def project_on_each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """No features yet, and an embedded database, a lake or a server."""
    yield from loaded(tmp_path, request.param)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance of Dagster in memory."""
    with DagsterInstance.ephemeral() as instance:
        yield instance


def observe_all(
    assets: Sequence[Any], instance: DagsterInstance, resources: Mapping[str, Any] | None = None
) -> ExecuteInProcessResult:
    """Observe assets that something else makes."""
    keys = [key for asset in assets for key in getattr(asset, "keys", None) or [asset.key]]
    job = define_asset_job("observe", selection=AssetSelection.assets(*keys))
    definitions = Definitions(assets=assets, jobs=[job], resources=resources)
    return definitions.resolve_job_def("observe").execute_in_process(instance=instance)
