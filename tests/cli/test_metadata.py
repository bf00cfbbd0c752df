"""The commands on rows say how many rows they touch, and do what they say."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.conftest import FEATURES
from tests.factory import everything

from metaxy.store.system.storage import SystemTableStorage
from metaxy.testing import CliResult, TempMetaxyProject

TYPE = "metaxy.ext.duckdb.DuckDBMetadataStore"


def fill(project: TempMetaxyProject, ids: str = "abc") -> None:
    """Write samples of the root, and what depends on them."""
    with project.use(), project.store().open("w") as store:
        versions = [{"audio": "1", "frames": "1"} for _ in ids]
        store.write("video/raw", pl.DataFrame({"id": list(ids), "metaxy_provenance_by_field": versions}))
        store.write("video/crop", store.resolve_update("video/crop").new)


def counts(project: TempMetaxyProject, store: str = "dev") -> dict[str, dict[str, int]]:
    out = project.run_cli(["metadata", "stats", "--store", store, "--format", "json"]).stdout
    features: dict[str, dict[str, int]] = json.loads(out)["features"]
    return features


@pytest.fixture
def filled(tmp_path: Path) -> TempMetaxyProject:
    """A project with two stores, of which the first has three samples of both features."""
    stores = {name: {"type": TYPE, "database": str(tmp_path / f"{name}.duckdb")} for name in ("dev", "prod")}
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores=stores)
    fill(project)
    return project


def refused(project: TempMetaxyProject, *arguments: str, code: int = 1) -> CliResult:
    result = project.run_cli(["metadata", *arguments], check=False)
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    return result


# -- show and stats ----------------------------------------------------------------------------------------------------


def test_show(filled: TempMetaxyProject) -> None:
    out = filled.run_cli(["metadata", "show", "video/crop", "--limit", "2"]).stdout
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    assert lines[0] == "id"
    assert lines[-1] == "2 row(s); --limit 2"
    rows = json.loads(filled.run_cli(["metadata", "show", "video/crop", "-f", "json", "--filter", "id = 'b'"]).stdout)
    assert rows == [{"id": "b"}]
    wanted = ["metadata", "show", "video/raw", "--columns", "metaxy_provenance", "id", "--format", "json"]
    assert [list(row) for row in json.loads(filled.run_cli(wanted).stdout)] == [["metaxy_provenance", "id"]] * 3
    everything = json.loads(filled.run_cli(["metadata", "show", "video/raw", "--all-columns", "-f", "json"]).stdout)
    assert "metaxy_data_version_by_field" in everything[0]


def test_show_says_what_is_wrong(filled: TempMetaxyProject) -> None:
    assert "Did you mean 'video/crop'?" in refused(filled, "show", "video/corp").stderr
    assert "is not the key of a feature" in refused(filled, "show", "a//b", code=2).stderr
    assert "nope" in refused(filled, "show", "video/crop", "--columns", "nope").stderr
    assert "size >>" in refused(filled, "show", "video/crop", "--filter", "size >> 3", code=2).stderr


def test_stats(filled: TempMetaxyProject) -> None:
    filled.run_cli(["metadata", "delete", "video/crop", "--filter", "id = 'a'"])
    crop = counts(filled)["video/crop"]
    expected = {"exists": True, "samples": 2, "rows": 4, "tombstones": 1, "feature_versions": 1}
    assert {name: crop[name] for name in expected} == expected
    assert crop["last_write"]
    out = filled.run_cli(["metadata", "stats", "video/crop"]).stdout
    assert ["video/crop", "2", "4", "1", "1"] in [line.split()[:5] for line in out.splitlines()]


# -- clean -----------------------------------------------------------------------------------------------------------


def test_clean(filled: TempMetaxyProject) -> None:
    assert json.loads(filled.run_cli(["metadata", "clean", "--all-features", "-f", "json"]).stdout)["rows"] == 0
    filled.run_cli(["metadata", "delete", "video/raw", "--filter", "id = 'a'"])
    tried = filled.run_cli(["metadata", "clean", "video/crop", "--dry-run"])
    assert ["video/crop", "1", "0"] in [line.split() for line in tried.stdout.splitlines()]
    assert "Dry run complete: 1 feature(s), 1 orphaned sample(s) would go" in tried.stderr
    assert counts(filled)["video/crop"]["samples"] == 3
    assert (
        "✓ Clean complete: 1 feature(s), 1 orphaned" in filled.run_cli(["metadata", "clean", "--all-features"]).stderr
    )
    assert counts(filled)["video/crop"]["samples"] == 2


def test_clean_refuses_what_looks_like_a_mistake(filled: TempMetaxyProject) -> None:
    filled.run_cli(["metadata", "delete", "video/raw", "--filter", "id < 'c'"])
    assert "2 of its 3 samples are orphaned" in refused(filled, "clean", "video/crop").stderr
    found = json.loads(refused(filled, "clean", "--all-features", "-f", "json").stdout)
    crop = found["features"]["video/crop"]
    assert (crop["error"], crop["orphaned"], crop["rows"], crop["max_share"]) == ("TOO_MANY_ORPHANS", 2, 3, 0.5)
    assert "is a root" in refused(filled, "clean", "video/raw").stderr
    refused(filled, "clean", "video/crop", "--max-share", "1.5", code=2)
    assert counts(filled)["video/crop"]["samples"] == 3
    done = filled.run_cli(["metadata", "clean", "video/crop", "--max-share", "0.7", "-f", "json"]).stdout
    assert json.loads(done) == {
        "dry_run": False,
        "rows": 2,
        "features": {"video/crop": {"rows": 2, "changed_since": 0}},
    }


# -- delete and drop ---------------------------------------------------------------------------------------------------


def test_a_dry_run_counts_and_deletes_nothing(filled: TempMetaxyProject) -> None:
    before = counts(filled)
    result = filled.run_cli(["metadata", "delete", "video/raw", "video/crop", "--filter", "id <> 'a'", "--dry-run"])
    assert result.stdout == "video/raw: 2 row(s) would be deleted\nvideo/crop: 2 row(s) would be deleted\n"
    assert "Dry run of a soft delete" in result.stderr
    assert "id <> 'a'" in result.stderr
    assert result.stderr.endswith("Dry run complete (soft delete): 2 feature(s), 4 row(s) would go\n")
    assert "✓" not in result.stderr
    assert counts(filled) == before


@pytest.mark.parametrize(("how", "rows"), [("--soft", 4), ("--hard", 2)])
def test_delete_with_a_filter_needs_no_confirmation(filled: TempMetaxyProject, how: str, rows: int) -> None:
    result = filled.run_cli(["metadata", "delete", "video/crop", "--filter", "id = 'a'", how])
    assert result.stdout == "video/crop: 1 row(s) deleted\n"
    assert result.stderr == f"✓ Delete complete ({how[2:]} delete): 1 feature(s), 1 row(s)\n"
    assert (counts(filled)["video/crop"]["samples"], counts(filled)["video/crop"]["rows"]) == (2, rows)


@pytest.mark.parametrize("arguments", [["video/crop", "--hard"], ["--all-features"], ["--all-features", "--hard"]])
def test_delete_without_a_filter_needs_one(filled: TempMetaxyProject, arguments: list[str]) -> None:
    result = refused(filled, "delete", *arguments)
    assert "needs a confirmation" in result.stderr
    assert "--yes" in result.stderr
    assert counts(filled)["video/crop"]["samples"] == 3
    filled.run_cli(["metadata", "delete", *arguments, "--yes"])
    assert counts(filled)["video/crop"]["samples"] == 0


def test_deleting_all_features_for_good_empties_the_store(filled: TempMetaxyProject) -> None:
    filled.with_features(FEATURES.replace('code_version="1"', 'code_version="2"'))
    filled.run_cli(["metadata", "delete", "--all-features", "--hard", "--yes"])
    assert {key: each["rows"] for key, each in counts(filled).items()} == {"video/raw": 0, "video/crop": 0}


def test_other_versions_are_deleted_on_demand(filled: TempMetaxyProject) -> None:
    filled.with_features(FEATURES.replace('code_version="1"', 'code_version="2"'))
    filled.run_cli(["metadata", "delete", "video/crop", "--hard", "--yes"])
    assert counts(filled)["video/crop"]["rows"] == 3
    filled.run_cli(["metadata", "delete", "video/crop", "--hard", "--yes", "--with-feature-history"])
    assert counts(filled)["video/crop"]["rows"] == 0


def test_a_failed_delete_is_a_failure(filled: TempMetaxyProject) -> None:
    result = refused(filled, "delete", "video/raw", "video/crop", "--filter", "size > 3", "--hard")
    assert "Error deleting video/raw" in result.stderr
    assert "size" in result.stderr
    assert "2 of 2 feature(s) failed" in result.stderr
    assert "✓" not in result.stderr


def test_delete_says_what_is_missing(filled: TempMetaxyProject) -> None:
    assert "--all-features" in refused(filled, "delete", code=2).stderr
    assert "not both" in refused(filled, "delete", "video/raw", "--all-features", code=2).stderr
    unknown = refused(filled, "delete", "video/rew", "x").stderr
    assert "'video/rew', 'x' are not in the graph. Did you mean 'video/raw'?" in unknown
    [line] = refused(filled, "delete", "--features", "a//b", code=2).stderr.splitlines()
    assert "'a//b'" in line


def test_drop(filled: TempMetaxyProject) -> None:
    assert "needs a confirmation" in refused(filled, "drop", "video/crop").stderr
    result = filled.run_cli(["metadata", "drop", "video/crop", "--yes"])
    assert result.stdout == "video/crop: table dropped, with 3 row(s)\n"
    assert [each["exists"] for each in counts(filled).values()] == [True, False]
    assert refused(filled, "drop", "video/crop", "--yes").stderr.startswith("Error: ")


def test_a_preview_is_cleaned(filled: TempMetaxyProject) -> None:
    """It hides samples that it only sees below."""
    filled.run_cli(["metadata", "delete", "video/raw", "--filter", "id = 'a'"])
    preview = {"METAXY_STORES__PROD__FALLBACK_STORES": '["dev"]', "METAXY_STORES__PROD__FALLBACK": "rows"}
    command = ["metadata", "clean", "--all-features", "--store", "prod", "-f", "json"]
    assert json.loads(filled.run_cli(command, env=preview).stdout)["rows"] == 1
    assert counts(filled)["video/crop"]["samples"] == 3


# -- promote -----------------------------------------------------------------------------------------------------------


def test_a_preview_is_shown_as_it_is_seen_and_promoted(filled: TempMetaxyProject) -> None:
    stores = {name: {"type": TYPE, "database": str(filled.path / f"{name}.duckdb")} for name in ("dev", "prod", "pr")}
    over = {"pr": {**stores["pr"], "fallback_stores": ["dev"], "fallback": "rows"}}
    project = TempMetaxyProject(filled.path, FEATURES, project="vision", stores={**stores, **over})
    up_to_date = json.loads(project.run_cli(["metadata", "status", "--store", "pr", "--format", "json"]).stdout)
    assert [each["status"] for each in up_to_date["features"].values()] == ["root_feature", "up_to_date"]
    unchanged = project.run_cli(["metadata", "promote", "pr", "--to", "dev"]).stderr
    assert unchanged == "✓ Promoted 0 feature(s), 0 row(s) of pr to dev\n"
    assert "none of the features: video/crop" in refused(project, "promote", "pr", "video/crop", "--to", "dev").stderr
    project.run_cli(["metadata", "delete", "--all-features", "--filter", "id = 'c'", "--store", "pr", "--yes"])
    shown = project.run_cli(["metadata", "show", "video/raw", "--store", "pr", "--format", "json"]).stdout
    assert sorted(row["id"] for row in json.loads(shown)) == ["a", "b"]
    assert [each["rows"] for each in counts(project, "dev").values()] == [3, 3]

    command = ["metadata", "promote", "pr", "--to", "dev"]
    assert project.run_cli([*command, "--dry-run"]).stderr == "Dry run: would promote 2 feature(s), 2 row(s)\n"
    assert project.run_cli(command).stderr == "✓ Promoted 2 feature(s), 2 row(s) of pr to dev\n"
    assert project.run_cli([*command, "video/raw"]).stderr == "✓ Promoted 1 feature(s), 0 row(s) of pr to dev\n"
    assert [each["samples"] for each in counts(project, "dev").values()] == [2, 2]
    other = refused(project, "promote", "pr", "--to", "prod", code=2).stderr
    assert "does not fall back on [prod]" in other
    assert "its fallback stores: dev; --force copies" in other
    assert "cannot be promoted to itself" in refused(project, "promote", "pr", "--to", "pr", code=2).stderr
    project.run_cli(["metadata", "promote", "pr", "--to", "prod", "--force"])
    assert [each["rows"] for each in counts(project, "prod").values()] == [1, 1]


def test_a_preview_is_removed_and_nothing_below_it(filled: TempMetaxyProject) -> None:
    stores = {name: {"type": TYPE, "database": str(filled.path / f"{name}.duckdb")} for name in ("dev", "prod", "pr")}
    over = {"pr": {**stores["pr"], "fallback_stores": ["dev"], "fallback": "rows"}}
    project = TempMetaxyProject(filled.path, FEATURES, project="vision", stores={**stores, **over})
    project.run_cli(["metadata", "delete", "--all-features", "--filter", "id = 'c'", "--store", "pr", "--yes"])
    project.run_cli(["push", "pr"])
    clean = ["preview", "clean", "pr"]
    dry = project.run_cli([*clean, "--dry-run"]).stderr
    assert re.match(r"Dry run: would remove 3 table\(s\) of \[pr\].*: video/raw, video/crop, metaxy-system/\w+\n", dry)
    assert "needs a confirmation" in project.run_cli(clean, check=False).stderr
    assert project.run_cli([*clean, "--yes"]).stderr.startswith("✓ Removed 3 table(s) of [pr]")
    assert json.loads(project.run_cli([*clean, "--yes", "--format", "json"]).stdout)["tables"] == []
    assert [each["samples"] for each in counts(project, "dev").values()] == [3, 3]
    assert not any(each["exists"] for each in counts(project, "pr").values())
    other = project.run_cli(["preview", "clean", "dev", "--yes"], check=False)
    assert "is no preview: it does not lie over other stores" in other.stderr
    delta: dict[str, Any] = {"type": "metaxy.ext.delta.DeltaMetadataStore", "root_path": str(filled.path / "delta")}
    twice = {"dev": delta, "pr": {**delta, "fallback_stores": ["dev"], "fallback": "rows"}}
    same = TempMetaxyProject(filled.path, FEATURES, project="vision", stores=twice)
    fill(same)
    assert "are one place: nothing was removed" in same.run_cli([*clean, "--yes"], check=False).stderr
    assert [each["samples"] for each in counts(same, "dev").values()] == [3, 3]
    assert [each["samples"] for each in counts(project, "dev").values()] == [3, 3]


# -- copy --------------------------------------------------------------------------------------------------------------


def test_copy(filled: TempMetaxyProject) -> None:
    command = ["metadata", "copy", "--all-features", "--from", "dev", "--to", "prod"]
    filled.run_cli(["metadata", "drop", "video/crop", "--yes"])
    fill(filled)
    with filled.use(), filled.store("prod").open("w"):
        pass
    dry = filled.run_cli([*command, "--dry-run"])
    assert dry.stderr == "Dry run: would copy 2 feature(s), 6 row(s)\n"
    assert not any(each["exists"] for each in counts(filled, "prod").values())
    assert filled.run_cli(command).stderr == "✓ Copy complete: 2 feature(s), 6 row(s) copied\n"
    assert filled.run_cli(command).stderr == "✓ Copy complete: 2 feature(s), 0 row(s) copied\n"
    assert [each["rows"] for each in counts(filled, "prod").values()] == [3, 3]


def test_copy_a_sample(filled: TempMetaxyProject) -> None:
    command = ["metadata", "copy", "--all-features", "--from", "dev", "--to", "prod", "--sample"]
    assert filled.run_cli([*command, "2"]).stderr == "✓ Copy complete: 2 feature(s), 4 row(s) copied\n"
    assert filled.run_cli([*command, "2"]).stderr == "✓ Copy complete: 2 feature(s), 0 row(s) copied\n"
    assert [each["samples"] for each in counts(filled, "prod").values()] == [2, 2]
    assert "--sample" in refused(filled, *command[1:], "0", code=2).stderr


def test_copy_some_rows(filled: TempMetaxyProject) -> None:
    command = ["metadata", "copy", "video/raw", "--from", "dev", "--to", "prod", "--filter", "id = 'a'"]
    assert filled.run_cli(command).stderr == "✓ Copy complete: 1 feature(s), 1 row(s) copied\n"
    assert counts(filled, "prod")["video/raw"]["rows"] == 1


def test_copy_leaves_out_what_is_not_there(filled: TempMetaxyProject) -> None:
    filled.run_cli(["metadata", "drop", "video/crop", "--yes"])
    result = filled.run_cli(["metadata", "copy", "--all-features", "--from", "dev", "--to", "prod"])
    assert "Left out" in result.stderr
    assert "video/crop" in result.stderr
    assert "NO_FEATURES" not in refused(filled, "copy", "video/crop", "--from", "dev", "--to", "prod").stdout


def test_copy_leaves_out_what_is_not_known(filled: TempMetaxyProject) -> None:
    command = ["metadata", "copy", "video/corp", "video/raw", "nope", "--from", "dev", "--to", "prod"]
    result = filled.run_cli(command)
    assert "feature 'video/corp' is not in the graph and is left out. Did you mean 'video/crop'?" in result.stderr
    assert "'nope' is not in the graph" in result.stderr
    assert result.stderr.endswith("✓ Copy complete: 1 feature(s), 3 row(s) copied\n")
    nothing = refused(filled, "copy", "video/corp", "nope", "--from", "dev", "--to", "prod").stderr
    assert "has none of the features: video/corp, nope" in nothing


def test_copy_needs_two_stores(filled: TempMetaxyProject) -> None:
    assert "--to" in refused(filled, "copy", "video/raw", "--from", "dev", code=2).stderr
    assert "same store" in refused(filled, "copy", "video/raw", "--from", "dev", "--to", "dev", code=2).stderr
    wrong = refused(filled, "copy", "video/raw", "--from", "dve", "--to", "prod", code=2).stderr
    assert "Did you mean 'dev'?" in wrong


# -- rebase ------------------------------------------------------------------------------------------------------------


def test_rebase(filled: TempMetaxyProject) -> None:
    old = filled.graph.get_feature_version("video/crop")
    filled.run_cli(["push"])
    filled.with_features(FEATURES.replace('code_version="1"', 'code_version="2"'))
    command = ["metadata", "rebase", "video/crop", "--from", old]
    assert filled.run_cli([*command, "--dry-run"]).stderr == "Dry run: 3 row(s) would be rebased\n"
    assert counts(filled)["video/crop"]["samples"] == 0
    assert filled.run_cli(command).stderr == "✓ Rebased 3 row(s)\n"
    assert counts(filled)["video/crop"]["samples"] == 3
    with filled.use(), filled.store() as store:
        assert list(map(len, store.resolve_update("video/crop"))) == [0, 0, 0]
    # Once more, and back to a version that only the store knows: there is nothing left to do.
    done = "3 row(s) have that version already\n✓ Rebased 0 row(s)\n"
    new = filled.graph.get_feature_version("video/crop")
    assert filled.run_cli(command).stderr == done
    assert filled.run_cli([*command[:4], new, "--to", old]).stderr == done
    with filled.use(), filled.store() as store:
        assert everything(store, "video/crop").height == 6


OTHERS = """
import metaxy as mx


