import json

import pytest
from tests.cli.conftest import FEATURES

from metaxy.testing import TempMetaxyProject


def raise_version(project: TempMetaxyProject, version: str = "2") -> None:
    project.with_features(FEATURES.replace('code_version="1"', f'code_version="{version}"'))


def project_version(project: TempMetaxyProject) -> str:
    with project.use() as graph:
        return graph.get_project_version("vision")


def test_stdout_is_the_version_of_the_project(project: TempMetaxyProject) -> None:
    result = project.run_cli(["push"])
    assert result.stdout == project_version(project) + "\n"
    assert result.stderr == "✓ Recorded feature graph: 2 feature(s)\n"
    again = project.run_cli(["push", "dev"])
    assert (again.stdout, again.stderr) == (result.stdout, "✓ Snapshot already recorded (no changes)\n")


def test_code_that_only_moved_changes_nothing(project: TempMetaxyProject) -> None:
    project.run_cli(["push"])
    project.with_features("").with_features(FEATURES, "moved")
    result = project.run_cli(["push"])
    assert result.stderr.endswith("Snapshot already recorded (no changes)\n")


def test_dry_run_records_nothing(project: TempMetaxyProject) -> None:
    project.run_cli(["push"])
    raise_version(project)
    dry = project.run_cli(["push", "--dry-run"])
    assert dry.stdout == project_version(project) + "\n"
    assert dry.stderr == "Dry run: would record 2 feature(s)\n"
    assert len(json.loads(project.run_cli(["history", "--format", "json"]).stdout)) == 1


def test_tags(project: TempMetaxyProject) -> None:
    project.run_cli(["push", "--tags.git_commit", "abc", "-t.who", "me"])
    project.run_cli(["push", "--tags.ci", "yes"])
    [entry] = json.loads(project.run_cli(["history", "--format", "json"]).stdout)
    assert {name: value for name, value in entry["tags"].items() if name != "metaxy"} == {
        "git_commit": "abc",
        "who": "me",
        "ci": "yes",
    }
    reserved = project.run_cli(["push", "--tags.metaxy", "x"], check=False)
    assert (reserved.returncode, reserved.stdout) == (2, "")
    assert "'metaxy' is reserved" in reserved.stderr


def test_as_json(project: TempMetaxyProject) -> None:
    pushed = json.loads(project.run_cli(["push", "--format", "json"]).stdout)
    assert pushed["project_version"] == project_version(project)
    assert (pushed["project"], pushed["already_pushed"], pushed["dry_run"]) == ("vision", False, False)
    assert pushed["feature_versions"].keys() == {"video/raw", "video/crop"}


@pytest.mark.parametrize("options", [["--all-projects"], ["--project", "other"]])
def test_only_the_configured_project_is_pushed(project: TempMetaxyProject, options: list[str]) -> None:
    result = project.run_cli(["push", *options], check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert options[0] in result.stderr


@pytest.mark.parametrize("variable", ["METAXY_PROJECT"])
def test_the_configured_project_may_be_named(project: TempMetaxyProject, variable: str) -> None:
    assert project.run_cli(["push", "--project", "vision"]).returncode == 0
    assert project.run_cli(["push"], env={variable: "vision"}).returncode == 0


def test_a_project_without_features_cannot_be_pushed(project: TempMetaxyProject) -> None:
    project = TempMetaxyProject(project.path, project="empty")
    result = project.run_cli(["push"], check=False)
    assert result.returncode == 1
    assert "no features" in result.stderr


def test_history_has_an_entry_for_each_push(project: TempMetaxyProject) -> None:
    for version in ("1", "2", "1"):
        raise_version(project, version)
        project.run_cli(["push"])
    entries = json.loads(project.run_cli(["history", "--format", "json"]).stdout)
    assert [entry["feature_count"] for entry in entries] == [2, 2, 2]
    first = project_version(project)
    assert [entry["project_version"] == first for entry in entries] == [True, False, True]
    out = project.run_cli(["history"]).stdout
    heads = ["Project", "version", "Recorded", "At", "Feature", "Count", "Project", "Tags"]
    assert heads in [line.split() for line in out.splitlines()]
    assert out.endswith("Total snapshots: 3\n")
    assert len(json.loads(project.run_cli(["history", "--limit", "1", "-f", "json"]).stdout)) == 1
    assert project.run_cli(["history", "--limit", "-1"], check=False).returncode == 2


def test_history_of_a_feature(project: TempMetaxyProject) -> None:
    versions: list[str] = []
    for version in ("1", "2"):
        raise_version(project, version)
        project.run_cli(["push"])
        versions.insert(0, project.graph.get_feature_version("video/crop"))
    entries = json.loads(project.run_cli(["history", "--feature", "video/crop", "--format", "json"]).stdout)
    assert [entry["feature_version"] for entry in entries] == versions
    assert len(json.loads(project.run_cli(["history", "--feature", "video/raw", "--format", "json"]).stdout)) == 1


def test_no_history(project: TempMetaxyProject) -> None:
    result = project.run_cli(["history"])
    assert (result.stdout, result.stderr) == ("", "No graph snapshots recorded yet\n")
    assert json.loads(project.run_cli(["history", "-f", "json"]).stdout) == []
