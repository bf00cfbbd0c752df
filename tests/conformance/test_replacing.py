"""Children that replace those that their parents had: they shrink, come out empty, and are written in several parts."""

from contextlib import suppress
from datetime import date
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.agreement.memory import memory_store
from tests.factory import define, rows, values

import metaxy as mx
from metaxy import columns as c
from metaxy.dag.graph import current_graph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.service.rows import feature_statistics
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

ENGINES: Any = ("auto", "polars")


@pytest.fixture(autouse=True)
def features() -> None:
    """Texts, and chunks of them; words depend on chunks."""
    define("text", ids=["text"])
    define("chunk", FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"])), ids=["text", "n"])
    define("word", FeatureDep(feature="chunk"), ids=["text", "n"])


@pytest.fixture
def texts(store: MetadataStore) -> MetadataStore:
    """Three texts, whose chunks are not there yet."""
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


def left(store: MetadataStore, feature: str = "chunk", **options: Any) -> list[list[str]]:
    """Say what is new, stale and orphaned."""
    increment = store.resolve_update(feature, **options)
    return [values(frame, "text") for frame in (increment.new, increment.stale, increment.orphaned)]


def everywhere(store: MetadataStore, feature: str = "chunk") -> list[list[str]]:
    """Say the same, after every engine, views and the counts agree on it."""
    found = [left(store, feature, versioning_engine=engine, lazy=lazy) for engine in ENGINES for lazy in (False, True)]
    status = get_feature_metadata_status(feature, store).status
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
    assert (stored(texts), everywhere(texts)) == (["a0", "a1", "a2", "b0"], [[], [], []])  # c has none, and is done
    texts.write("text", rows("2", text=["a", "b", "c"]))
    assert everywhere(texts) == [[], ["a", "b", "c"], []]
    parents = to_compute(texts)
    texts.write("chunk", pl.concat([chunks(parents, a=1, c=2)] * 2), replaces=parents)  # equal rows are one
    counted = feature_statistics(texts, FeatureKey("chunk"))
    assert (counted.samples, counted.rows, counted.tombstones) == (3, 10, 3)  # markers are no rows of the user
    assert (stored(texts), left(texts)) == (["a0", "c0", "c1"], [[], [], []])
    assert values(texts.resolve_update("word").new, "text") == ["a", "c", "c"]  # children see no markers
    shown = collect_to_polars(texts.read("chunk", include_soft_deleted=True, with_sample_history=True))
    assert shown["n"].null_count() == 0
    texts.delete("chunk", nw.col("text") == "a")
    assert everywhere(texts) == [["a"], [], []]  # deleted, and not computed to nothing
    parents = to_compute(texts)
    texts.write("chunk", pl.DataFrame(), replaces=parents)
    assert left(texts) == [[], [], []]
    texts.delete("text", nw.col("text") == "c")
    assert left(texts) == [[], [], ["c", "c"]]
    assert texts.delete_orphaned("chunk", max_share=1).rows == 2
    assert (left(texts), stored(texts)) == ([[], [], []], [])
    there = texts.count_rows_to_delete("chunk", everything=True, soft=False)
    assert there == feature_statistics(texts, FeatureKey("chunk")).rows
    assert texts.delete("chunk", everything=True, soft=False).rows == there
    assert left(texts) == [["a", "b"], [], []]  # removed for good, with all that was known of it


def test_parts_count_when_all_are_written(texts: MetadataStore) -> None:
    parents = to_compute(texts)
    texts.write("chunk", chunks(parents), replaces=parents)  # a table begins with nothing
    assert (stored(texts), left(texts)) == ([], [[], [], []])
    texts.write("text", rows("2", text=["a", "b", "c"]))
    parents = to_compute(texts)
    with texts.replacing("chunk", parents) as writer:
        writer.write(chunks(parents, a=2))
        assert everywhere(texts) == [["b", "c"], ["a"], []]  # begun
        assert left(texts, target_filters=nw.col("n") >= 0) == [["b", "c"], ["a"], []]
        writer.write(chunks(parents, b=1))
    assert (stored(texts), left(texts)) == (["a0", "a1", "b0"], [[], [], []])
    assert left(texts, target_filters=nw.col("n") > 0) == [["b"], [], []]  # it has no child that fulfils it
    texts.write("text", rows("3", text=["a", "b"]))
    parents = to_compute(texts)
    with suppress(ZeroDivisionError), texts.replacing("chunk", parents) as writer:
        writer.write(chunks(parents, a=1, b=1))
        1 / 0  # noqa: B018
    assert everywhere(texts)[:2] == [[], ["a", "b"]]
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
def test_branches_and_copies_know_which_parents_have_no_children(make: Any) -> None:
    below = make("below", name="below")
    with below.open("w"):
        below.write("text", rows(text=["a", "b", "c"]))
        parents = to_compute(below)
        below.write("chunk", chunks(parents, a=2), replaces=parents)
    some = pl.DataFrame({"text": ["b", "c"]})
    branch, other = make("branch", fallback_stores=[below], fallback="rows"), make("other")
    with branch.open("w"):
        assert (stored(branch), everywhere(branch)) == (["a0", "a1"], [[], [], []])
        branch.write("text", rows("2", text=["a", "b"]))
        assert left(branch, ids=some) == [[], ["b"], []]
        parents = to_compute(branch)
        branch.write("chunk", chunks(parents, a=1), replaces=parents)
        assert (stored(branch), everywhere(branch)) == (["a0"], [[], [], []])
        assert left(branch, ids=some) == [[], [], []]
        branch.write("text", rows("3", text=["c"]))
        with suppress(ZeroDivisionError), branch.replacing("chunk", to_compute(branch)) as writer:
            writer.write(chunks(to_compute(branch), c=1))
            1 / 0  # noqa: B018
        assert everywhere(branch) == [[], ["c"], []]
    with below.open("w"):
        assert (stored(below), left(below)) == (["a0", "a1"], [[], [], []])
    with branch.open("w"), below.open("w"):
        assert branch.promote(below, ["text", "chunk"])["rows_copied"] == 6  # three texts, two chunks and a tombstone
    with below.open("w"), other.open("w"):
        assert (stored(below), everywhere(below)) == (["a0", "c0"], [[], ["c"], []])
        other.copy_metadata(below, ["text", "chunk"])
        assert (stored(other), left(other)) == (["a0", "c0"], [[], ["c"], []])
        assert other.copy_metadata(below, ["text", "chunk"])["rows_copied"] == 0


@pytest.mark.three_stores
def test_renames_and_rebases_know_how_far_parents_were_computed(texts: MetadataStore) -> None:
    parents = to_compute(texts)
    with suppress(ZeroDivisionError), texts.replacing("chunk", parents.filter(pl.col("text") == "b")) as writer:
        writer.write(chunks(parents, b=1))
        1 / 0  # noqa: B018
    parents = parents.filter(pl.col("text") != "b")
    texts.write("chunk", chunks(parents, a=2), replaces=parents)
    assert left(texts) == [[], ["b"], []]
    dep = FeatureDep(feature="text", lineage=LineageRelationship.expansion(on=["text"]))
    define("chunk", dep, ids=["text", "n"], fields=[{"key": "default", "code_version": "2"}])
    rebased = texts.rebase("chunk", texts.read("chunk", with_feature_history=True))
    assert values(rebased, "text", "n") == [("a", 0), ("a", 1)]  # what was begun is not taken for done
    for key in ("word", "chunk"):
        current_graph().remove_feature(key)
    define("piece", dep, ids=["text", "n"])
    texts.rename_feature("chunk", "piece")
    assert everywhere(texts, "piece") == [[], ["b"], []]
    assert not sum(each.copied + each.rebased for each in texts.rename_feature("chunk", "piece"))


def test_the_class_says_which_type_ids_of_children_have_only_where_one_is_meant() -> None:
    """A date is a text in JSON, and a table that took it for one would refuse dates for ever."""
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
