"""Children that are forked after Polars was used would hang: they are told so, and others work."""

import multiprocessing
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.factory import rows, values
from tests.faults.children import children, finish
from tests.stores import STORES

from metaxy.store.store import MetadataStore

FORKING = """
import os
from metaxy.errors import MetadataStoreError

def in_a_fork(do):
    child = os.fork()
    if not child:
        try:
            say(do())
        except MetadataStoreError as error:
            say("refused", error)
        os._exit(0)
    os.waitpid(child, 0)

def count():
    with make() as store:
        return len(values(store.read("video")))

def write():
    with make().open("w") as store:
        store.write("video", rows(id=[os.getpid()]))
    return "written"

in_a_fork(write)  # nothing was used so far
count()
with make() as open_store:
    in_a_fork(lambda: len(values(open_store.read("video"))))
in_a_fork(count)
in_a_fork(write)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody forks unless asked, and threads have no names")
@pytest.mark.parametrize("name", ["delta", "duckdb"])
def test_a_fork_says_why_it_cannot_go_on(name: str, tmp_path: Path) -> None:
    with children(1, FORKING, name, tmp_path) as [child]:
        first, *later = finish(child)
    assert first == "written"
    assert len(later) == 3
    for said in later:
        assert said.startswith("refused ")
        assert (
            'forked after Polars was used, and would hang; start processes with multiprocessing.get_context("spawn")'
            in said
        )


def count(make: Callable[[], MetadataStore]) -> int:
    with make() as store:
        return len(values(store.read("video")))


@pytest.mark.parametrize("method", [pytest.param("spawn", marks=pytest.mark.slow), "forkserver"])
def test_other_ways_to_start_processes_work(method: str, tmp_path: Path) -> None:
    make = partial(STORES["delta"], tmp_path)
    with make().open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        assert len(values(store.read("video"))) == 2
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(in_a_child, (tmp_path,)) == 2


def in_a_child(folder: Path) -> int:
    from tests.factory import define

    define("video")
    return count(partial(STORES["delta"], folder))
