"""`mx metadata status`: the table, the JSON, the exit codes."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.conftest import FEATURES
from tests.factory import rows

from metaxy.testing import TempMetaxyProject

HEADS = ["Status", "Feature", "Materialized", "New", "Stale", "Orphaned"]


@pytest.fixture
def filled(project: TempMetaxyProject) -> TempMetaxyProject:
    """Three videos and their crops; then one video is new and one has changed."""
    with project.use(), project.store().open("w") as store:
        by_field = {"audio": "1", "frames": "1"}
        store.write("video/raw", rows(by_field, id=["a", "b", "c"], size=[1, 2, 3]))
        store.write("video/crop", store.resolve_update("video/crop").new)
        store.write("video/raw", rows({**by_field, "frames": "2"}, id=["a", "d"], size=[1, 4]))
    return project


def status(project: TempMetaxyProject, *arguments: str, code: int = 0, **options: Any) -> tuple[str, str]:
    result = project.run_cli(["metadata", "status", *arguments], check=False, **options)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout, result.stderr


def table(text: str) -> list[list[str]]:
    return [[cell for cell in line.strip().split("  ") if cell] for line in text.splitlines() if "  " in line.strip()]


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row] for row in table(text)]


def as_json(project: TempMetaxyProject, *arguments: str, code: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(status(project, *arguments, "--format", "json", code=code)[0])
    return data


def test_all_features_without_being_asked(filled: TempMetaxyProject) -> None:
    text, err = status(filled)
    assert cells(text) == [HEADS, ["○", "video/raw", "4", "-", "-", "-"], ["⚠", "video/crop", "3", "1", "1", "0"]]
    assert err == ""
    assert status(filled, "--all-features")[0] == text
    assert cells(status(filled, "video/crop")[0])[1:] == [["⚠", "video/crop", "3", "1", "1", "0"]]


def test_nothing_is_written_yet(project: TempMetaxyProject) -> None:
    text, _ = status(project)
    assert cells(text)[1:] == [
        ["✗", "video/raw", "-", "-", "-", "-"],
        ["✗ (no input)", "video/crop", "-", "-", "-", "-"],
    ]
    assert text.endswith("\nvideo/crop: no input from video/raw\n")


def test_what_waits_for_its_parents_is_not_in_sync(filled: TempMetaxyProject) -> None:
    filled.with_features(
        FEATURES.replace('fields=["audio", "frames"]', 'fields=["audio", mx.FieldSpec(key="frames", code_version="2")]')
    )
    text, _ = status(filled, "--assert-in-sync", code=1)
    assert cells(text)[2] == ["⚠ (no input)", "video/crop", "0", "-", "-", "-"]


def test_it_is_said_why_all_is_orphaned(filled: TempMetaxyProject) -> None:
    with filled.use(), filled.store().open("w") as store:
        store.delete("video/raw", everything=True)
    text, _ = status(filled)
    assert cells(text)[2][2:] == ["3", "0", "0", "3"]
    assert text.endswith("\nvideo/crop: all samples are orphaned, no input from video/raw\n")


def test_json(filled: TempMetaxyProject) -> None:
    data = as_json(filled, "--progress")
    assert list(data) == ["project_version", "features", "needs_update"]
    assert data["needs_update"] is True
    with filled.use() as graph:
        assert data["project_version"] == graph.get_project_version("vision")
        target = graph.get_feature_version("video/crop")
    crop = data["features"]["video/crop"]
    assert crop.pop("store_metadata")["resolved_from"]["table_name"] == "video__crop"
    assert crop == {
        "feature_key": "video/crop",
        "status": "needs_update",
        "needs_update": True,
        "metadata_exists": True,
        "store_rows": 3,
        "missing": 1,
        "stale": 1,
        "orphaned": 0,
        "target_version": target,
        "is_root_feature": False,
        "progress_percentage": 75.0,
    }
    assert data["features"]["video/raw"].keys().isdisjoint({"missing", "stale", "orphaned", "progress_percentage"})


def test_in_sync_or_not(filled: TempMetaxyProject) -> None:
    status(filled, "--assert-in-sync", code=1)
    status(filled, "video/raw", "--assert-in-sync")
    with filled.use(), filled.store().open("w") as store:
        changes = store.resolve_update("video/crop")
        store.write("video/crop", changes.new)
        store.write("video/crop", changes.stale)
    text, _ = status(filled, "--assert-in-sync", "--progress")
    assert cells(text)[2][:2] == ["✓ (100%)", "video/crop"]


def test_what_is_missing_is_not_in_sync_roots_included(project: TempMetaxyProject) -> None:
    status(project, "video/raw", "--assert-in-sync", code=1)
    status(project, "video/raw")


def test_unknown_features_fail_unless_they_may_be_skipped(filled: TempMetaxyProject) -> None:
    out, err = status(filled, "video/crop", "video/carp", code=1)
    assert out == ""
    assert "'video/carp' is not in the graph. Did you mean 'video/crop'?" in err
    out, err = status(filled, "video/crop", "video/carp", "--skip-unknown")
    assert "video/crop" in out
    assert "'video/carp' is not in the graph and is left out" in err
    assert as_json(filled, "video/crop", "video/carp", "--skip-unknown")["warnings"] == {
        "missing_in_graph": ["video/carp"]
    }
    out, err = status(filled, "video/carp", "--skip-unknown")
    assert (out, err.splitlines()[-1]) == ("", "Warning: there is no feature to look at")
    nothing = as_json(filled, "video/carp", "--skip-unknown")
    assert (nothing["features"], nothing["needs_update"], nothing["warning"]) == (
        {},
        False,
        "there is no feature to look at",
    )


def test_filters(filled: TempMetaxyProject) -> None:
    assert cells(status(filled, "--filter", "size BETWEEN 2 AND 3")[0])[1:] == [
        ["○", "video/raw", "2", "-", "-", "-"],
        ["⚠", "video/crop", "2", "2", "0", "0"],
    ]
    assert cells(status(filled, "video/crop", "--global-filter", "id IN ('a', 'b')")[0])[1] == [
        *("⚠", "video/crop", "2", "0", "1", "0")
    ]
    assert cells(status(filled, "video/crop", "--stale-if", "size = 3")[0])[1] == [
        "⚠",
        "video/crop",
        "3",
        "1",
        "2",
        "0",
    ]
    assert cells(status(filled, "video/crop", "--stale-if", "size = 3", "--stale-if", "size = 2")[0])[1][4] == "3"


def test_a_filter_that_cannot_be_parsed_is_shown_with_a_mark(filled: TempMetaxyProject) -> None:
    out, err = status(filled, "--filter", "size >> 3", code=2)
    first, shown, caret = err.splitlines()
    assert out == ""
    assert first.startswith("Error: filter, position 7: expected a column or a value, found '>'")
    assert shown[caret.index("^")] == ">"


def test_an_error_of_one_feature_is_one_line_and_no_success(filled: TempMetaxyProject) -> None:
    out, err = status(filled, "--filter", "sze = 3", code=1)
    assert [row[:2] for row in cells(out)[1:]] == [["!", "video/raw"], ["!", "video/crop"]]
    assert len(err.splitlines()) == 2
    assert all("names column 'sze', which it does not have. Did you mean 'size'?" in line for line in err.splitlines())
    status(filled, "--filter", "sze = 3", "--assert-in-sync", code=1)
    data = as_json(filled, "video/crop", "--filter", "sze = 3", code=1)
    assert data["features"]["video/crop"]["status"] == "error"
    assert [each["feature"] for each in data["warnings"]["errors"]] == ["video/crop"]


def test_verbose_shows_places_progress_and_samples(filled: TempMetaxyProject) -> None:
    text, _ = status(filled, "--verbose")
    assert "video__crop" in text
    assert "⚠ (75%)" in text
    assert "video/crop: New samples (1):" in text
    assert "video/crop: Stale samples (1):" in text
    assert "\n  id='" in text
    assert "metaxy_" not in text
    details = as_json(filled, "video/crop", "--verbose")["features"]["video/crop"]["sample_details"]
    assert [detail.splitlines()[0] for detail in details] == ["New samples (1):", "Stale samples (1):"]


def test_a_snapshot_is_computed_with_its_own_graph(filled: TempMetaxyProject) -> None:
    pushed = filled.run_cli(["push"]).stdout.strip()
    before = as_json(filled)
    filled.with_features(FEATURES.split("class Crop")[0])
    assert list(as_json(filled)["features"]) == ["video/raw"]
    then = as_json(filled, "--snapshot-id", pushed)
    assert then["features"] == before["features"]
    assert then["project_version"] == pushed
    assert "has no snapshot 'zzz'" in status(filled, "--snapshot-id", "zzz", code=1)[1]


def test_fallback_stores_may_be_left_out(tmp_path: Path) -> None:
    stores = {
        name: {
            "type": "metaxy.ext.duckdb.DuckDBMetadataStore",
            "database": str(tmp_path / f"{name}.duckdb"),
            "fallback_stores": fallback,
        }
        for name, fallback in (("dev", ["prod"]), ("prod", []))
    }
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores=stores)
    with project.use(), project.store("prod").open("w") as store:
        store.write("video/raw", rows({"audio": "1", "frames": "1"}, id=["a"]))
    with project.use(), project.store("dev").open("w"):
        pass
    assert cells(status(project, "video/raw")[0])[1][2] == "1"
    assert cells(status(project, "video/raw", "--no-allow-fallback-stores")[0])[1][2] == "-"
    assert cells(status(project, "video/raw", "--store", "prod")[0])[1][2] == "1"


def test_a_store_that_cannot_be_reached_is_no_missing_feature(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(tmp_path / "file" / "x.duckdb")}
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores={"dev": store})
    out, err = status(project, code=3)
    assert out == ""
    assert err.count("\n") == 1
    assert "no such store" not in err
    assert "did you mean 'dev'" in status(project, "--store", "dve", code=2)[1].lower()


def test_which_fields_changed(filled: TempMetaxyProject) -> None:
    text, _ = status(filled, "--changed-fields")
    assert "video/crop: changed fields: " in text
    counts = as_json(filled, "--changed-fields")["features"]["video/crop"]["changed_fields"]
    assert counts == as_json(filled, "--verbose")["features"]["video/crop"]["changed_fields"]
    assert sum(counts.values()) >= 2
    assert "changed_fields" not in as_json(filled)["features"]["video/crop"]


def test_what_is_behind_its_parents(project: TempMetaxyProject) -> None:
    text = FEATURES.replace("deps=[Video]", 'deps=[mx.FeatureDep(feature=Video, select=["path"])]')
    copying = TempMetaxyProject(project.path / "copying", text, project="vision")
    with copying.use(), copying.store().open("w") as store:
        samples = rows({"audio": "1", "frames": "1"}, id=["a", "b"], path=["x", "y"])
        store.write("video/raw", samples)
        store.write("video/crop", store.resolve_update("video/crop").new)
        store.write("video/raw", samples.with_columns(path=pl.Series(["x", "moved"])))
    assert cells(status(copying, "--behind")[0]) == [
        [*HEADS, "Behind"],
        ["○", "video/raw", "2", "-", "-", "-", "-"],
        ["✓", "video/crop", "2", "0", "0", "0", "1"],
    ]
    assert as_json(copying, "--behind", "--assert-in-sync")["features"]["video/crop"]["behind"] == 1
    assert "behind" not in as_json(copying)["features"]["video/crop"]
