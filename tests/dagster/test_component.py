"""`MetaxyComponent`: a project as assets, as a YAML file says. Here in this process; test_dg.py has `dg` load it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import ValidationError

import dagster as dg
from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig
from metaxy.errors import ConfigFileNotFoundError, InvalidConfigError, MetaxyError
from metaxy.ext import dagster as mxd

pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")  # Dagster reads YAML so

CONFIG = """
project = "media"
entrypoints = ["media_features"]
store = "dev"
auto_create_tables = true

[stores.dev]
type = "metaxy.ext.duckdb.DuckDBMetadataStore"
database = "{folder}/dev.duckdb"

[stores.prod]
type = "metaxy.ext.duckdb.DuckDBMetadataStore"
database = "{folder}/prod.duckdb"
"""
FEATURES = """
import polars as pl

import metaxy as mx

__metaxy_project__ = "media"
GROUPED = {"dagster/attributes": {"group_name": "people"}}


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=["frames"])): ...
class Faces(
    mx.BaseFeature, spec=mx.FeatureSpec(key="video/faces", id_columns=["id"], deps=[Video], metadata=GROUPED)
): ...
class Speech(mx.BaseFeature, spec=mx.FeatureSpec(key="video/speech", id_columns=["id"], deps=[Video])): ...
class Story(mx.BaseFeature, spec=mx.FeatureSpec(key="story", id_columns=["id"], deps=[Faces, Speech])): ...


@mx.computes(Video)
def find() -> pl.DataFrame:
    return pl.DataFrame({"id": ["a", "b"], "metaxy_provenance_by_field": [{"frames": "1"}, {"frames": "1"}]})


@mx.computes(Faces)
def count(row: dict) -> dict:
    return {"faces": 2}


def listen(row: dict) -> dict:
    return {"words": 3}


NOTHING = 1
"""

Load = Callable[[str], dg.Definitions]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Load a component, of attributes as YAML, in the folder of a project."""
    (tmp_path / "metaxy.toml").write_text(CONFIG.format(folder=tmp_path.as_posix()), encoding="utf-8")
    (tmp_path / "media_features.py").write_text(FEATURES, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(attributes: str) -> dg.Definitions:
        text = f"project: {tmp_path.as_posix()}\n{dedent(attributes)}"
        return dg.build_defs_for_component(mxd.MetaxyComponent.resolve_from_yaml(text))

    with FeatureGraph().use(), MetaxyConfig().use():
        yield load
    sys.modules.pop("media_features", None)


def assets(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    specs = defs.resolve_all_asset_specs()  # also those that others only depend on
    return {spec.key.to_user_string(): spec for spec in specs if "metaxy/feature" in spec.metadata}


def computed(defs: dg.Definitions) -> set[str]:
    graph = defs.resolve_asset_graph()
    return {key.to_user_string() for key in graph.materializable_asset_keys}


def test_features_are_assets(load: Load, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    defs = load("functions: {video/speech: media_features:listen}\nkey_prefix: [eu, lab]\ngroup_name: media")
    found = assets(defs)
    assert set(found) == {"eu/lab/video", "eu/lab/video/faces", "eu/lab/video/speech", "eu/lab/story"}
    assert computed(defs) == {"eu/lab/video", "eu/lab/video/faces", "eu/lab/video/speech"}
    assert [dep.asset_key.to_user_string() for dep in found["eu/lab/story"].deps] == [
        "eu/lab/video/faces",
        "eu/lab/video/speech",
    ]
    assert {key: spec.metadata["metaxy/feature"] for key, spec in found.items()} == {
        key: key.removeprefix("eu/lab/") for key in found
    }
    run = defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    assert run.success
    assert run.asset_observations_for_node("observation_of_eu__lab__story") == []  # nobody wrote it yet
    with MetaxyConfig.load(tmp_path / "metaxy.toml").get_store("dev").open("w") as store:
        store.write("story", store.resolve_update("story").new)
    again = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey(["eu", "lab", "story"])]
    )
    [seen] = again.asset_observations_for_node("observation_of_eu__lab__story")
    assert seen.metadata["dagster/row_count"].value == 2
    with MetaxyConfig.load(tmp_path / "metaxy.toml").get_store() as store:
        words = store.read("video/speech").collect()
    assert words["words"].to_list() == [3, 3]
    assert set(words["metaxy_materialization_id"]) == {run.run_id}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", "video video/faces video/speech story"),
        ("features: video/*", "video/faces video/speech"),
        ("features: ['*eech', video]", "video video/speech"),
        ("features: [video/faces]\nup: 1", "video video/faces"),
        ("features: [video]\ndown: 1", "video video/faces video/speech"),
    ],
)
def test_which_features(load: Load, attributes: str, expected: str) -> None:
    assert set(assets(load(attributes))) == set(expected.split())


