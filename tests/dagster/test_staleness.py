"""What Dagster says is stale, and what deployments of branches compute."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from tests.dagster.conftest import configuration
from tests.dagster.test_computing import counts, resources
from tests.factory import define, rows, values

import dagster as dg
from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig
from metaxy.ext import dagster as mxd
from metaxy.service.project import Project


def pipeline(found: Callable[[], pl.DataFrame], code_version: str = "1") -> list[dg.AssetsDefinition]:
    """Define features as one version of the code has them, with their assets."""
    define("video")
    define("clip", "video", fields=[{"key": "default", "code_version": code_version}])

    @mxd.computes("video", samples=found)
    def video(row: dict[str, Any]) -> dict[str, Any]:
        return {"n": row["n"]}

    @mxd.computes("clip")
    def clip(row: dict[str, Any]) -> dict[str, Any]:
        return {"m": f"{code_version} of {row['n']}"}

    return [video, clip]


def statuses(assets: list[dg.AssetsDefinition], instance: dg.DagsterInstance, store: dict[str, Any]) -> dict[str, str]:
    graph = dg.Definitions(assets, resources=store).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return {asset.key.to_user_string(): resolver.get_status(asset.key).value for asset in assets}


def test_dagster_knows_what_is_stale(project: Project, instance: dg.DagsterInstance) -> None:
    found = rows(id=["a", "b"], n=[1, 2])
    assets = pipeline(lambda: found)
    store = resources(project)

    def materialize(*chosen: dg.AssetsDefinition) -> dict[str, str]:
        dg.materialize(list(chosen), instance=instance, resources=store)
        return statuses(assets, instance, store)

    assert statuses(assets, instance, store) == {"video": "MISSING", "clip": "MISSING"}
    assert materialize(*assets) == {"video": "FRESH", "clip": "FRESH"}
    assert materialize(assets[0]) == {"video": "FRESH", "clip": "FRESH"}  # nothing was to do, so nothing changed
    found = rows(["2", "1"], id=["a", "b"], n=[3, 2])
    assert materialize(assets[0]) == {"video": "FRESH", "clip": "STALE"}
    assert materialize(assets[1]) == {"video": "FRESH", "clip": "FRESH"}
    assets = pipeline(lambda: found, code_version="2")
    assert statuses(assets, instance, store) == {"video": "FRESH", "clip": "STALE"}
    assert materialize(assets[1]) == {"video": "FRESH", "clip": "FRESH"}


@pytest.mark.parametrize("kind", ["duckdb", "delta"])
def test_branches_compute_what_they_change_over_production(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in ("prod", "branch"):
        (tmp_path / name).mkdir()
    config = configuration(tmp_path / "prod", kind)
    [prod] = config.stores.values()
    [branch] = configuration(tmp_path / "branch", kind).stores.values()
    branch.config.update(fallback_stores=["prod"], fallback="rows")
    MetaxyConfig.set(MetaxyConfig(project=config.project, store="prod", stores={"prod": prod, "branch": branch}))

    def deploy(code_version: str) -> tuple[dg.ExecuteInProcessResult, Project]:
        """Run what the code of a deployment has, as a process of its own does."""
        with FeatureGraph().use():
            project = Project.loaded()
            assets = pipeline(lambda: rows(id=["a", "b"], n=[1, 2]), code_version)
            checks = mxd.build_in_sync_checks(assets)
            store = mxd.MetaxyStoreFromConfigResource(name=mxd.store_of_deployment("prod", branch="branch"))
            return dg.materialize([*assets, *checks], instance=instance, resources={"store": store}), project

    first, project = deploy("1")
    assert counts(first, "clip") == [2, 0, 0, 2, 0]
    monkeypatch.setenv("DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT", "1")
    changed, changed_project = deploy("2")
    assert (counts(changed, "video"), counts(changed, "clip")) == ([0, 0, 0, 0, 0], [2, 0, 0, 2, 0])
    assert all(each.passed for each in changed.get_asset_check_evaluations())
    [row_count] = [e.metadata["dagster/row_count"].value for e in changed.asset_materializations_for_node("clip")]
    assert row_count == 2
    with changed_project.active(), changed_project.store("branch") as store:
        assert values(store.read("clip"), "id", "m") == [("a", "2 of 1"), ("b", "2 of 2")]
    with project.active(), project.store("prod") as store:
        assert values(store.read("clip"), "id", "m") == [("a", "1 of 1"), ("b", "1 of 2")]
        assert not store.resolve_update("clip").counts["stale"]
