"""What the fixtures give to tests; and that they work as a plugin, outside of this project."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from tests.factory import define, ids, rows

import metaxy as mx
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.store.store import MetadataStore


def test_configuration_is_active(metaxy_config: MetaxyConfig, tmp_path: Path) -> None:
    assert MetaxyConfig.get() is metaxy_config
    assert metaxy_config.get_store().display() == f"DuckDBMetadataStore(database={tmp_path / 'store.duckdb'})"


def test_graph_is_active_and_empty(metaxy_graph: FeatureGraph) -> None:
    assert current_graph() is metaxy_graph is not mx.graph
    assert metaxy_graph.list_features() == []


def test_store_is_open_for_writing(metaxy_store: MetadataStore, metaxy_graph: FeatureGraph) -> None:
    define("video")
    define("speech", "video")
    metaxy_store.write("video", rows(id=["a"]))
    assert ids(metaxy_store.resolve_update("speech")) == (["a"], [], [])


def test_users_choose_the_store_by_the_configuration(tmp_path: Path) -> None:
    files = {
        "conftest.py": """
            import pytest
            from metaxy import MetaxyConfig

            pytest_plugins = ["metaxy.testing.fixtures"]

            @pytest.fixture
            def metaxy_config(tmp_path):
                lake = {"type": "metaxy.ext.delta.DeltaMetadataStore", "root_path": tmp_path / "lake"}
                return MetaxyConfig(hash_truncation_length=8, stores={"dev": lake})
        """,
        "test_mine.py": """
            import metaxy as mx

            def test_mine(metaxy_graph, metaxy_store, tmp_path):
                class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])):
                    id: str

                assert metaxy_store.display() == f"DeltaMetadataStore(path={tmp_path / 'lake'})"
                assert Video.graph is metaxy_graph
                assert len(metaxy_graph.get_feature_version("video")) == 8
        """,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(dedent(text), encoding="utf-8")
    arguments = ["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("package", ["pytest", "hypothesis"])
def test_the_package_itself_needs_no_test_packages(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import metaxy.testing; metaxy.testing.TempMetaxyProject"
    subprocess.run([sys.executable, "-c", code], check=True)