def test_checks_and_automation(load: Load) -> None:
    defs = load("automation: true")
    checks = {check.to_user_string() for check in defs.resolve_asset_graph().asset_check_keys}
    assert checks == {
        *("video:in_sync", "video/faces:in_sync", "video/speech:in_sync", "story:in_sync"),
        *("video:no_row_errors", "video/faces:no_row_errors"),
    }
    [sensor] = defs.sensors or ()
    assert isinstance(sensor, dg.AutomationConditionSensorDefinition)
    assert sensor.name == "automation_of_video_and_1_more"
    automated = {key for key, spec in assets(defs).items() if spec.automation_condition}
    assert automated == {"video", "video/faces"}
    bare = load("checks: false\nfeatures: story")
    assert (bare.asset_checks, bare.sensors) == (None, None)


def test_components_of_a_project_share_what_it_loaded(load: Load) -> None:
    parts = [load("features: video"), load("features: video/*"), load("features: story\nstore: prod")]
    defs = dg.Definitions.merge(*parts)
    assert computed(defs) == {"video", "video/faces"}
    assert set(defs.resources or {}) == {"metaxy_media_dev", "metaxy_media_prod"}
    assert mxd.MetaxyComponent().checks  # as in Python, without YAML


@pytest.mark.parametrize(
    ("attributes", "kind", "message"),
    [
        (
            "features: video/face",
            MetaxyError,
            "no feature of project media matches 'video/face'. Did you mean 'video/f",
        ),
        ("features: []", InvalidConfigError, "features: names none; leave it out for all features of the project"),
        ("store: prud", InvalidConfigError, "no store 'prud'. Did you mean 'prod'"),
        ("functions: {vidoe: media_features:find}", InvalidConfigError, "no feature 'vidoe' .* Did you mean 'video'"),
        ("functions: {video: media_features.find}", InvalidConfigError, "not written as package.module:function"),
        (
            "functions: {video: media_fatures:find}",
            InvalidConfigError,
            "video: 'media_fatures:find' cannot be imported",
        ),
        ("functions: {video: media_features:fnd}", InvalidConfigError, "has no 'fnd'. Did you mean 'find'"),
        ("functions: {video: media_features:NOTHING}", InvalidConfigError, "is no function, but has the type int"),
        ("down: -1", InvalidConfigError, "down: -1 is no number of levels"),
        ("up: x", ValidationError, "up\\n *Input should be a valid integer"),
        ("features: 3", ValidationError, "features"),
        ("feature: video", ValidationError, "feature"),
    ],
)
def test_wrong_values(load: Load, attributes: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        load(attributes)
    assert not isinstance(raised.value, MetaxyError) or "\n" not in str(raised.value)


def test_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileNotFoundError, match=r"no metaxy\.toml"):
        dg.build_defs_for_component(mxd.MetaxyComponent(project=tmp_path))
    with pytest.raises(ConfigFileNotFoundError, match=r"other\.toml"):
        dg.build_defs_for_component(mxd.MetaxyComponent(project=tmp_path / "other.toml"))
