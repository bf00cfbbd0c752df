"""Comparing with a revision runs its code, so a link may only name what somebody has taken over here."""

import subprocess
from pathlib import Path

import pytest

from metaxy.errors import RequestError
from metaxy.project.git import Repository
from metaxy.service.graph import compare
from metaxy.service.project import Project
from metaxy.testing import TempMetaxyProject
from metaxy.ui.api import _side

NAMED = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *NAMED, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_what_was_only_fetched_is_not_run(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path, "raise SystemExit('run')", project="vision")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    git(tmp_path, "checkout", "-q", "-b", "stranger")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "two")
    foreign = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "update-ref", "refs/remotes/origin/stranger", foreign)
    git(tmp_path, "checkout", "-q", "main")
    repository = Repository.around(tmp_path)
    assert (repository.is_own(foreign), repository.is_own(git(tmp_path, "rev-parse", "main"))) == (True, True)
    git(tmp_path, "branch", "-q", "-D", "stranger")
    assert not repository.is_own(foreign)
    for name in ("origin/stranger", foreign):
        with project.config.use(), pytest.raises(RequestError, match="is in no local branch, so its code is not run"):
            compare(Project(tmp_path / "metaxy.toml", named="vision"), _side(f"git:{name}"), "latest")
