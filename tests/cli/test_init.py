"""A new project works at once, with every command."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metaxy.cli.app import main
from metaxy.config import MetaxyConfig
from metaxy.testing import CliResult, TempMetaxyProject

HINT = (
    "there are: 4 in project features; a feature belongs to the project that its package is named after, or "
    "__metaxy_project__ says"
)


class NewProject(TempMetaxyProject):
    """A project that `mx init` wrote."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        for file in (path / "metaxy.toml", path / "test_project" / "__init__.py"):
            file.unlink()
        (path / "test_project").rmdir()
        self.run_cli(["init", "--project", "zoo"])

    def pipeline(self) -> list[tuple[str, int, int, int]]:
        """Run the project; return the new, stale and computed samples of each feature."""
        features = json.loads(self.run_cli(["run", "--format", "json"]).stdout)["features"]
        return [(key, each["new"], each["stale"], each["done"]) for key, each in features.items()]

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.path / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> NewProject:
    return NewProject(tmp_path)


def test_the_pipeline_computes_what_changed(project: NewProject) -> None:
    assert [counts for _, *counts in project.pipeline()] == [[3, 0, 3]] * 4
    assert [counts for _, *counts in project.pipeline()] == [[0, 0, 0]] * 4
    project.edit("videos/cat/audio.txt", "hello", "goodbye")
    project.edit("features.py", 'key="faces", code_version="1"', 'key="faces", code_version="2"')
    assert project.pipeline() == [
        ("video", 0, 1, 1),
        ("video/faces", 3, 0, 3),
        ("video/transcript", 0, 1, 1),
        ("summary", 3, 0, 3),
    ]


def test_options_of_a_run_that_mean_nothing_are_refused(project: NewProject) -> None:
    def told(*options: str) -> str:
        refused = project.run_cli(["run", *options], check=False)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        return refused.stderr

    assert "--lease is for samples that are claimed: add --claim" in told("--lease", "60")
    assert "so --workers and --watch would mean nothing" in told("--dry-run", "--workers", "2", "--watch", "1")
    planned = json.loads(project.run_cli(["run", "video", "--dry-run", "--limit", "2", "--format", "json"]).stdout)
    assert [(each["new"], each["stale"]) for each in planned["plan"]] == [(2, 0)]


