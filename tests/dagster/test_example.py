"""examples/dagster runs: in this process, and in a browser."""

import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.docs.test_pages import ROOT
from tests.services import browser
from tests.services.dagster_webserver import variables, webserver

import dagster as dg
from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig

pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")  # Dagster reads YAML so


class Example:
    """A copy of the example, with its definitions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = runpy.run_path(str(folder / "record.py"))
        self.record["record_all"]()
        self.defs = dg.load_from_defs_folder(path_within_project=folder)

    def run(self, instance: dg.DagsterInstance, *keys: str, **options: Any) -> dg.ExecuteInProcessResult:
        job = self.defs.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey.from_user_string(key) for key in keys]
        return job.execute_in_process(instance=instance, asset_selection=selection, **options)

    def everything(self, instance: dg.DagsterInstance) -> None:
        days = {"dagster/asset_partition_range_start": "2026-11-01", "dagster/asset_partition_range_end": "2026-11-03"}
        assert self.run(instance, "recording").success
        assert self.run(instance, "recording/loudness", tags=days).success
        assert self.run(instance, "speaker").success

    def read(self, feature: str, *columns: str) -> list[tuple[Any, ...]]:
        with MetaxyConfig.load(self.folder / "metaxy.toml").get_store() as store:
            return sorted(store.read(feature, columns=list(columns)).collect().select(columns).rows())


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    ignored = shutil.ignore_patterns("recordings", "__pycache__", "*.duckdb")
    folder = shutil.copytree(ROOT / "examples" / "dagster", tmp_path / "example", ignore=ignored)
    before = set(sys.modules)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with FeatureGraph().use(), MetaxyConfig().use():
        yield Example(folder)
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("calls", "features", "pipeline"):
            del sys.modules[name]


def computed(run: dg.ExecuteInProcessResult, node: str) -> list[Any]:
    return [event.metadata["metaxy/computed"].value for event in run.asset_materializations_for_node(node)]


def test_only_what_changed_is_computed(example: Example, instance: dg.DagsterInstance) -> None:
    assert computed(example.run(instance, "recording"), "recording") == [9]
    first = example.run(instance, "recording/loudness", partition_key="2026-11-01")
    assert computed(first, "recording__loudness") == [3]
    assert {day for (day,) in example.read("recording/loudness", "day")} == {date(2026, 11, 1)}
    example.everything(instance)
    assert example.read("speaker", "speaker", "calls", "loudest") == [
        ("ann", 3, 6500),
        ("bob", 3, 7000),
        ("cleo", 3, 7500),
    ]
    example.record["record"](example.folder / "recordings" / "2026-11-02" / "bob.wav", 30000)
    assert computed(example.run(instance, "recording"), "recording") == [1]
    other, same = (
        example.run(instance, "recording/loudness", partition_key=day) for day in ("2026-11-03", "2026-11-02")
    )
    assert (computed(other, "recording__loudness"), computed(same, "recording__loudness")) == ([0], [1])
    assert computed(example.run(instance, "speaker"), "speaker") == [1]
    assert example.read("speaker", "speaker", "loudest")[1] == ("bob", 30000)


@pytest.mark.slow
def test_in_a_browser(example: Example, tmp_path: Path) -> None:
    """What people see of it; the pictures are kept where METAXY_TEST_PICTURES says."""
    if browser.program() is None:
        pytest.skip("NOT RUN: there is no Chromium, and none can be installed here")
    pictures, home = Path(os.environ.get("METAXY_TEST_PICTURES", tmp_path / "pictures")), tmp_path / "home"
    variables(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        example.everything(instance)
    size = {"width": 1440, "height": 3200}
    with webserver(example.folder, home) as address, browser.page(tmp_path / "browser", **size) as page:
        shown = page.open(f"{address}/assets/recording/loudness", "metaxy/info", "Latest check results", "Row count")
        page.picture(pictures / "dagster-asset.png")
        for text in ("Read a file, and say how far it swings.", "metaxy/project: calls", "Metaxy", "how long it is"):
            assert text in shown
        assert counts(shown) == {"new": "9", "stale": "0", "orphaned": "0", "computed": "9", "failed": "0"}
        assert shown.split("Row count\n")[1].split()[0] == "9"
        assert shown.index("metaxy/computed") < shown.index("dagster/table") < shown.index("metaxy/info")
        upstream, downstream = shown.split("Upstream assets")[1].split("Downstream assets")
        assert (upstream.split()[0], downstream.split()[0]) == ("recording", "speaker")
        graph = page.open(f"{address}/asset-groups", "100% filled", "Materialized")
        page.picture(pictures / "dagster-graph.png")
        assert [graph.count(text) for text in ("Latest event", "Metaxy", "Materialized", "3 partitions")] == [
            3,
            3,
            2,
            1,
        ]


def counts(shown: str) -> dict[str, str]:
    """Return the counts that the page of an asset shows: a key, a time, a value, each in lines of its own."""
    names = ("new", "stale", "orphaned", "computed", "failed")
    return {name: shown.split(f"metaxy/{name}\n")[1].split("\n\n")[0].split()[-1] for name in names}