def feature(key, project, deps=(), code="1"):
    fields = [mx.FieldSpec(key="default", code_version=code)]
    spec = mx.FeatureSpec(key=key, id_columns=["id"], deps=list(deps), fields=fields)
    body = {"__metaxy_project__": project, "__module__": __name__, "__annotations__": {"id": str}}
    return type(mx.BaseFeature)(key.title(), (mx.BaseFeature,), body, spec=spec)


far = feature("far", "far")
near = feature("near", "near", [far])
mine = feature("mine", "vision", [near, "far"], code="1")
"""


def test_rebase_to_a_pushed_version_whose_parents_are_of_other_projects(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path, OTHERS, project="vision")
    with project.use() as graph, project.store().open("w") as store:
        for name in ("far", "near", "vision"):
            SystemTableStorage(store).push_graph_snapshot(project=name)
        old = graph.get_feature_version("mine")
    project.with_features(OTHERS.replace('code="1")\n', 'code="2")\n'))
    with project.use() as graph, project.store().open("w") as store:
        new = graph.get_feature_version("mine")
        store.write("far", pl.DataFrame({"id": ["a", "b"], "metaxy_provenance_by_field": [{"default": "1"}] * 2}))
        for key in ("near", "mine"):
            store.write(key, store.resolve_update(key).new)
    command = ["metadata", "rebase", "mine", "--from", new, "--to", old]
    assert project.run_cli(command).stderr == "✓ Rebased 2 row(s)\n"
    project.with_features(OTHERS)
    with project.use() as graph, project.store() as store:
        assert list(map(len, store.resolve_update("mine"))) == [0, 0, 0]

    project.with_features(OTHERS.replace('"far", "far")', '"far", "far", code="3")'))
    with project.use(), project.store().open("w") as store:
        SystemTableStorage(store).push_graph_snapshot(project="far")
    gone = refused(project, "rebase", "mine", "--from", new, "--to", old).stderr
    assert "its parents in other projects or the hash settings have changed since" in gone
    assert gone.count("\n") == 1


def test_rebase_refuses_what_makes_no_sense(filled: TempMetaxyProject) -> None:
    current = filled.graph.get_feature_version("video/crop")
    same = refused(filled, "rebase", "video/crop", "--from", current, code=2).stderr
    assert "same version" in same
    unknown = refused(filled, "rebase", "video/crop", "--from", "nope").stderr
    assert "'nope'" in unknown
    assert current in unknown
    assert "'x' is not in the graph" in refused(filled, "rebase", "x", "--from", "nope").stderr
    assert "was pushed" in refused(filled, "rebase", "video/crop", "--from", current, "--to", "nope").stderr
    assert counts(filled)["video/crop"]["rows"] == 3
