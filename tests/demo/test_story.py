"""The story of the demo: told twice on both stores, with the right numbers, in a folder that works by itself."""

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import polars as pl
import pytest
from rich.console import Console

import metaxy as mx
from metaxy.cli.app import main
from metaxy.cli.demo import demo
from metaxy.demo import project
from metaxy.demo.story import run_demo
from metaxy.errors import MetaxyError

STORES: list[project.StoreType] = ["duckdb", "delta"]
Row = tuple[str, ...]

FIRST = [("video", "50", "0", "0"), *((name, "50", "0", "0", "50", "0") for name in ("crop", "faces", "transcript"))]
BACK = [("video", "1", "0", "0"), *((name, "1", "0", "0", "1", "49") for name in ("crop", "faces", "transcript"))]
NOTHING = [("video", "0", "0", "0"), *((name, "0", "0", "0", "0", "50") for name in ("crop", "faces", "transcript"))]
SOUNDS = [("video", "0", "5", "0"), *NOTHING[1:3], ("transcript", "0", "5", "0", "5", "45")]
SAVED = [("video", "0", "5", "0"), ("crop", "0", "5", "0", "5", "45"), *NOTHING[2:]]
CODE = [NOTHING[0], ("crop", "50", "0", "0", "50", "0"), ("faces", "50", "0", "0", "50", "0"), NOTHING[3]]
GONE = [("video", "0", "0", "1"), *((name, "0", "0", "1", "0", "49") for name in ("crop", "faces", "transcript"))]


@pytest.fixture(autouse=True)
def leave_no_trace() -> Iterator[None]:
    yield
    mx.MetaxyConfig.reset()
    project.forget_features()


def tell(path: Path, store: project.StoreType = "duckdb") -> str:
    console = Console(file=io.StringIO(), width=120)
    run_demo(path, store, False, console)
    mx.MetaxyConfig.reset()
    return cast("io.StringIO", console.file).getvalue()


@pytest.fixture(scope="module", params=STORES)
def told_twice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    folder = tmp_path_factory.mktemp("demo") / request.param
    return folder, tell(folder, request.param), tell(folder, request.param)


@pytest.fixture
def told(told_twice: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A folder of its own in which the demo has run."""
    return shutil.copytree(told_twice[0], tmp_path / "copy")


def tables(story: str) -> list[list[Row]]:
    """Return the rows of each table about features, without its head."""
    found: list[list[Row]] = []
    for line in story.splitlines():
        if line.startswith("feature "):
            found.append([])
        elif line.startswith(("video ", "crop ", "faces ", "transcript ")):
            found[-1].append(tuple(line.split()))
    return found


def test_the_story_has_the_right_numbers(told_twice: tuple[Path, str, str]) -> None:
    _, first, _ = told_twice
    assert tables(first) == [FIRST, NOTHING, SOUNDS, SAVED, CODE, GONE]
    assert "200 media files written" in first
    assert "All 150 samples were computed" in first
    assert "145 of 150 samples were not recomputed" in first
    assert "260 samples were computed; without Metaxy it would have been 897" in first
    assert "other code: version 2 instead of 1" in first


def test_the_second_time_it_goes_on(told_twice: tuple[Path, str, str]) -> None:
    folder, _, second = told_twice
    assert tables(second) == [BACK, NOTHING, SOUNDS, SAVED, CODE, GONE]
    assert "4 media files written" in second
    assert "another store" not in second
    assert "other code: version 3 instead of 2" in second
    assert 'CROP_VERSION = "3"' in (folder / "features.py").read_text()


def test_what_was_computed_is_right(told_twice: tuple[Path, str, str]) -> None:
    rows = {key: stored(told_twice[0], key) for key in ("video", "crop", "faces", "transcript")}
    assert {key: len(frame) for key, frame in rows.items()} == dict.fromkeys(rows, 49)
    assert rows["faces"].sort("video")["faces"].head(3).to_list() == [5, 6, 10]
    assert rows["faces"]["faces"].is_between(3, 12).all()
    assert rows["transcript"]["loudness"].is_between(-40, 0, closed="none").all()
    assert rows["transcript"]["text"].str.contains(r"^(la|-)( la| -){9}$").all()
    assert (rows["crop"]["pixels"] <= 3 * 64 * 48).all()


def stored(folder: Path, feature: str) -> pl.DataFrame:
    with project.inside(folder), mx.FeatureGraph().use():
        project.forget_features()
        with mx.init(Path("metaxy.toml")).get_store() as store:
            return store.read(feature).collect("polars").to_polars()


def test_no_file_knows_where_the_folder_is(told_twice: tuple[Path, str, str]) -> None:
    folder = told_twice[0]
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 300
    assert [file for file in files if str(folder.parent).encode() in read_as_delta_does(file)] == []


def read_as_delta_does(file: Path) -> bytes:
    """Leave out where a table was created, which its log tells people, and no reader looks at."""
    content = file.read_bytes()
    return re.sub(rb'"location":"[^"]*"', b"", content) if file.parent.name == "_delta_log" else content


def test_a_change_of_the_user_is_seen_and_kept(told: Path) -> None:
    features = told / "features.py"
    features.write_text(features.read_text().replace('fields=["count"]', 'fields=["how-many"]'))
    first, *_ = tables(tell(told))
    assert first == [BACK[0], BACK[1], ("faces", "50", "0", "0", "50", "0"), BACK[3]]
    assert '"how-many"' in features.read_text()


def test_what_goes_wrong_is_said(told: Path) -> None:
    (told / "videos" / "video_07" / "audio.wav").write_bytes(b"no sound")
    assert "video = 'video_07': Error: file does not start with RIFF id" in tell(told)
    (told / "features.py").write_text('CROP_VERSION = "1"\n')
    with pytest.raises(MetaxyError, match=r"no function below @mx\.computes"):
        tell(told)


def test_a_demo_keeps_its_store(tmp_path: Path) -> None:
    project.prepare(tmp_path, "delta", fresh=False)
    assert "another store and keeps it; --fresh starts over with duckdb" in tell(tmp_path, "duckdb")
    assert not (tmp_path / "store.duckdb").exists()


def test_an_interrupted_demo_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(file: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metaxy.demo.project.raise_code_version", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tell(tmp_path)
    monkeypatch.undo()
    assert tables(tell(tmp_path)) == [NOTHING, NOTHING, SOUNDS, SAVED, CODE, GONE]


def test_the_module_can_be_imported_in_the_folder(told: Path) -> None:
    code = "import metaxy as mx; mx.init(); print(*sorted(map(str, mx.current_graph().list_features())))"
    done = subprocess.run([sys.executable, "-c", code], cwd=told, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["crop", "faces", "transcript", "video"]


def test_the_command_prints_the_story(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo(told)
    shown = capsys.readouterr().out
    assert "1. Go on where the last demo ended" in shown
    assert "6. video_50 is removed" in shown
    assert "\x1b" not in shown


COMMANDS = (
    "list features --verbose",
    "list stores",
    "describe graph",
    "describe features --all-features",
    "graph render",
    "push",
    "history",
    "graph-diff render latest current",
    "metadata status --assert-in-sync",
    "metadata stats",
    "metadata show faces",
    "lock",
    "config print",
    "doctor",
)


def test_all_commands_run_in_the_folder(
    told: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(told)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for command in COMMANDS:
        with mx.FeatureGraph().use():
            code = main(command.split())
        project.forget_features()
        out, err = capsys.readouterr()
        assert code == 0, f"{command}: {out}{err}"
        assert "Warning" not in err, command
