"""Processes killed at any moment: what they said is written is there, and nothing is half there."""

import random
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from tests.factory import define, everything, rows, values
from tests.faults.children import Child, asked, children, hear, rest
from tests.stores import STORES, THREE

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

ROWS = 500  # of each write

# Writes batch after batch, in turns one feature and two, and opens anew at times. Says the number of each that is done.
WRITER = """
import itertools

def batch(number):
    frame = rows(id=[f"{number}-{n}" for n in range(ROWS)], batch=[number] * ROWS, text=["x" * 100] * ROWS)
    return frame.with_columns(pl.lit("p").alias(c.METAXY_PROVENANCE))

numbers = itertools.count(int(sys.argv[3]))
while True:
    with make().open("w") as store:
        for number in itertools.islice(numbers, 5):
            if number % 2:
                store.write("video", batch(number))
            else:
                store.write_multi({"video": batch(number), "clip": batch(number)})
            say(number)
""".replace("ROWS", str(ROWS))


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("kills", [3, pytest.param(asked("METAXY_KILLS", 20), marks=pytest.mark.slow)])
def test_a_kill_loses_nothing_and_leaves_nothing_half_written(tmp_path: Path, name: str, kills: int) -> None:
    said: set[int] = set()
    for kill in range(kills):
        first = kill * 1_000_000
        with children(1, WRITER, name, tmp_path, first) as [child]:
            said |= acknowledged_until_killed(child)
        check(name, tmp_path, said)


def acknowledged_until_killed(child: Child) -> set[int]:
    """Kill a writer after some writes, and at any moment of the next one; return what it acknowledged."""
    began = time.monotonic()
    said = {int(hear(child)) for _ in range(random.randint(1, 6))}
    each = (time.monotonic() - began) / len(said)
    child.process.join(random.uniform(0, 2 * each))
    child.process.kill()
    return said | set(map(int, rest(child)))


def check(name: str, folder: Path, said: set[int]) -> None:
    with FeatureGraph().use():
        define("video")
        define("clip", "video")
        with STORES[name](folder).open("w") as store:
            batches = {
                key: Counter(everything(store, key)["batch"]) for key in ("video", "clip") if store.has_feature(key)
            }
            assert {count for each in batches.values() for count in each.values()} == {ROWS}
            assert said <= batches["video"].keys()
            assert {number for number in said if number % 2 == 0} <= batches["clip"].keys()
            # Dependents are written first: whoever sees the rows of a parent sees those that were written with them.
            assert {number for number in batches["video"] if number % 2 == 0} <= batches["clip"].keys()
            if store.storage.capabilities.transactions:
                assert batches["clip"].keys() <= batches["video"].keys()
            assert len(values(store.read("video"))) == ROWS * len(batches["video"])


# Cuts texts into other chunks round after round, in one write or in two parts, and says which rounds are done. In the
# first round it kills itself between two parts.
REPLACER = """
import itertools, os, signal
from tests.faults.test_kills import cut, define_texts, to_compute

define_texts()
with make().open("w") as store:
    for number in itertools.count(int(sys.argv[3])):
        store.write("text", rows(str(number), text=[f"text {n}" for n in range(9)]))
        parents = to_compute(store)
        chunks = cut(parents, number)
        if number % 2:
            store.write("chunk", chunks, replaces=parents)
        else:
            with store.replacing("chunk", parents) as writer:
                writer.write(chunks.head(5))
                if number == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                writer.write(chunks.tail(-5))
        say(number)
"""


def define_texts() -> None:
    define("text", ids=["text"])
    define("chunk", FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"])), ids=["text", "n"])


def to_compute(store: MetadataStore) -> pl.DataFrame:
    increment = store.resolve_update("chunk")
    return pl.concat([frame.to_polars() for frame in (increment.new, increment.stale)])


def cut(parents: pl.DataFrame, number: int) -> pl.DataFrame:
    """Cut texts into as many chunks as the number of a round says, some into none."""
    texts = parents["text"].to_list()
    chunks = [(text, n, number) for text in texts for n in range((number + int(text[-1])) % 3)]
    schema = {"text": pl.String, "n": pl.Int64, "round": pl.Int64}
    return parents.join(pl.DataFrame(chunks, schema, orient="row"), on="text")


@pytest.mark.parametrize("name", THREE)
@pytest.mark.parametrize("kills", [2, pytest.param(asked("METAXY_KILLS", 20), marks=pytest.mark.slow)])
def test_a_killed_replacement_is_done_or_to_be_done_again(tmp_path: Path, name: str, kills: int) -> None:
    for kill in range(kills):
        first = kill * 1_000_000
        with children(1, REPLACER, name, tmp_path, first) as [child]:
            said = acknowledged_until_killed(child) if kill else set(map(int, rest(child)))
        with FeatureGraph().use(), STORES[name](tmp_path).open("w") as store:
            define_texts()
            check_chunks(store, max(said, default=first - 1))


def check_chunks(store: MetadataStore, said: int) -> None:
    """Each text is to be cut again, or has all chunks of its round, and no other ones."""
    missing = to_compute(store)
    chunks = collect_to_polars(store.read("chunk"))
    texts = collect_to_polars(store.read("text"))
    number = int(texts[c.METAXY_PROVENANCE_BY_FIELD].struct.unnest()["default"][0])
    assert number in {said, said + 1}
    done = texts.join(missing, on="text", how="anti")
    found = chunks.join(done, on="text", how="semi")
    assert values(found, "text", "n", "round") == values(cut(done, number), "text", "n", "round")
    assert missing.is_empty() or number > said
    store.write("chunk", cut(missing, number), replaces=missing)
    assert values(store.read("chunk"), "text", "n", "round") == values(cut(texts, number), "text", "n", "round")
    assert not store.resolve_update("chunk")


# Creates one place after the other, in the folder given, and says each that it is about to create.
CREATOR = """
import itertools
for number in itertools.count():
    place = Path(sys.argv[2]) / f"{sys.argv[3]}-{number}"
    place.mkdir()
    say(place.name)
    with STORES[sys.argv[1]](place).open("w"):
        pass
"""


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("kills", [2, pytest.param(asked("METAXY_KILLS", 20), marks=pytest.mark.slow)])
def test_a_kill_during_creation_leaves_a_place_to_write_to(tmp_path: Path, name: str, kills: int) -> None:
    for kill in range(kills):
        with children(1, CREATOR, name, tmp_path, kill) as [child]:
            for _ in range(random.randint(1, 9)):
                assert hear(child)
            child.process.join(random.uniform(0, 0.02))
            child.process.kill()
    for place in [*tmp_path.iterdir()]:
        with FeatureGraph().use():
            define("video")
            with STORES[name](place).open("w") as store:
                store.write("video", rows(id=["first"]))
                assert values(store.read("video")) == ["first"]
