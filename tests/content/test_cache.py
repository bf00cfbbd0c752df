"""What a cache remembers, and when it is believed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import metaxy.content as content
from metaxy.content.cache import RACY, Cache, Known
from metaxy.content.places import Local, Opened
from metaxy.content.reading import Recipe, versions_of_files
from metaxy.errors import ContentCacheWarning, ContentError

LONG_AGO = 1_600_000_000_000_000_001


def old(path: Path, data: bytes) -> Path:
    """Write a file, and let its times be those of a file that was written long ago."""
    path.write_bytes(data)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


class Counting:
    """A recipe that says what it read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, paths: Any, cache: Path, **options: Any) -> list[str]:
        self.read = []
        return versions_of_files(paths, Recipe("test", self.digest), cache=cache, **options)["version"].to_list()

    def digest(self, opened: Opened) -> str:
        self.read.append(Path(opened.name).name)
        return opened.stream.read().decode()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may be believed as soon as they are written: nobody writes them again in the same tick here."""
    monkeypatch.setattr("metaxy.content.cache.RACY", -(10**18))


@pytest.mark.usefixtures("settled")
def test_what_has_not_changed_is_not_read(tmp_path: Path) -> None:
    count, cache = Counting(), tmp_path / "cache"
    paths = [old(tmp_path / name, name.encode()) for name in "abcde"]
    everything = [f"test:{name}" for name in "abcde"]
    assert count(paths, cache, trust="mtime") == everything
    assert count(paths, cache, trust="mtime") == everything
    assert count.read == []
    assert count(paths, cache, trust="content") == everything
    assert sorted(count.read) == list("abcde")
    assert count(paths, cache, trust="etag") == everything  # files have none
    assert sorted(count.read) == list("abcde")

    old(paths[0], b"A")  # size and time are those of before, and only the other time says so
    other = old(tmp_path / "other", b"B")
    other.replace(paths[1])
    paths[2].write_bytes(b"longer")
    os.utime(paths[3], ns=(LONG_AGO + 1, LONG_AGO + 1))
    paths[4].unlink()
    assert count(paths, cache, trust="mtime") == ["test:A", "test:B", "test:longer", "test:d", None]
    assert sorted(count.read) == list("abcd")
    assert count(paths, cache, trust="mtime") == ["test:A", "test:B", "test:longer", "test:d", None]
    assert count.read == []


def test_what_was_just_written_is_not_believed(tmp_path: Path) -> None:
    """It may be written again in the same tick of the clock, with equal size and times."""
    path, cache = old(tmp_path / "file", b"x"), Cache(tmp_path / "cache")
    stamp = Local(str(path)).stamp()
    last = max(stamp.modified or 0, stamp.changed)
    for began, believed in ((last, {}), (last + RACY, {}), (last + RACY + 1, {str(path): "v"}), (last - 1, {})):
        cache.path.unlink(missing_ok=True)
        cache.remember("test", [Known(str(path), "v", stamp, began)])
        assert cache.known("test", {str(path): stamp}, "mtime") == believed
    assert cache.known("other", {str(path): stamp}, "mtime") == {}


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a note of mine, which is long enough to be no empty database" * 9)
    with sqlite3.connect(tmp_path / "theirs") as database:
        database.execute("CREATE TABLE versions (mine)")
    database.close()
    for name, message in (("text", "not a database"), ("theirs", "is no cache"), ("gone/cache", "unable to open")):
        before = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None
        with pytest.raises(ContentError, match=message):
            content.hash_files([tmp_path / "text"], trust="mtime", cache=tmp_path / name)
        with pytest.raises(ContentError, match=message):  # before anything is read
            content.hash_files([tmp_path / "text"], cache=tmp_path / name)
        assert before is None or (tmp_path / name).read_bytes() == before
    if Path("/dev/null").is_char_device():  # which takes everything and gives nothing back, so that commits fail
        with pytest.raises(ContentError, match="cannot be used: disk I/O error"):
            content.hash_files([tmp_path / "text"], trust="mtime", cache="/dev/null")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("trust", ["mtime", "content"])
def test_what_was_read_is_not_lost_with_the_cache(tmp_path: Path, trust: str) -> None:
    """As where a disk is full, or files can only be read: here the file of the cache is gone when all is read."""
    paths, cache = [old(tmp_path / name, name.encode()) for name in "abc"], tmp_path / "cache"

    def digest(opened: Opened) -> str:
        if not cache.is_dir():
            cache.unlink()
            cache.mkdir()
        return opened.stream.read().decode()

    options: dict[str, Any] = {"trust": trust, "cache": cache, "workers": 1}
    with pytest.warns(ContentCacheWarning, match="cannot be used: unable to open.*versions are right") as warned:
        found = versions_of_files(paths, Recipe("test", digest), **options)
    assert found["version"].to_list() == ["test:a", "test:b", "test:c"]
    assert [Path(each.filename).name for each in warned] == ["test_cache.py"]


def test_passwords_in_urls_are_not_kept(tmp_path: Path) -> None:
    cache, url = Cache(tmp_path / "cache"), "https://me:hunter2@host/file"
    stamp = Local(str(old(tmp_path / "file", b"x"))).stamp()
    cache.remember("test", [Known(url, "v", stamp, 2 * max(stamp.modified or 0, stamp.changed))])
    assert cache.known("test", {url: stamp}, "mtime") == {url: "v"}
    assert b"hunter2" not in cache.path.read_bytes()


WRITER = """
import sys
from metaxy.content.cache import Cache, Known
from metaxy.content.places import Stamp
cache = Cache(sys.argv[1])
for turn in range(10**9):
    rows = [Known(f"{number}", f"v{number}", Stamp(number, 1, 1, 1), 10**18) for number in range(2000)]
    cache.remember(f"recipe {turn % 7}", rows)
    print(turn, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
def test_it_survives_kills_beside_other_processes(tmp_path: Path) -> None:
    """Two processes write and are killed at any point; whatever was said to be remembered is there, and whole."""
    from metaxy.content.places import Stamp

    path = tmp_path / "cache"
    stamps = {f"{number}": Stamp(number, 1, 1, 1) for number in range(2000)}
    for delay in (0.0, 0.003, 0.011, 0.02):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [writer.stdout.readline() for writer in writers if writer.stdout]
        time.sleep(delay)  # where in a transaction it is killed
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        assert all(said)
        assert Cache(path).known("recipe 0", stamps, "mtime") == {f"{n}": f"v{n}" for n in range(2000)}
        with sqlite3.connect(path) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            counts = database.execute("SELECT count(*) FROM versions GROUP BY recipe").fetchall()
        database.close()
        assert {count for (count,) in counts} == {2000}


@pytest.mark.usefixtures("settled")
def test_many_begin_at_once(tmp_path: Path) -> None:
    paths = [old(tmp_path / f"{number}", b"x") for number in range(20)]

    def run(_: int) -> list[str]:
        found = content.hash_files(paths, trust="mtime", cache=tmp_path / "cache", workers=2)
        return found["version"].to_list()

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(run, range(8)))
    assert all(result == results[0] for result in results)
