"""`mx doctor`, `mx config print`, `mx shell` and `mx completion`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.conftest import FEATURES, Run

from metaxy.testing import TempMetaxyProject

DELTA = "metaxy.ext.delta.DeltaMetadataStore"
SECRETS: dict[str, dict[str, object]] = {
    "dev": {"type": DELTA, "root_path": "s3://bucket", "storage_options": {"AWS_SECRET_ACCESS_KEY": "hunter2"}},
    "db": {"type": "x.Store", "connection_string": "postgresql://me:hunter3@host/db"},
}


def findings(project: TempMetaxyProject, code: int) -> dict[tuple[str, str], tuple[str, str]]:
    result = project.run_cli(["doctor", "--format", "json"], check=False)
    assert (result.returncode, result.stderr) == (code, "")
    found = json.loads(result.stdout)["findings"]
    return {(each["area"], each["subject"]): (each["state"], each["text"]) for each in found}


def test_a_healthy_project(project: TempMetaxyProject) -> None:
    found = findings(project, 0)
    assert {state for state, _ in found.values()} == {"fine"}
    assert found["configuration", "file"][1] == str(project.path / "metaxy.toml")
    assert found["entry points", "vision.features"][0] == "fine"
    assert found["features", "vision"][1].startswith("2 defined, 0 external")
    assert "0 of 2 feature(s), md5" in found["stores", "dev"][1]
    out = project.run_cli(["doctor"]).stdout
    assert out.endswith("Everything is fine.\n")


def test_everything_wrong_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    stores = {
        "dev": {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(tmp_path / "no" / "x.duckdb")},
        "gone": {"type": "metaxy.ext.nosuch.Store"},
    }
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores=stores)
    project.with_features("1 / 0", "broken").with_features(FEATURES.replace("[Video]", "['nope']"), "features")
    (tmp_path / "metaxy.lock").write_text("broken")
    found = findings(project, 1)
    problems = {name: text for name, (state, text) in found.items() if state == "problem"}
    assert "ZeroDivisionError" in problems["entry points", "vision.broken"]
    assert "'nope'" in problems["features", "video/crop"]
    assert "not a lock file" in problems["lock file", "metaxy.lock"]
    assert "nosuch" in problems["stores", "gone"]
    assert "x.duckdb" in problems["stores", "dev"]
    assert "5 problem(s)" in project.run_cli(["doctor"], check=False).stdout


def test_rows_of_other_hash_settings_are_found(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path, FEATURES, project="vision", hash_truncation_length=8)
    with project.use(), project.store().open("w") as store:
        versions = [{"audio": "1", "frames": "1"}]
        store.write("video/raw", pl.DataFrame({"id": ["a"], "metaxy_provenance_by_field": versions}))
    state, text = findings(TempMetaxyProject(tmp_path, FEATURES, project="vision"), 1)["stores", "dev"]
    assert state == "problem"
    assert "hash_truncation_length = 8" in text


def test_tables_that_are_not_as_classes_declare_them_are_found(tmp_path: Path) -> None:
    def project(columns: str, **settings: Any) -> TempMetaxyProject:
        code = FEATURES.replace("    id: str", f"    id: str\n    {columns}", 1)
        return TempMetaxyProject(tmp_path, code, project="vision", **settings)

    row = {"id": ["a"], "path": ["x"], "metaxy_provenance_by_field": [{"audio": "1", "frames": "1"}]}
    old = project("path: str", declared="ignore")
    with old.use(), old.store().open("w") as store:
        store.write("video/raw", pl.DataFrame(row))
        store.write("video/raw", pl.DataFrame(row).rename({"path": "uri"}).with_columns(id=pl.lit("b")), "run")
    advice = "if renamed, run `mx metadata rename-column video/raw path uri --store dev`"
    renamed = ("note", f"'path' is NULL since 'uri' came (1 samples have only it): {advice}")
    assert findings(project("uri: str"), 0)["columns", "video/raw in dev"] == renamed
    for action, code, found in [("warn", 0, "note"), ("error", 1, "problem"), ("ignore", 0, None)]:
        [*states] = [
            each[0]
            for (area, _), each in findings(project("uri: int", declared=action), code).items()
            if area == "columns"
        ]
        assert states == [found] * (found is not None)


def test_no_project_at_all(run: Run) -> None:
    result = run("doctor")
    assert result.returncode == 1
    assert "mx init" in result.stdout


# -- config ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--format", "json"]])
def test_secrets_are_not_printed(tmp_path: Path, options: list[str]) -> None:
    project = TempMetaxyProject(tmp_path, stores=SECRETS, extra_features=[{"keys": ["a/b"]}])
    out = project.run_cli(["config", "print", *options]).stdout
    assert "hunter" not in out
    assert "postgresql://me:***@host/db" in out
    assert "a/b" in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_the_configuration_as_json(project: TempMetaxyProject) -> None:
    values = json.loads(project.run_cli(["config", "print", "-f", "json"], env={"METAXY_STORE": "prod"}).stdout)
    assert (values["project"], values["store"]) == ("vision", "prod")
    assert values.keys() >= {"stores", "entrypoints", "theme", "ext", "sync", "locked", "metaxy_lock_path"}


def test_defaults_are_said_to_be_defaults(run: Run) -> None:
    result = run("config", "print")
    assert result.returncode == 0
    assert 'store = "dev"' in result.stdout
    assert "No configuration file" in result.stderr


# -- shell and completion ----------------------------------------------------------------------------------------------


def shell(project: TempMetaxyProject, text: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METAXY_")}
    command = [sys.executable, "-m", "metaxy.cli.app", "shell"]
    return subprocess.run(command, cwd=project.path, env=environment, input=text, capture_output=True, text=True)


def test_a_shell_runs_commands_until_its_input_ends(project: TempMetaxyProject) -> None:
    project.with_features("print('loading')\n" + FEATURES)
    result = shell(project, "list features\nnope\n\nlist features -f json\nlist 'features\npush\nexit\nlist stores\n")
    assert result.returncode == 0
    assert result.stdout.count("loading") == 1
    assert result.stdout.count("Total: 2 feature(s)") == 1
    assert '"feature_count": 2' in result.stdout
    assert "unknown command 'nope'" in result.stderr
    assert "no closing quotation" in result.stderr
    assert "Recorded feature graph" in result.stderr
    assert "Traceback" not in result.stderr
    assert "store(s)" not in result.stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts(project: TempMetaxyProject, name: str) -> None:
    out = project.run_cli(["completion", name]).stdout
    for word in ("metaxy", "mx", "doctor", "metadata", "rebase"):
        assert word in out


def test_completion_is_installed_where_the_shell_finds_it(project: TempMetaxyProject) -> None:
    home = {"HOME": str(project.path), "XDG_CONFIG_HOME": str(project.path / "config"), "SHELL": "/bin/bash"}
    home["XDG_DATA_HOME"] = str(project.path / "data")
    result = project.run_cli(["completion", "bash", "--install"], env=home, subprocess=True)
    written = Path(result.stderr.removeprefix("✓ Written to ").partition(";")[0])
    assert project.path in written.parents
    assert "metaxy" in written.read_text()
