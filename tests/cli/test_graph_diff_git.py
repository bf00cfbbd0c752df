"""`mx graph-diff render --from-git`: any revision, whatever it is called, and nothing is touched."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import FEATURES
from tests.factory import rows

from metaxy.errors import RequestError
from metaxy.project.git import Repository
from metaxy.testing import TempMetaxyProject

CHANGED = FEATURES.replace('code_version="1"', 'code_version="2"')
ROOT = FEATURES.partition("class Crop")[0]
DIFF = ["graph-diff", "render", "--only-changes", "--minimal"]


def git(project: TempMetaxyProject, *arguments: str) -> str:
    names = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *names, *arguments], cwd=project.path, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(project: TempMetaxyProject, message: str) -> None:
    git(project, "add", "--all", "--", ":!*.duckdb*")
    git(project, "commit", "--quiet", "--message", message)


@pytest.fixture
def project(tmp_path: Path) -> TempMetaxyProject:
    """One commit on `main`, and nothing else."""
    project = TempMetaxyProject(tmp_path / "repository", FEATURES, project="vision")
    git(project, "init", "--quiet", "--initial-branch=main")
    commit(project, "first")
    return project


def summary(project: TempMetaxyProject, *arguments: str, **variables: str) -> str:
    return project.run_cli([*DIFF, *arguments], env=variables).stdout.splitlines()[-1]


def complaint(project: TempMetaxyProject, *arguments: str, code: int = 2) -> str:
    result = project.run_cli([*DIFF, *arguments], check=False)
    assert (result.returncode, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    return result.stderr


def test_the_code_is_compared_with_revisions_and_they_with_each_other(project: TempMetaxyProject) -> None:
    assert summary(project, "--from-git", "main", "--exit-code") == "no changes"
    project.with_features(CHANGED)
    result = project.run_cli([*DIFF, "--from-git", "HEAD", "--exit-code"], check=False)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (1, "~1")
    assert result.stderr == "ℹ changes of vision/features.py are not committed; `current` has them\n"  # noqa: RUF001

    git(project, "checkout", "--quiet", "-b", "feature/crop")
    commit(project, "second")
    git(project, "checkout", "--quiet", "main")
    project.with_features(ROOT)
    commit(project, "only on main")
    git(project, "checkout", "--quiet", "feature/crop")
    project.with_features(CHANGED)
    before = {file: file.stat().st_mtime_ns for file in project.path.rglob("*") if file.name == "index" or file.suffix}
    assert summary(project, "--from-git", "main") == "+1"
    assert summary(project, "--from-git", "main", "--merge-base") == "~1"
    assert summary(project, "--from-git", "main~1", "--to-git", git(project, "rev-parse", "HEAD")) == "~1"
    assert summary(project, "current", "--to-git", "main") == "-1"
    assert before == {file: file.stat().st_mtime_ns for file in before}
    assert git(project, "status", "--porcelain", "--untracked-files=no") == ""

    project.run_cli(["push"])
    assert summary(project) == "no changes"  # what was pushed last
    assert summary(project, "--to-git", "main") == "-1"
    assert summary(project, "--from-git", "main", "latest") == "+1"
    data = json.loads(project.run_cli(["graph-diff", "render", "--from-git", "main~1", "-f", "json"]).stdout)
    crop = data["nodes"]["video/crop"]
    assert (crop["status"], len(crop["old_version"]), crop["field_changes"][0]["status"]) == ("changed", 16, "changed")


def test_a_revision_that_is_not_there(project: TempMetaxyProject, tmp_path: Path) -> None:
    for name in ("--output=x", "-h", "$(touch x)", ""):
        assert "there is no revision" in complaint(project, f"--from-git={name}"), name
    repository = Repository.around(project.path)
    names = ["mian", "-h", "`touch x`", "; touch x", "^main", "main..main", "a\nb", "é", "\0", "main:vision", "HEAD~7"]
    for name in [*names, "../../etc", "a" * 300]:
        with pytest.raises(RequestError, match="there is no revision"):
            repository.commit(name)
    assert "Did you mean 'main'?" in complaint(project, "--from-git", "mian")
    assert sorted(file.name for file in project.path.iterdir()) == [".git", "metaxy.toml", "vision"]
    git(project, "update-ref", "refs/remotes/origin/prod", "HEAD")
    assert "Did you mean 'origin/prod'?" in complaint(project, "--from-git", "prod")
    if sys.platform != "win32":  # where such a name is no name of a file either
        git(project, "update-ref", "refs/heads/$(touch-x;id)'\"|&", "HEAD")
        assert summary(project, "--from-git", "$(touch-x;id)'\"|&") == "no changes"

    shallow = TempMetaxyProject(tmp_path / "shallow", FEATURES, project="vision")
    git(shallow, "clone", "--quiet", "--bare", "--depth=1", project.path.as_uri(), ".git")
    git(shallow, "config", "core.bare", "false")
    assert "fetch-depth: 0" in complaint(shallow, "--from-git", "HEAD~1")


def test_without_git_or_a_repository(project: TempMetaxyProject, tmp_path: Path) -> None:
    outside = TempMetaxyProject(tmp_path / "outside", FEATURES, project="vision")
    assert f"{outside.path} is in no git repository" in complaint(outside, "--from-git", "main")
    result = project.run_cli([*DIFF, "--from-git", "main"], check=False, env={"PATH": ""})
    assert "git is not installed" in result.stderr
    assert "a comparison has two versions" in complaint(project, "a", "b", "--from-git", "main")
    assert "a comparison has two versions" in complaint(project, "a", "--from-git", "main", "--to-git", "main")
    assert "--merge-base says which commit of --from-git" in complaint(project, "--merge-base")


def test_code_that_cannot_be_loaded_is_told_in_a_line(project: TempMetaxyProject) -> None:
    for text, said in {
        "import gone": "vision/features.py:1: ModuleNotFoundError: No module named 'gone'",
        "import os; os._exit(3)": "Python ended with code 3: it says nothing",
        "raise SystemExit('no')": "vision/features.py:1: SystemExit: no",
    }.items():
        project.with_features(text)
        commit(project, "broken")
        project.with_features(FEATURES)
        error = complaint(project, "--from-git", "HEAD", code=1)
        assert "Error: the code of 'HEAD' (" in error
        assert said in error
        assert error.count("\n") == 1
        assert "metaxy-revision-" not in error


def test_a_project_in_a_folder_of_a_repository_with_hooks(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path / "repository" / "a b" / "é", FEATURES, project="vision")
    git(project, "init", "--quiet", "--initial-branch=main", str(tmp_path / "repository"))
    (project.path / ".gitattributes").write_text("* export-ignore filter=lfs\n")
    commit(project, "first")
    git(project, "config", "filter.lfs.process", "a-program-that-is-not-installed")
    git(project, "config", "filter.lfs.required", "true")
    for name in ("post-checkout", "post-index-change"):
        hook = tmp_path / "repository" / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
        hook.chmod(0o755)
    project.with_features(CHANGED)
    config = str(project.path / "metaxy.toml")
    names = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_SHALLOW_FILE")
    of_a_hook = dict.fromkeys(names, "/nowhere") | {"GIT_LITERAL_PATHSPECS": "1", "METAXY_CONFIG": config}
    result = project.run_cli([*DIFF, "--from-git", "main", "--config-file", config], env=of_a_hook)
    assert result.stdout.splitlines()[-1] == "~1"
    assert "features.py are not committed" in result.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals that programs handle")
def test_a_comparison_that_is_ended_leaves_nothing_behind(project: TempMetaxyProject, tmp_path: Path) -> None:
    (folder := tmp_path / "temporary").mkdir()
    note = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))"
    end = "signal.alarm(60), os.kill(os.getppid(), signal.SIGTERM), signal.pause()"
    project.with_features(f"import os, signal\n{note}, {end}")
    commit(project, "ends its parent")
    project.with_features(FEATURES)
    result = project.run_cli([*DIFF, "--from-git", "HEAD"], check=False, env={"TMPDIR": str(folder)}, subprocess=True)
    assert (result.returncode, list(folder.iterdir())) == (128 + signal.SIGTERM, [])
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_the_code_prints_is_no_part_of_the_picture(project: TempMetaxyProject) -> None:
    project.with_features(f"import sys\nprint('out')\nprint('err', file=sys.stderr)\n{FEATURES}")
    commit(project, "chatty")
    project.with_features(FEATURES)
    result = project.run_cli([*DIFF, "--from-git", "HEAD"])
    assert (result.stdout, result.stderr.count("\n")) == ("📊 Graph changes\nno changes\n", 1)


def test_a_project_that_was_not_there_yet(project: TempMetaxyProject) -> None:
    git(project, "rm", "--quiet", "--cached", "metaxy.toml")
    git(project, "commit", "--quiet", "--message", "no configuration")
    result = project.run_cli([*DIFF, "--from-git", "HEAD"])
    assert result.stdout.splitlines()[-1] == "+2"
    assert "Warning: git revision HEAD has no features of this project" in result.stderr


def test_stats_count_what_a_change_will_compute(project: TempMetaxyProject) -> None:
    with project.use(), project.store().open("w") as store:
        store.write("video/raw", rows({"audio": "1", "frames": "1"}, id=["a", "b", "c"]))
        store.write("video/crop", store.resolve_update("video/crop").new)
    leaf = 'spec=mx.FeatureSpec(key="faces", id_columns=["id"], deps=[Crop])'
    project.with_features(f"{CHANGED}\n\nclass Faces(mx.BaseFeature, {leaf}):\n    id: str\n")
    diff = [*DIFF, "--from-git", "main", "--stats"]
    assert summary(project, *diff[4:]) == "+1 ~1, samples to compute: 6"
    lines = project.run_cli([*diff, "--no-show-changes"]).stdout.splitlines()
    assert sum("3 new, 0 stale, 0 orphaned" in line for line in lines) == 2
    data = json.loads(project.run_cli([*diff, "-f", "json"]).stdout)["nodes"]
    work = {"new": 3, "stale": 0, "orphaned": 0, "unknown": None}
    assert {key: node.get("work") for key, node in data.items()} == {"video/crop": work, "faces": work}
    report = project.run_cli([*diff, "-f", "markdown"]).stdout
    assert "**+1 ~1, samples to compute: 6**" in report
    assert "```mermaid" in report
    project.with_features(CHANGED.replace('"frames"])', '"frames"], metadata={"a": 1})').replace("2", "1"))
    assert summary(project, *diff[4:]) == "✎1"  # nothing to count
    assert "--stats counts what the code as it is will compute" in complaint(project, *diff[4:], "latest")


EDITABLE = """
import sys
from importlib.util import spec_from_file_location
from pathlib import Path

