import os
import sys
from pathlib import Path

import pytest
from tests.factory import ids, rows

import metaxy as mx
from metaxy import context
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import EntrypointLoadError
from metaxy.testing import TempMetaxyProject

TEXT = """
    import metaxy as mx

    class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])):
        id: str
"""


def video() -> None:
    import metaxy as mx

    class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])):
        id: str


def speech() -> None:
    import metaxy as mx

    class Speech(mx.BaseFeature, spec=mx.FeatureSpec(key="speech", id_columns=["id"], deps=["video"])):
        """Multi-line
        text stays as it is."""

        id: str


def state() -> list[object]:
    return [
        *(dict(os.environ), Path.cwd(), list(sys.path), sys.dont_write_bytecode, list(mx.graph.list_features())),
        *(context.active_settings(), context.active_graph(), "test_project" in sys.modules),
    ]


@pytest.mark.parametrize("code", [video, TEXT])
def test_features_come_from_functions_or_text(metaxy_project: TempMetaxyProject, code: str) -> None:
    before = state()
    graph = metaxy_project.with_features(code).graph
    definition = graph.get_feature_definition("video")
    assert (str(definition.key), definition.project) == ("video", "test_project")
    assert state() == before


def test_modules_add_up(metaxy_project: TempMetaxyProject) -> None:
    metaxy_project.with_features(video).with_features(speech, "more.speech")
    assert list(map(str, metaxy_project.graph.list_features())) == ["video", "speech"]
    assert metaxy_project.config.entrypoints == ["test_project.features", "test_project.more.speech"]


def test_names_of_projects_need_not_be_names_of_packages(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path, video, project="my-shop")
    assert project.config.entrypoints == ["my_shop.features"]
    assert list(map(str, project.graph.list_features("my-shop"))) == ["video"]


def test_an_edit_shows_in_the_next_graph(metaxy_project: TempMetaxyProject) -> None:
    def version(code: str) -> str:
        return metaxy_project.with_features(code).graph.get_feature_version("video")

    old = version(TEXT)
    assert version(TEXT.replace('id_columns=["id"]', 'id_columns=["id"], fields=["audio"]')) != old
    assert version(TEXT) == old


def test_projects_do_not_meet(tmp_path: Path) -> None:
    one = TempMetaxyProject(tmp_path / "one", video, project="one")
    two = TempMetaxyProject(tmp_path / "two", TEXT.replace("video", "image"), project="two")
    with one.use(), one.store().open("w") as store:
        store.write("video", rows(id=["a"]))
    with two.use() as graph, two.store().open("w") as store:
        assert [str(key) for key in graph.list_features()] == ["image"]
        assert not store.has_feature("image")


def test_settings_reach_the_file(tmp_path: Path) -> None:
    stores = {"lake": {"type": "metaxy.ext.delta.DeltaMetadataStore", "root_path": tmp_path / "lake"}}
    project = TempMetaxyProject(tmp_path, stores=stores, store="lake", hash_truncation_length=8)
    assert MetaxyConfig._from_values({}).hash_truncation_length != project.config.hash_truncation_length == 8
    assert project.config.config_file == tmp_path / "metaxy.toml"
    assert project.store().display() == f"DeltaMetadataStore(path={tmp_path / 'lake'})"


def test_the_environment_plays_no_part(metaxy_project: TempMetaxyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_PROJECT", "other")
    monkeypatch.setenv("METAXY_CONFIG", "missing.toml")
    assert metaxy_project.config.project == "test_project"


def test_store_works_on_the_features(metaxy_project: TempMetaxyProject) -> None:
    metaxy_project.with_features(video).with_features(speech, "speech")
    with metaxy_project.use(), metaxy_project.store().open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        assert ids(store.resolve_update("speech")) == (["a", "b"], [], [])


def test_broken_code_is_named(metaxy_project: TempMetaxyProject) -> None:
    before = state()
    with pytest.raises(EntrypointLoadError, match=r"features\.py:1: ZeroDivisionError"):
        _ = metaxy_project.with_features("1 / 0").graph
    assert state() == before


def test_what_is_no_function_is_refused(metaxy_project: TempMetaxyProject) -> None:
    with pytest.raises(TypeError, match="made by def"):
        metaxy_project.with_features(lambda: None)


# -- command line ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subprocess", [False, True])
def test_commands_run_in_the_folder(metaxy_project: TempMetaxyProject, *, subprocess: bool) -> None:
    (metaxy_project.path / ".env").write_text("METAXY_DEBUG=1\n", encoding="utf-8")
    before = state()
    result = metaxy_project.run_cli(["--version"], subprocess=subprocess)
    assert (result.args, result.returncode, result.stdout) == (("--version",), 0, f"{mx.__version__}\n")
    failed = metaxy_project.run_cli(["demmo"], check=False, subprocess=subprocess)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "demo" in failed.stderr
    assert state() == before


def test_a_command_that_fails_raises(metaxy_project: TempMetaxyProject) -> None:
    with pytest.raises(AssertionError, match=r"mx demmo returned 2:\nError: unknown command 'demmo'"):
        metaxy_project.run_cli(["demmo"])


def test_commands_see_variables(metaxy_project: TempMetaxyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_CONFIG_FILE", "missing.toml")
    assert metaxy_project.run_cli(["--version"]).returncode == 0
    result = metaxy_project.run_cli(["demo", "x"], check=False, env={"METAXY_CONFIG_FILE": "wanted.toml"})
    assert "wanted.toml" in result.stderr


def test_an_active_settingsuration_survives(metaxy_project: TempMetaxyProject) -> None:
    mine = MetaxyConfig(project="mine")
    MetaxyConfig.set(mine)
    try:
        metaxy_project.run_cli(["--version"])
        assert metaxy_project.config.project == "test_project"
        assert context.active_settings() is mine
    finally:
        MetaxyConfig.reset()


def test_graphs_are_facades(metaxy_project: TempMetaxyProject) -> None:
    assert type(metaxy_project.graph) is FeatureGraph
