"""The workflow for previews, run as CI runs it, with stores on this machine: all of its steps but the comment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml  # type: ignore[import-untyped]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CI runs these scripts in bash on Linux")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose `main` is computed in production, and a branch with another code version of captions."""
    folder = Path(shutil.copytree(ROOT / "examples" / "pull_request", tmp_path / "repository"))
    run(folder, "mx run --store prod && git init --quiet --initial-branch=main && git add . && git commit -qm first")
    file = folder / "features.py"
    file.write_text(file.read_text(encoding="utf-8").replace('code_version="1"', 'code_version="2"'), encoding="utf-8")
    run(folder, "git checkout --quiet -b branch && git commit --quiet --all --message second")
    return folder


def run(folder: Path, script: str, **variables: str) -> str:
    author = {f"GIT_{role}_{what}": "me@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("METAXY_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
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
    assert "**~1 ↻1, samples to compute: 200**" in report
    assert "| changed | `caption` |" in report
    assert "```mermaid" in report


def test_github(repository: Path, tmp_path: Path) -> None:
    text = (ROOT / ".github/workflows/preview.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["preview"]
    compare, clean = scripts(job, "Compare", "Clean")
    assert not any(
        "${{" in script for script in (compare, clean, *scripts(job, "Install", "Read variables", "Comment"))
    )
    base, head = (run(repository, f"git rev-parse {name}").strip() for name in ("main", "branch"))
    summary = tmp_path / "summary.md"
    variables = {
        "BRANCH": "pr_7",
        "STORE": "preview",
        "BASE": base,
        "COMMIT": head,
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    run(repository, compare, **variables)
    assert summary.read_text().startswith("<!-- metaxy preview of preview -->\n### Feature graph changes")
    checked((repository / "comment.md").read_text())
    assert "Removed 1 table(s)" in run(repository, clean, **variables)
    with duckdb.connect(repository / "prod.duckdb", read_only=True) as prod:
        assert prod.sql("SELECT count(*) FROM caption").fetchall() == [(100,)]


def test_secrets_are_masked_one_by_one_and_comments_are_cut_between_lines(tmp_path: Path) -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/preview.yml").read_text())["jobs"]["preview"]
    read, compare = scripts(job, "Read variables", "Compare")
    secrets = {"VARIABLES": "PASSWORD=a=b%\nEMPTY=", "GITHUB_ENV": str(tmp_path / "environment")}
    assert run(tmp_path, read, **secrets) == "::add-mask::a=b%25\n"
    assert (tmp_path / "environment").read_text() == "PASSWORD=a=b%\nEMPTY=\n"

    fake = tmp_path / "bin" / "mx"  # writes down what it is called with, and a long report
    fake.parent.mkdir()
    fake.write_text('#!/bin/bash\necho "$@" >> calls\nyes "| ééé |" | head -n 9000 > changes.md\n')
    fake.chmod(0o755)
    summary = {"GITHUB_STEP_SUMMARY": os.devnull, "BASE": "main", "STORE": "preview", "COMMIT": "abc"}
    run(tmp_path, f'PATH="$PWD/bin:$PATH"; {compare}', FORK="true", **summary)
    assert (tmp_path / "calls").read_text().splitlines() == [
        "graph-diff render --from-git main --merge-base --only-changes -f markdown -o changes.md"
    ]
    first, *lines = (tmp_path / "comment.md").read_text(encoding="utf-8").splitlines()
    assert first == "<!-- metaxy preview of preview -->"
    assert (set(lines[:-2]), lines[-2:]) == ({"| ééé |"}, ["", "… and more"])
    assert 59_000 < (tmp_path / "comment.md").stat().st_size < 60_100


@pytest.mark.slow
def test_gitlab(repository: Path) -> None:
    page = (ROOT / "docs/previews.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```yaml\n(\.preview:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    jobs = yaml.safe_load(text)
    *commands, comment = jobs["preview"]["script"]
    assert comment.startswith("curl ")
    base, head = (run(repository, f"git rev-parse {name}").strip() for name in ("main", "branch"))
    for command in commands:
        run(repository, command, BRANCH="pr_7", CI_MERGE_REQUEST_DIFF_BASE_SHA=base, CI_COMMIT_SHA=head)
    checked((repository / "changes.md").read_text())
    assert "Removed 1 table(s)" in run(repository, jobs["clean preview"]["script"][0], BRANCH="pr_7")
