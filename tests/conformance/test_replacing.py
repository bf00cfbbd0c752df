"""Children that replace those that their parents had: they shrink, come out empty, and are written in several parts."""

import signal
import subprocess
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.agreement.memory import memory_store
from tests.factory import define, rows, values

import metaxy as mx
from metaxy import columns as c
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

ENGINES: Any = ("auto", "polars")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def texts(store: MetadataStore) -> MetadataStore:
    """Three texts, whose chunks are not there yet; words depend on chunks."""
    define("text", ids=["text"])
    define("chunk", FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"])), ids=["text", "n"])
    define("word", FeatureDep(feature="chunk"), ids=["text", "n"])
    store.write("text", rows(text=["a", "b", "c"]))
    return store


def chunks(parents: Any, **counts: int) -> pl.DataFrame:
    """Cut each text into so many chunks."""
    frame = collect_to_polars(parents)
    numbers = pl.DataFrame(
        [(text, n) for text, count in counts.items() for n in range(count)],
        schema={"text": pl.String, "n": pl.Int64},
        orient="row",
    )
    return frame.join(numbers, on="text").with_columns(size=pl.col("n") * 10)


def to_compute(store: MetadataStore) -> pl.DataFrame:
    increment = store.resolve_update("chunk")
    return pl.concat([collect_to_polars(frame) for frame in (increment.new, increment.stale)])


def left(store: MetadataStore) -> list[list[str]]:
    """Say what is new, stale and orphaned, after every engine and the counts agree on it."""
    found = []
    for engine in ENGINES:
        increment = store.resolve_update("chunk", versioning_engine=engine)
        views = store.resolve_update("chunk", versioning_engine=engine, lazy=True)
        found += [[values(frame, "text") for frame in increment]]
        found += [[values(frame, "text") for frame in (views.new, views.stale, views.orphaned)]]
    status = get_feature_metadata_status("chunk", store).status
    assert found == found[:1] * len(found)
    counts = [status.missing_count, status.stale_count, status.orphaned_count]
    assert counts == [len(part) for part in found[0]]
    return found[0]


def stored(store: MetadataStore) -> list[str]:
    read = collect_to_polars(store.read("chunk"))
    return sorted(f"{text}{n}" for text, n in read.select("text", "n").iter_rows())


def test_children_shrink_come_out_empty_and_come_back(texts: MetadataStore) -> None:
    parents = to_compute(texts)
    texts.write("chunk", chunks(parents, a=3, b=1), replaces=parents)
    assert (stored(texts), left(texts)) == (["a0", "a1", "a2", "b0"], [[], [], []])  # c has none, and is done
    texts.write("text", rows("2", text=["a", "b", "c"]))
    assert left(texts) == [[], ["a", "b", "c"], []]
    parents = to_compute(texts)
    texts.write("chunk", chunks(parents, a=1, c=2), replaces=parents)
    assert (stored(texts), left(texts)) == (["a0", "c0", "c1"], [[], [], []])
    assert values(texts.resolve_update("word").new, "text") == ["a", "c", "c"]  # children see no markers
    shown = collect_to_polars(texts.read("chunk", include_soft_deleted=True, with_sample_history=True))
    assert shown["n"].null_count() == 0
    texts.delete("chunk", nw.col("text") == "a")
    assert left(texts) == [["a"], [], []]  # deleted, and not computed to nothing
    parents = to_compute(texts)
    texts.write("chunk", pl.DataFrame(), replaces=parents)
    assert left(texts) == [[], [], []]
    texts.delete("text", nw.col("text") == "c")
    assert left(texts) == [[], [], ["c", "c"]]
    texts.delete("chunk", None, rows=texts.resolve_update("chunk").orphaned)
    assert (left(texts), stored(texts)) == ([[], [], []], [])


def test_a_table_begins_with_nothing(texts: MetadataStore) -> None:
    parents = to_compute(texts)
    texts.write("chunk", chunks(parents), replaces=parents)
    assert (stored(texts), left(texts)) == ([], [[], [], []])
    texts.write("text", rows("2", text=["b"]))
    parents = to_compute(texts)
    texts.write("chunk", chunks(parents, b=2), replaces=parents)
    assert (stored(texts), left(texts)) == (["b0", "b1"], [[], [], []])


def test_parts_count_when_all_are_written(texts: MetadataStore) -> None:
    parents = to_compute(texts)
    with texts.replacing("chunk", parents) as writer:
        writer.write(chunks(parents, a=2))
        assert left(texts) == [["b", "c"], ["a"], []]  # begun
        writer.write(chunks(parents, b=1))
    assert (stored(texts), left(texts)) == (["a0", "a1", "b0"], [[], [], []])
    texts.write("text", rows("2", text=["a", "b"]))
    parents = to_compute(texts)
    with suppress(ZeroDivisionError), texts.replacing("chunk", parents) as writer:
        writer.write(chunks(parents, a=1, b=1))
        1 / 0  # noqa: B018
    assert left(texts)[:2] == [[], ["a", "b"]]
    texts.delete("chunk", None, rows=texts.resolve_update("chunk").orphaned)
    assert left(texts) == [[], ["a", "b"], []]  # still not done
    parents = to_compute(texts)
    texts.write("chunk", chunks(parents, a=1), replaces=parents)
    assert (stored(texts), left(texts)) == (["a0"], [[], [], []])
    with texts.replacing("chunk", parents):
        pass
    assert (stored(texts), left(texts)) == ([], [[], [], []])


@pytest.mark.three_stores
def test_children_that_were_written_past_a_replacement_do_not_go(texts: MetadataStore) -> None:
    store = texts
    store.write("chunk", chunks(to_compute(store), a=3, b=2, c=1))
    store.write("text", rows("2", text=["a", "b"]))
    parents = to_compute(store)
    past_it = pytest.raises(MetadataSchemaError, match=r"1 children were written since.*text = 'a', n = 0")
    with past_it, store.replacing("chunk", parents):
        store.write("chunk", chunks(parents, a=1))
    beside_it = pytest.raises(MetadataSchemaError, match="2 children were written since")
    with beside_it, store.replacing("chunk", parents) as writer:
        writer.write(chunks(parents, a=1))
        store.write("chunk", chunks(parents, b=2))
    assert len(values(store.read("chunk"), "text", "n")) == 6
    with store.replacing("chunk", parents) as writer:
        writer.write(chunks(parents, a=1, b=1))
    assert values(store.read("chunk"), "text", "n") == [("a", 0), ("b", 0), ("c", 0)]
    assert left(store) == [[], [], []]


@pytest.mark.three_stores
def test_what_cannot_be_replaced_is_refused(texts: MetadataStore) -> None:
    parents = to_compute(texts)
    children = chunks(parents, a=1, b=1)
    with pytest.raises(MetadataSchemaError, match=r"children of 1 parents that are not among .* text = 'b'"):
        texts.write("chunk", children, replaces=parents.filter(pl.col("text") == "a"))
    with pytest.raises(MetadataSchemaError, match="lack column 'metaxy_provenance'"):
        texts.write("chunk", children, replaces=parents.drop(c.METAXY_PROVENANCE))
    other = parents.with_columns(pl.lit("x").alias(c.METAXY_PROVENANCE))
    with pytest.raises(MetadataSchemaError, match="several provenances of text = "):
        texts.write("chunk", children, replaces=pl.concat([parents, other]))
    with pytest.raises(DefinitionError, match="feature text is no expansion"):
        texts.write("text", rows(text=["a"]), replaces=parents)
    assert not texts.has_feature("chunk")


@pytest.mark.three_stores
def test_copies_know_which_parents_have_no_children(texts: MetadataStore, make: Any) -> None:
    parents = to_compute(texts)
    texts.write("chunk", chunks(parents, a=1), replaces=parents)
    other = make("other")
    with other.open("w"):
        other.copy_metadata(texts, ["text", "chunk"])
        assert (stored(other), left(other)) == (["a0"], [[], [], []])
        assert other.copy_metadata(texts, ["text", "chunk"])["rows_copied"] == 0


KILLED = """
import os, signal, sys
import polars as pl
from tests.factory import define
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.ext.delta import DeltaMetadataStore

define("text", ids=["text"])
define("chunk", FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"])), ids=["text", "n"])
store = DeltaMetadataStore(sys.argv[1])
with store.open("w"):
    parents = store.resolve_update("chunk").new.to_polars()
    with store.replacing("chunk", parents) as writer:
        writer.write(parents.with_columns(n=pl.lit(0)))
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_done_of_what_a_killed_process_began(tmp_path: Path) -> None:
    """Each parent has a child of the version that it should have, but nobody said that these are all."""
    define("text", ids=["text"])
    define("chunk", FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"])), ids=["text", "n"])
    store = DeltaMetadataStore(tmp_path / "delta")
    with store.open("w"):
        store.write("text", rows(text=["a", "b"]))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "delta")], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    with store.open("w"):
        assert (stored(store), left(store)) == (["a0", "b0"], [[], ["a", "b"], []])
        parents = to_compute(store)
        store.write("chunk", chunks(parents, a=1), replaces=parents)
        assert (stored(store), left(store)) == (["a0"], [[], [], []])


def test_the_class_says_which_type_ids_of_children_have_only_where_one_is_meant() -> None:
    """A date is a text in JSON, and a table that took it for one would refuse dates for ever."""
    define("text", ids=["text"])
    dep = mx.FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"]))

    class Day(mx.BaseFeature, spec=mx.FeatureSpec(key="day", id_columns=["text", "day"], deps=[dep])):
        text: str
        day: date

    class Line(mx.BaseFeature, spec=mx.FeatureSpec(key="line", id_columns=["text", "n"], deps=[dep])):
        text: str
        n: int

    with memory_store().open("w") as store:
        store.write("text", rows(text=["a"]))
        nothing, parents = pl.DataFrame(), store.resolve_update(Line).new
        store.write(Line, nothing, replaces=parents)
        assert not store.resolve_update(Line)
        with pytest.raises(MetadataSchemaError, match="of which type its ID column 'day' is"):
            store.write(Day, nothing, replaces=parents)
        store.write(Day, parents.to_polars().with_columns(day=date(2026, 1, 1)), replaces=parents)
        assert store.read(Day).collect()["day"].to_list() == [date(2026, 1, 1)]
