"""`dg` itself, in processes of its own, loads what `mx dagster scaffold` writes."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.services.dagster_webserver import variables

from metaxy.testing import TempMetaxyProject

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> TempMetaxyProject:
    made = TempMetaxyProject(tmp_path / "zoo")
    made.path.joinpath("metaxy.toml").unlink()
    made.run_cli(["init", "--project", "zoo"])
    made.run_cli(["dagster", "scaffold"])
    return made


def dg(project: TempMetaxyProject, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-m", "dagster_dg_cli.cli", *arguments]
    environment = variables(project.path.parent / "home") | {"COLUMNS": "200"}
    return subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True, encoding="utf-8")


def test_it_finds_checks_and_runs_a_project(project: TempMetaxyProject) -> None:
    components = dg(project, "list", "components")
    assert "metaxy.ext.dagster.MetaxyComponent" in components.stdout, components.stderr
    checked = dg(project, "check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    run = dg(project, "launch", "--assets", "video,video/faces")  # each asset in a process of its own
    assert run.returncode == 0, run.stdout + run.stderr
    status = project.run_cli(["metadata", "status", "video/faces"])
    assert "✓        video/faces   3              0     0       0" in status.stdout


def test_it_says_what_is_wrong(project: TempMetaxyProject) -> None:
    file = project.path / "zoo_assets" / "defs" / "features" / "defs.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('features: "*"', "features: video/face"), encoding="utf-8")
    checked = dg(project, "check", "defs")
    assert checked.returncode == 1
    assert "no feature of project zoo matches 'video/face'. Did you mean 'video/faces'?" in checked.stdout
