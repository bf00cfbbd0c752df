"""What files do that nobody wants: each is a row with a reason, and the rest goes on."""

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import metaxy.content as content
from metaxy.content.files import byte_recipe
from metaxy.content.places import Opened
from metaxy.content.reading import Recipe, versions_of_files

posix = pytest.mark.skipif(sys.platform == "win32", reason="what only POSIX has")


@posix
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "good").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        odd = os.fsencode(tmp_path) + b"/caf\xe9"
        Path(os.fsdecode(odd)).write_bytes(b"here")
        wrong: list[Any] = ["", None, 7, "x" * 300, "zero\0byte", "nosuch://bucket/a", odd, "/dev/zero"]
        names = ["pipe", "loop", "dangling", "s", "good"]
        found = content.hash_files([*(tmp_path / name for name in names), *wrong])
    assert found["version"].is_not_null().to_list() == [name == "good" for name in names] + [False] * len(wrong)
    reasons = [str(error) for error in found["error"]]
    parts = ["a pipe, not", "levels of symbolic", "FileNotFound", "a socket, not", "None", "is empty", "TypeError"]
    parts += ["TypeError", "name too long", "zero byte", "nosuch", "not UTF-8", "a device, not"]
    assert [part for part, reason in zip(parts, reasons, strict=True) if part not in reason] == []
    assert found["path"][11].endswith(r"/caf\udce9")
    assert found["path"].to_list()[5:8] == ["", None, "7"]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs /proc")
def test_files_that_hide_their_size() -> None:
    (error,) = content.hash_files(["/proc/version"])["error"]
    assert error == (
        "ChangedError: it changed while it was read, or is no ordinary file: of 0 bytes, more than that were read"
    )


def test_files_that_grow_or_shrink(tmp_path: Path) -> None:
    """The recipe changes the file before it reads it, so that it always happens."""
    read = byte_recipe("sha256").digest

    def grown(opened: Opened) -> str:
        with Path(opened.name).open("ab") as file:
            file.write(b"more")
        return read(opened)

    def cut(opened: Opened) -> str:
        os.truncate(opened.name, max(0, (opened.stamp.size or 0) - 1))
        return read(opened)

    (tmp_path / "file").write_bytes(b"12345")
    for digest, read_bytes in ((grown, "of 13 bytes, more than that were read"), (cut, "of 15 bytes, 14 were read")):
        (error,) = versions_of_files([tmp_path / "file"], Recipe("test", digest))["error"]
        assert error.startswith("ChangedError: it changed while it was read")
        assert (tmp_path / "file").stat().st_size in (17, 14), read_bytes


def test_changes_while_reading_are_noticed(tmp_path: Path) -> None:
    """The recipe changes the file itself, so that it always happens: once, and whenever it is read."""
    path, times = tmp_path / "file", []

    def digest(opened: Opened) -> str:
        data = opened.stream.read()
        times.append(len(data))
        if len(times) <= changes:
            path.write_bytes(data + b"more")
        return data.decode()

    changes = 1
    path.write_bytes(b"a")
    assert versions_of_files([path], Recipe("test", digest))["version"].to_list() == ["test:amore"]
    changes = 9
    found = versions_of_files([path], Recipe("test", digest))
    assert found["error"].to_list() == ["ChangedError: it changed while it was read"]
    assert len(times) == 2 + 3


def test_a_file_that_vanishes_and_recipes_that_fail(tmp_path: Path) -> None:
    def digest(opened: Opened) -> str:
        Path(opened.name).with_suffix(".done").touch()
        raise ValueError(f"no image in postgresql://me:hunter2@host/db\x1b[31m\nat line 1 {'x' * 600}")

    (tmp_path / "file").write_bytes(b"a")
    (error,) = versions_of_files([tmp_path / "file"], Recipe("test", digest))["error"]
    assert error.startswith(r"ValueError: no image in postgresql://me:***@host/db\u001b[31m")
    assert "\n" not in error
    assert len(error) <= 500


def test_bugs_are_raised(tmp_path: Path) -> None:
    """What is no error of a file ends everything, in the thread that asked."""
    (tmp_path / "file").touch()

    def digest(_: Opened) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        versions_of_files([tmp_path / "file"] * 9, Recipe("test", digest), workers=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("metaxy-content")]


def test_arguments_that_say_nothing(tmp_path: Path) -> None:
    wrong = [
        ({"algorithm": "md5"}, "'md5' is none of"),
        ({"trust": "size"}, "'size' is none of"),
        ({"trust": "mtime"}, "needs cache="),
        ({"on_error": "ignore"}, "'ignore' is none of"),
        ({"workers": 0}, "a number from 1 on"),
    ]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            content.hash_files([tmp_path], **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="paths are several"):
        content.hash_files("one.png")
    assert content.hash_files([]).shape == (0, 6)
