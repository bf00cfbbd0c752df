"""`mx dagster scaffold` writes a code location; tests/dagster has Dagster load it."""

from pathlib import Path

import pytest

from metaxy.testing import TempMetaxyProject

FILES = ["dg.toml", "workspace.yaml", "{0}/__init__.py", "{0}/definitions.py", "{0}/defs/features/defs.yaml"]


@pytest.fixture
def project(tmp_path: Path) -> TempMetaxyProject:
    return TempMetaxyProject(tmp_path)


def written(name: str, folder: str = "") -> list[str]:
    return [folder + file.format(name) for file in FILES]


def test_a_code_location_beside_the_configuration(project: TempMetaxyProject) -> None:
    result = project.run_cli(["dagster", "scaffold"])
    assert result.stdout.split() == written("test_project_assets")
    assert [line.split("  ")[1] for line in result.stderr.splitlines()[1:]] == ["dg list defs", "dagster dev"]
    text = (project.path / "test_project_assets/defs/features/defs.yaml").read_text(encoding="utf-8")
    assert "type: metaxy.ext.dagster.MetaxyComponent\n" in text
    assert "  project: ../../../metaxy.toml\n" in text
    settings = (project.path / "dg.toml").read_text(encoding="utf-8")
    workspace = (project.path / "workspace.yaml").read_text(encoding="utf-8")
    assert 'code_location_name = "test_project_assets"\n' in settings  # Dagster warns where it has two names
    assert "location_name: test_project_assets\n" in workspace
    before = {path: path.read_bytes() for path in project.path.rglob("*") if path.is_file()}
    again = project.run_cli(["dagster", "scaffold"], check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert "dg.toml and 4 more exist already" in again.stderr
    assert {path: path.read_bytes() for path in project.path.rglob("*") if path.is_file()} == before


def test_another_folder_and_name(project: TempMetaxyProject) -> None:
    result = project.run_cli(["dagster", "scaffold", "run/here", "--name", "media"])
    assert result.stdout.split() == written("media", "run/here/")
    assert "  cd run/here" in result.stderr
    assert "Relative paths in metaxy.toml begin where a process starts" in result.stderr
    text = (project.path / "run/here/media/defs/features/defs.yaml").read_text(encoding="utf-8")
    assert "  project: ../../../../../metaxy.toml\n" in text


@pytest.mark.parametrize(("name", "problem"), [("3d", "'3d' of --name"), ("json", "'json'"), ("features", "features")])
def test_names_that_cannot_be(project: TempMetaxyProject, name: str, problem: str) -> None:
    (project.path / "features.py").touch()
    result = project.run_cli(["dagster", "scaffold", "--name", name], check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert problem in result.stderr
    assert "such as 'test_project_assets'" in result.stderr
    assert not (project.path / "dg.toml").exists()


def test_no_configuration_file(project: TempMetaxyProject) -> None:
    (project.path / "metaxy.toml").unlink()
    result = project.run_cli(["dagster", "scaffold"], check=False, env={"METAXY_PROJECT": "zoo"})
    assert result.returncode == 2
    assert "configuration" in result.stderr
