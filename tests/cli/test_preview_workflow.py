"""The workflow for previews, run as CI runs it, with stores on this machine: all of its steps but the comment."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.cli.conftest import FEATURES
from tests.factory import rows

from metaxy.testing import TempMetaxyProject

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CI runs these scripts in bash on Linux")
ROOT = Path(__file__).parents[2]
TYPE = "metaxy.ext.duckdb.DuckDBMetadataStore"


@pytest.fixture
def project(tmp_path: Path) -> TempMetaxyProject:
    """A repository whose `main` is computed in production, and a branch with another code version."""
    database = f"{tmp_path}/preview-${{BRANCH:-local}}.duckdb"
    preview = {"type": TYPE, "database": database, "fallback_stores": ["prod"], "fallback": "rows"}
    prod = {"type": TYPE, "database": str(tmp_path / "prod.duckdb")}
    stores: dict[str, dict[str, Any]] = {"prod": prod, "preview": preview}
    project = TempMetaxyProject(tmp_path / "repository", FEATURES, project="vision", stores=stores)
    with project.use(), project.store("prod").open("w") as store:
        store.write("video/raw", rows({"audio": "1", "frames": "1"}, id=["a", "b", "c"]))
        store.write("video/crop", store.resolve_update("video/crop").new)
    run(project, "git init --quiet --initial-branch=main && git add . && git commit --quiet --message first")
    project.with_features(FEATURES.replace('code_version="1"', 'code_version="2"'))
    run(project, "git checkout --quiet -b branch && git commit --quiet --all --message second")
    return project


def run(project: TempMetaxyProject, script: str, **variables: str) -> str:
    author = {f"GIT_{role}_{what}": "me@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("METAXY_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=project.path,
        env=plain | author | variables | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def scripts(job: Any, *names: str) -> list[str]:
    return [step["run"] for name in names for step in job["steps"] if step.get("name") == name]


def checked(report: str) -> None:
    """Hold what CI left behind against what the branch changes."""
    assert "**~1, samples to compute: 3**" in report
    assert "| changed | `video/crop` |" in report
    assert "```mermaid" in report


def test_github(project: TempMetaxyProject, tmp_path: Path) -> None:
    text = (ROOT / ".github/workflows/preview.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["preview"]
    compare, clean = scripts(job, "Compare", "Clean")
    assert not any(
        "${{" in script for script in (compare, clean, *scripts(job, "Install", "Read variables", "Comment"))
    )
    base, head = (run(project, f"git rev-parse {name}").strip() for name in ("main", "branch"))
    summary = tmp_path / "summary.md"
    variables = {
        "BRANCH": "pr_7",
        "STORE": "preview",
        "BASE": base,
        "COMMIT": head,
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    run(project, compare, **variables)
    assert summary.read_text().startswith("<!-- metaxy preview of preview -->\n### Feature graph changes")
    checked((project.path / "comment.md").read_text())
    assert "Removed 1 table(s)" in run(project, clean, **variables)
    with project.use(), project.store("prod") as store:
        assert store.has_feature("video/crop")


def test_secrets_are_masked_one_by_one_and_comments_are_cut_between_lines(project: TempMetaxyProject) -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/preview.yml").read_text())["jobs"]["preview"]
    read, compare = scripts(job, "Read variables", "Compare")
    secrets = {"VARIABLES": "PASSWORD=a=b%\nEMPTY=", "GITHUB_ENV": str(project.path / "environment")}
    assert run(project, read, **secrets) == "::add-mask::a=b%25\n"
    assert (project.path / "environment").read_text() == "PASSWORD=a=b%\nEMPTY=\n"

    fake = project.path / "bin" / "mx"  # writes down what it is called with, and a long report
    fake.parent.mkdir()
    fake.write_text('#!/bin/bash\necho "$@" >> calls\nyes "| ééé |" | head -n 9000 > changes.md\n')
    fake.chmod(0o755)
    summary = {"GITHUB_STEP_SUMMARY": os.devnull, "BASE": "main", "STORE": "preview", "COMMIT": "abc"}
    run(project, f'PATH="$PWD/bin:$PATH"; {compare}', FORK="true", **summary)
    assert (project.path / "calls").read_text().splitlines() == [
        "graph-diff render --from-git main --merge-base --only-changes -f markdown -o changes.md"
    ]
    first, *lines = (project.path / "comment.md").read_text(encoding="utf-8").splitlines()
    assert first == "<!-- metaxy preview of preview -->"
    assert (set(lines[:-2]), lines[-2:]) == ({"| ééé |"}, ["", "… and more"])
    assert 59_000 < (project.path / "comment.md").stat().st_size < 60_100


@pytest.mark.slow
def test_gitlab(project: TempMetaxyProject) -> None:
    page = (ROOT / "docs/previews.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```yaml\n(\.preview:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    jobs = yaml.safe_load(text)
    *commands, comment = jobs["preview"]["script"]
    assert comment.startswith("curl ")
    base, head = (run(project, f"git rev-parse {name}").strip() for name in ("main", "branch"))
    for command in commands:
        run(project, command, BRANCH="pr_7", CI_MERGE_REQUEST_DIFF_BASE_SHA=base, CI_COMMIT_SHA=head)
    checked((project.path / "changes.md").read_text())
    assert "Removed 1 table(s)" in run(project, jobs["clean preview"]["script"][0], BRANCH="pr_7")
