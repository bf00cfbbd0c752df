"""Threads that work off a list, and what they show."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

import metaxy.content as content
from metaxy.content.running import LateBar, in_threads


def test_results_are_in_the_order_of_the_jobs() -> None:
    done = threading.Event()

    def job(number: int) -> int:
        if number == 0:
            assert done.wait(10)  # the first one ends last
        elif number == 99:
            done.set()
        return -number

    told: list[tuple[int, int]] = []
    assert in_threads(job, range(100), workers=3, finished=told.extend) == [-number for number in range(100)]
    assert sorted(told) == [(number, -number) for number in range(100)]
    assert in_threads(job, [], workers=3) == []


def test_wrong_numbers_are_refused_before_an_input_is_made() -> None:
    hashes: list[Callable[..., object]] = [content.hash_files, content.hash_images, content.hash_audio]
    wrong: list[dict[str, object]] = [{"workers": 0}, {"workers": True}, {"workers": "2"}, {"retries": -1}]
    for hash_them, options in product(hashes, wrong):
        with pytest.raises(ValueError, match=r"(workers|retries) is a number from"):
            hash_them(never(), **options)
    with pytest.raises(ValueError, match="workers is a number"):
        content.hash_arrays(never(), workers=0)


def never() -> Iterator[object]:
    raise AssertionError
    yield


def test_long_work_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    (tmp_path / "file").touch()
    shown: pytest.CaptureFixture[str] = capsys  # type: ignore[assignment]
    content.hash_files([tmp_path / "file"] * 20, progress=True)  # it takes no longer than a moment
    content.hash_files([tmp_path / "file"] * 20)  # there is no terminal
    assert shown.readouterr().err == ""
    monkeypatch.setattr("metaxy.content.running.PATIENCE", -1.0)
    with LateBar("hashing", 3, unit="files", shown=True) as bar:
        bar.advance(2, 0)
        bar.advance(1, 0)
        bar.note("well")
    assert shown.readouterr().err.startswith("hashing: 3 of 3 files, ")


INTERRUPTED = """
import os, sys, threading
from metaxy.content.reading import Recipe, versions_of_files
def digest(opened):
    if opened.name.endswith("last"):
        print("reading", flush=True)
        threading.Event().wait()
    return "x"
folder = sys.argv[1]
versions_of_files([f"{folder}/first", f"{folder}/last"], Recipe("test", digest), workers=1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_waits_for_no_file(tmp_path: Path) -> None:
    for name in ("first", "last"):
        (tmp_path / name).touch()
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt")
