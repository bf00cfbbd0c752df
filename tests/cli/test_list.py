import json

import pytest
from tests.cli.conftest import FEATURES

from metaxy.testing import TempMetaxyProject

OTHER = FEATURES.replace("video/", "other/").replace("    id: str", '    __metaxy_project__ = "other"\n    id: str')


def test_features_are_a_table(project: TempMetaxyProject) -> None:
    versions = {str(key): project.graph.get_feature_version(key) for key in project.graph.list_features()}
    result = project.run_cli(["list", "features"])
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0] == ["vision"]
    assert lines[1] == ["Feature", "Version", "Source"]
    assert ["video/raw", versions["video/raw"], "vision.features.Video"] in lines
    assert ["video/crop", versions["video/crop"], "vision.features.Crop"] in lines
    assert result.stdout.splitlines()[-1] == "Total: 2 feature(s) (1 root, 1 dependent)"
    assert result.stderr == ""
    assert project.run_cli(["list", "feature"]).stdout == result.stdout


def test_features_with_fields(project: TempMetaxyProject) -> None:
    out = project.run_cli(["list", "features", "-v"]).stdout
    assert "video/crop (vision) vision.features.Crop" in out
    assert "video/raw.frames" in out
    version = project.graph.get_feature_version_by_field("video/crop")["frames"]
    assert f"{version[:12]}..." in out


def test_features_as_json(project: TempMetaxyProject) -> None:
    listed = json.loads(project.run_cli(["list", "features", "--format", "json"]).stdout)
    assert listed["feature_count"] == 2
    crop = listed["features"][1]
    assert list(crop) == ["key", "version", "is_root", "is_external", "project", "source", "field_count", "fields"]
    assert (crop["key"], crop["is_root"], crop["is_external"], crop["project"]) == (
        "video/crop",
        False,
        False,
        "vision",
    )
    assert crop["fields"][0].keys() == {"key", "code_version", "version"}
    verbose = json.loads(project.run_cli(["list", "features", "-f", "json", "--verbose"]).stdout)["features"][1]
    assert verbose["deps"] == ["video/raw"]
    assert verbose["fields"][0]["deps"] == [{"feature": "video/raw", "fields": ["frames"]}]


def test_features_of_other_projects_are_mentioned_and_shown_on_demand(project: TempMetaxyProject) -> None:
    project.with_features(OTHER, "others")
    assert "other/" not in project.run_cli(["list", "features"]).stdout
    assert "Total: 4" in project.run_cli(["list", "features", "--all-projects"]).stdout
    assert "video/" not in project.run_cli(["--project", "other", "list", "features"]).stdout
    nothing = project.run_cli(["list", "features", "--project", "third"])
    assert nothing.stdout == ""
    assert "2 in project other, 2 in project vision" in nothing.stderr


def test_missing_parents_are_all_named(project: TempMetaxyProject) -> None:
    project.with_features(
        """
        import metaxy as mx
        class A(mx.BaseFeature, spec=mx.FeatureSpec(key="a", id_columns=["id"], deps=["x", "y"])):
            id: str
        """
    )
    result = project.run_cli(["list", "features"], check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "x (needed by a); y (needed by a)" in result.stderr
    assert "mx lock" in result.stderr


def test_stores(project: TempMetaxyProject) -> None:
    out = project.run_cli(["list", "stores"]).stdout
    assert "dev (default)" in out
    assert "DuckDBMetadataStore(database=" in out
    assert out.endswith("Total: 1 store(s)\n")


STORES: dict[str, dict[str, object]] = {
    "b": {"type": "metaxy.ext.delta.DeltaMetadataStore", "root_path": "b", "fallback_stores": ["a"]},
    "a": {"type": "metaxy.ext.delta.DeltaMetadataStore", "root_path": "a"},
    "wrong": {"type": "metaxy.ext.nosuch.Store"},
}


def test_default_store_comes_first_and_a_broken_one_spoils_nothing(project: TempMetaxyProject) -> None:
    project = TempMetaxyProject(project.path, stores=STORES, store="b")
    listed = json.loads(project.run_cli(["list", "store", "--format=json"]).stdout)
    assert (listed["default_store"], listed["store_count"]) == ("b", 3)
    assert [(store["name"], store["is_default"], store["fallbacks"]) for store in listed["stores"]] == [
        ("b", True, ["a"]),
        ("a", False, []),
        ("wrong", False, []),
    ]
    assert "nosuch" in listed["stores"][2]["error"]
    assert "nosuch" in project.run_cli(["list", "stores"]).stdout


def test_no_stores(project: TempMetaxyProject) -> None:
    result = TempMetaxyProject(project.path, stores={}).run_cli(["list", "stores"])
    assert (result.stdout, result.stderr) == ("", "No stores configured.\n")


@pytest.mark.parametrize("command", [["list", "stores"], ["history"], ["list"]])
def test_user_code_is_only_imported_where_it_is_needed(project: TempMetaxyProject, command: list[str]) -> None:
    project.with_features("raise RuntimeError('imported')")
    assert project.run_cli(command).returncode == 0
    assert "imported" in project.run_cli(["list", "features"], check=False).stderr