MAPPING = {"mapped": sys.argv and r"REPOSITORY/packages/mapped"}


class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in MAPPING:
            return spec_from_file_location(name, Path(MAPPING[name], "__init__.py"))


sys.meta_path.append(Finder)
"""


def test_packages_that_point_into_the_work_tree_are_those_of_the_revision(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path / "repository", "", project="vision")
    texts = {"src/on_path.py": "version = '1'\n", "packages/mapped/__init__.py": "version = '1'\n"}
    for name, text in texts.items():
        (project.path / name).parent.mkdir(parents=True)
        (project.path / name).write_text(text)
    project.with_features(
        "import mapped, on_path\n"
        + FEATURES.replace('code_version="1"', "code_version=mapped.version + on_path.version")
    )
    git(project, "init", "--quiet", "--initial-branch=main")
    commit(project, "first")
    for name in texts:
        (project.path / name).write_text("version = '2'\n")
    site = tmp_path / "site"
    site.mkdir()
    (site / "editable_finder.py").write_text(EDITABLE.replace("REPOSITORY", str(project.path)))
    (site / "sitecustomize.py").write_text("import editable_finder\n")
    path = os.pathsep.join([str(site), str(project.path / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "metaxy.cli.app", "graph-diff", "render", "--from-git", "main", "-f", "json"],
        cwd=project.path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    [change] = json.loads(done.stdout)["nodes"]["video/crop"]["field_changes"]
    assert change["changes"] == ["code version 11 → 22"]

    (site / "sitecustomize.py").write_text("import sys, editable_finder\nsys.path.append('src')\nimport on_path\n")
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(done.args, cwd=project.path, env=environment, capture_output=True, text=True)
    assert "module 'on_path' was imported from" in done.stdout
