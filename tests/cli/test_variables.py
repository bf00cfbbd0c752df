"""Every option is also a variable, and global options work in either place."""

import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from cyclopts import App
from rich.console import Console

from metaxy.cli.app import app
from metaxy.testing import TempMetaxyProject


@pytest.mark.parametrize("name", ["METAXY_LIST_FEATURES_FORMAT", "METAXY_LIST_FEATURES_F"])
def test_options_as_variables(project: TempMetaxyProject, name: str) -> None:
    assert json.loads(project.run_cli(["list", "features"], env={name: "json"}).stdout)["feature_count"] == 2
    assert "Total" in project.run_cli(["list", "features", "--format", "plain"], env={name: "json"}).stdout


def commands(of: App, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name in of:
        if not name.startswith("-"):
            each = of[name]
            found += commands(each, (*path, name)) if each.default_command is None else [(*path, name)]
    return found


@pytest.mark.parametrize("command", commands(app), ids=" ".join)
def test_help_names_a_variable_that_a_shell_can_export(command: tuple[str, ...]) -> None:
    console = Console(file=StringIO(), width=400)
    app.help_print([*command], console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above
    assert text.startswith(f"Usage: metaxy {' '.join(command)}")
    prefix = "METAXY_" + "".join(f"{part.upper().replace('-', '_')}_" for part in command)
    own = text.partition("─ Global ─")[0]
    variables = re.findall(r"\[env var: ([^]]+)\]", own)
    assert variables or "─ Parameters ─" not in own
    assert all(name.startswith(prefix) and name.replace("_", "").isalnum() for name in variables)


def test_the_store_of_the_configuration_as_a_variable(project: TempMetaxyProject) -> None:
    result = project.run_cli(["push"], env={"METAXY_STORE": "prod"}, check=False)
    assert "there is no store 'prod'" in result.stderr


@pytest.mark.parametrize("name", ["METAXY_CONFIG", "METAXY_CONFIG_FILE"])
def test_the_file_as_a_variable(project: TempMetaxyProject, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "metaxy.toml").rename(tmp_path / "elsewhere" / "my.toml")
    config = {name: str(tmp_path / "elsewhere" / "my.toml")}
    values = json.loads(project.run_cli(["config", "print", "--format", "json"], env=config).stdout)
    assert values["project"] == "vision"
    assert project.run_cli(["--config-file", "elsewhere/my.toml", "list", "stores"]).returncode == 0


def test_modules_are_found_next_to_the_configuration(project: TempMetaxyProject, tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    code = "import os, sys; from metaxy.cli.app import main; os.chdir('deeper'); sys.exit(main(['list', 'features']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Total: 2 feature(s)" in done.stdout


def test_all_projects_as_a_variable(project: TempMetaxyProject) -> None:
    result = project.run_cli(["list", "features", "--project", "other"], env={"METAXY_ALL_PROJECTS": "1"})
    assert "Total: 2" in result.stdout


@pytest.mark.parametrize("name", ["PROJECT", "ALL_PROJECTS", "SYNC", "LOCKED", "CONFIG_FILE", "DEBUG", "LOG_LEVEL"])
def test_empty_variables_say_nothing(project: TempMetaxyProject, name: str) -> None:
    result = project.run_cli(["list", "features"], env={f"METAXY_{name}": ""})
    assert result.stdout.endswith("Total: 2 feature(s) (1 root, 1 dependent)\n")
    assert result.stderr == ""


def test_sync_replaces_placeholders_before_a_command(project: TempMetaxyProject) -> None:
    project.run_cli(["push"])
    placeholder = """
    import metaxy as mx
    spec = mx.FeatureSpec(key="video/raw", id_columns=["id"])
    external = mx.FeatureDefinition.external(spec=spec, project="vision")
    mx.FeatureGraph.get_active().add_feature_definition(external)
    """
    project.with_features("").with_features(placeholder, "placeholders")
    listing = ["list", "features", "--format", "json"]
    [before] = json.loads(project.run_cli(listing).stdout)["features"]
    synced = project.run_cli([*listing, "--sync"])
    [after] = json.loads(synced.stdout)["features"]
    assert (before["is_external"], before["field_count"]) == (True, 1)
    assert (after["is_external"], after["field_count"]) == (False, 2)
    assert synced.stderr.startswith("Warning: external features with another version")
    locked = project.run_cli([*listing, "--sync", "--locked"], check=False)
    assert locked.returncode == 1
    assert json.loads(locked.stdout)["error"] == "VERSION_MISMATCH"
