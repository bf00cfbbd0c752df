"""Fixtures for pytest. Enable them in the topmost ``conftest.py``: ``pytest_plugins = ["metaxy.testing.fixtures"]``.

Define `metaxy_config` yourself to test with other settings or another store; the other fixtures follow.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.store.store import MetadataStore
from metaxy.testing.environment import env_override, no_metaxy_variables
from metaxy.testing.project import TempMetaxyProject


@pytest.fixture
def metaxy_config(tmp_path: Path) -> Iterator[MetaxyConfig]:
    """The active configuration: a DuckDB file in ``tmp_path`` as the store ``dev``."""
    store = {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(tmp_path / "store.duckdb")}
    with env_override(**no_metaxy_variables()):
        config = MetaxyConfig.model_validate({"auto_create_tables": True, "stores": {"dev": store}})
        with config.use():
            yield config


@pytest.fixture
def metaxy_graph(metaxy_config: MetaxyConfig) -> Iterator[FeatureGraph]:
    """An empty graph, for tests that define features themselves; without it, the default graph is active."""
    with metaxy_config.use(), FeatureGraph().use() as graph:
        yield graph


@pytest.fixture
def metaxy_store(metaxy_config: MetaxyConfig) -> Iterator[MetadataStore]:
    """The default store of `metaxy_config`, empty and open for writing."""
    with metaxy_config.use(), metaxy_config.get_store().open("w") as store:
        yield store


@pytest.fixture
def metaxy_project(tmp_path: Path) -> TempMetaxyProject:
    """A project without features in ``tmp_path / "project"``; add some by `TempMetaxyProject.with_features`."""
    return TempMetaxyProject(tmp_path / "project")
