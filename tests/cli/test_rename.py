"""Commands for features whose keys have changed, and for what is left of those that are no more."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import FEATURES
from tests.cli.test_metadata import fill, refused
from tests.factory import rows

from metaxy.testing import TempMetaxyProject


@pytest.fixture
def renamed(project: TempMetaxyProject, tmp_path: Path) -> TempMetaxyProject:
    """The project after its root got another key; the store still has three samples under the old one."""
    fill(project)
    return TempMetaxyProject(tmp_path, FEATURES.replace('"video/raw"', '"film/raw"'), project="vision")


def run(project: TempMetaxyProject, *arguments: str) -> Any:
    return json.loads(project.run_cli(["metadata", *arguments, "--format", "json"]).stdout)


def test_tables_of_former_features(renamed: TempMetaxyProject) -> None:
    [table] = run(renamed, "tables")["tables"]
    assert (table["feature"], table["rows"], table["feature_versions"]) == ("video/raw", 3, 1)
    assert "video/raw" in renamed.run_cli(["metadata", "tables", "list"]).stdout
    assert run(renamed, "tables", "show", "video/raw", "--filter", "id = 'b'") == [{"id": "b"}]
    assert "use `mx metadata show`" in refused(renamed, "tables", "show", "video/crop").stderr
    assert "Did you mean 'video/raw'" in refused(renamed, "tables", "drop", "video/row", "--yes").stderr
    assert "has no table of a former feature 'nope'" in refused(renamed, "tables", "drop", "nope").stderr
    assert "--yes" in refused(renamed, "tables", "drop", "video/raw").stderr
    assert "3 row(s) would go" in renamed.run_cli(["metadata", "tables", "drop", "video/raw", "--dry-run"]).stderr
    assert "3 row(s)" in renamed.run_cli(["metadata", "tables", "drop", "video/raw", "--yes"]).stdout
    assert "No tables of former features" in renamed.run_cli(["metadata", "tables"]).stderr


def test_rename(renamed: TempMetaxyProject) -> None:
    assert "neither" in refused(renamed, "rename", "video/raw", code=2).stderr
    assert "renamed_from" in refused(renamed, "rename").stderr
    dry = run(renamed, "rename", "video/raw", "film/raw", "--dry-run")
    assert dry["dry_run"]
    done = run(renamed, "tables", "rename", "video/raw", "film/raw")
    assert (
        dry["features"]
        == done["features"]
        == [
            {"feature": "film/raw", "former": "video/raw", "copied": 3, "rebased": 3},
            {"feature": "video/crop", "former": None, "copied": 0, "rebased": 3},
        ]
    )
    status = json.loads(renamed.run_cli(["metadata", "status", "--format", "json", "--all-features"]).stdout)
    assert [each["status"] for each in status["features"].values()] == ["root_feature", "up_to_date"]
    again = renamed.run_cli(["metadata", "rename", "video/raw", "film/raw", "--drop-old", "--yes"])
    assert "0 row(s) copied, 0 sample(s) rebased" in again.stderr
    assert run(renamed, "tables")["tables"] == []


def test_a_rename_that_is_left_to_do_is_said_once(project: TempMetaxyProject, tmp_path: Path) -> None:
    fill(project)
    code = FEATURES.replace('key="video/raw"', 'key="film/raw", renamed_from="video/raw"')
    renamed = TempMetaxyProject(tmp_path, code, project="vision")
    said = "feature film/raw was renamed from video/raw, but its rows in [dev] "
    status = renamed.run_cli(["metadata", "status"])
    assert status.stderr.count(said) == status.stderr.count("run `mx metadata rename --store dev`") == 1
    examined = renamed.run_cli(["doctor"])
    assert (examined.stderr, examined.stdout.count(said)) == ("", 1)
    assert examined.stdout.endswith("\n1 note(s)\n")
    cleaned = renamed.run_cli(["metadata", "clean", "--all-features", "--dry-run"], check=False)
    assert "run `mx metadata rename --store dev`" in cleaned.stderr


def test_push_says_what_waits_to_be_renamed(project: TempMetaxyProject, tmp_path: Path) -> None:
    fill(project)
    code = FEATURES.replace('key="video/raw"', 'key="film/raw", renamed_from="video/raw"')
    film = TempMetaxyProject(tmp_path, code, project="vision")
    pushed = json.loads(film.run_cli(["push", "--format", "json"]).stdout)
    assert pushed["pending_renames"] == {"film/raw": "video/raw"}
    told = film.run_cli(["push", "--dry-run"]).stderr
    assert "film/raw was renamed from video/raw" in told
    assert "run `mx metadata rename --store dev`" in told
    film.run_cli(["metadata", "rename"])
    assert "renamed" not in film.run_cli(["push"]).stderr


def test_rename_column(project: TempMetaxyProject) -> None:
    with project.use(), project.store().open("w") as store:
        store.write("video/raw", rows({"audio": "1", "frames": "1"}, id=["a", "b"], size=[1, None]))
    assert "Did you mean 'size'" in refused(project, "rename-column", "video/raw", "sise", "bytes").stderr
    arguments = ("rename-column", "video/raw", "size", "bytes")
    dry = project.run_cli(["metadata", *arguments, "--dry-run"])
    assert "size would become bytes in" in dry.stderr
    assert run(project, *arguments)["feature"] == "video/raw"
    assert run(project, "show", "video/raw", "--filter", "id = 'a'") == [{"id": "a", "bytes": 1}]