def test_runs_share_samples(project: NewProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    project.run_cli(["run", "video"])
    with MetaxyConfig.load().use() as config, project.graph.use():
        claim = config.get_store().claim("video/faces", limit=1)
    shared = project.run_cli(["run", "video/faces", "--claim", "--lease", "60"], check=False)
    assert "video/faces: 1 samples are held by other workers." in shared.stderr
    assert shared.returncode == 1
    claim.release()
    features = json.loads(project.run_cli(["run", "--claim", "--format", "json"]).stdout)["features"]
    assert [each["done"] for each in features.values()] == [0, 1, 3, 3]


def test_a_run_that_leaves_samples_or_has_no_features_is_not_in_sync(project: NewProject) -> None:
    some = project.run_cli(["run", "video", "--limit", "2"], check=False)
    assert (some.returncode, "All is in sync" in some.stderr) == (1, False)
    assert "video: there are more samples to compute than the limit; run again to go on." in some.stderr
    assert project.run_cli(["run", "video", "--limit", "1"]).returncode == 0
    for name in ("cat", "dog", "owl", "yak"):
        (project.path / "videos" / name).mkdir(exist_ok=True)
        (project.path / "videos" / name / "audio.txt").write_bytes(b"\xff")
    failed = project.run_cli(["run"], check=False)
    assert failed.stderr.count("video/transcript: id = ") == 3
    assert "video/transcript: 1 more failed: `mx metadata errors` shows them" in failed.stderr
    features = project.path / "features.py"
    features.write_text(features.read_text().replace('__metaxy_project__ = "zoo"', ""))
    for options in ([], ["--dry-run"]):
        nothing = project.run_cli(["run", *options], check=False)
        assert nothing.returncode != 0
        assert "project zoo has no features" in nothing.stderr
        assert HINT in nothing.stderr
    listed = [project.run_cli([*command.split()]) for command in ("list features", "metadata status", "metadata stats")]
    assert [HINT in each.stderr for each in listed] == [True] * 3


def test_a_run_that_watches_computes_again_and_again_until_ctrl_c(project: NewProject) -> None:
    command = [sys.executable, "-m", "metaxy.cli.app", "run", "video", "--watch", "0.01", "--format", "json"]
    with subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        done: list[str] = []
        while len(done) < 3:
            line = run.stdout.readline()
            done += [line.strip()] if '"done"' in line else []
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate()
    assert done == ['"done": 3,', '"done": 0,', '"done": 0,']
    assert run.returncode == 130
    assert re.fullmatch(r"(interrupted: .+\n)?", said)  # it says how far it came in the middle of a feature


def test_a_folder_that_is_missing_or_empty_is_named_and_orphans_nothing(project: NewProject) -> None:
    videos, elsewhere = project.path / "videos", project.path / "elsewhere"
    project.pipeline()
    videos.rename(elsewhere)
    missing = project.run_cli(["run"], check=False)
    assert missing.returncode == 1
    assert "videos cannot be listed: FileNotFoundError" in missing.stderr
    assert "its samples would look deleted" in missing.stderr
    videos.mkdir()
    empty = project.run_cli(["run", "--orphaned", "delete"], check=False)
    assert "video: find_videos found no samples" in empty.stderr
    assert "3 of its 3 samples are orphaned, more than max_share=0.5 lets go" in empty.stderr
    videos.rmdir()
    elsewhere.rename(videos)
    assert [counts for _, *counts in project.pipeline()] == [[0, 0, 0]] * 4


def test_a_folder_of_videos_that_is_there_gets_no_samples(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    found = NewProject(tmp_path).run_cli(["run"], check=False)
    assert "video: find_videos found no samples" in found.stderr
    assert list((tmp_path / "videos").iterdir()) == []


COMMANDS = (
    ["list", "features"],
    ["list", "stores"],
    ["describe", "graph"],
    ["describe", "features", "--all-features"],
    ["graph", "render"],
    ["graph", "lineage", "summary"],
    ["push"],
    ["graph-diff", "render", "latest"],
    ["metadata", "status"],
    ["history"],
    ["lock"],
    ["lock", "--check"],
    ["metadata", "stats"],
    ["metadata", "show", "summary"],
    ["metadata", "copy", "--all-features", "--from", "dev", "--to", "prod"],
    ["metadata", "delete", "--all-features", "--hard", "--yes", "--dry-run"],
    ["config", "print"],
    ["doctor"],
)


def test_every_command_runs_in_it(project: NewProject) -> None:
    project.pipeline()
    for command in COMMANDS:
        result = project.run_cli(command)
        assert "Warning" not in result.stderr, command
    assert MetaxyConfig.load(project.path / "metaxy.toml").hash_truncation_length == 16


def test_the_way_of_a_newcomer(project: NewProject) -> None:
    """As the README tells it."""
    project.pipeline()
    project.run_cli(["push"])
    project.edit("features.py", 'key="faces", code_version="1"', 'key="faces", code_version="2"')
    diff = project.run_cli(["graph-diff", "render", "latest", "current", "--only-changes"]).stdout
    assert "video/faces (project: zoo)" in diff
    assert diff.endswith("~1 ↻1\n")
    status = json.loads(project.run_cli(["metadata", "status", "--format", "json"]).stdout)
    missing = {key: (each["status"], each.get("missing")) for key, each in status["features"].items()}
    assert missing == {
        "video": ("root_feature", None),
        "video/faces": ("needs_update", 3),
        "video/transcript": ("up_to_date", 0),
        "summary": ("needs_update", None),  # it waits for the faces
    }
    assert project.run_cli(["metadata", "status", "--assert-in-sync"], check=False).returncode == 1
    project.pipeline()
    assert project.run_cli(["metadata", "status", "--assert-in-sync"]).returncode == 0


def test_commands_run_before_anything_was_computed(project: NewProject) -> None:
    for command in COMMANDS:
        if command[:2] not in (["metadata", "show"], ["metadata", "copy"], ["metadata", "delete"]):
            project.run_cli(command)
    assert "has no table" in project.run_cli(["metadata", "show", "summary"], check=False).stderr


def run_in(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str) -> CliResult:
    monkeypatch.chdir(folder)
    code = main(args)
    return CliResult(args, code, *capsys.readouterr())


def test_the_project_is_called_like_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_in(tmp_path, capsys, monkeypatch, "init", "My zoo__1")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        *(str(Path("My zoo__1", name)) for name in ("metaxy.toml", "features.py", "pipeline.py", ".gitignore")),
        *(
            str(Path("My zoo__1", "videos", name, file))
            for name in ("cat", "dog", "owl")
            for file in ("audio.txt", "frames.txt")
        ),
    ]
    assert "cd My zoo__1" in result.stderr
    assert 'project = "My-zoo_1"' in (tmp_path / "My zoo__1" / "metaxy.toml").read_text()


def test_what_is_there_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    assert run_in(tmp_path, capsys, monkeypatch, "init").returncode == 0
    assert (tmp_path / ".gitignore").read_text() == "mine"
    before = (tmp_path / "features.py").read_text()
    (tmp_path / "metaxy.toml").unlink()
    again = run_in(tmp_path, capsys, monkeypatch, "init")
    assert (again.returncode, again.stdout) == (1, "")
    assert "features.py and pipeline.py already" in again.stderr
    assert (tmp_path / "features.py").read_text() == before
    assert not (tmp_path / "metaxy.toml").exists()


def test_a_place_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    result = run_in(tmp_path, capsys, monkeypatch, "init", "file/project")
    assert result.returncode == 1
    assert "cannot write the project to" in result.stderr


@pytest.mark.parametrize("name", ["../x", 'a"b', "a\nb", "a__b", "größe", "a b", "{name}"])
def test_a_project_that_nothing_could_load_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "new", "--project", name]) == 2
    said = capsys.readouterr().err
    assert "is not a name of letters, digits, - and single _; try '" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert main(["init", "new", "--project", said.rpartition("try '")[2].rstrip("'\n")]) == 0
    monkeypatch.chdir(tmp_path / "new")
    assert main(["list", "stores"]) == 0
