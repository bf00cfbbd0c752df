"""Increments as objects that people hold in their hands."""

import html
import re
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, rows, values
from tests.stores import STORES

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.versioning.increment import Increment, LazyIncrement, PolarsIncrement

LIBRARIES: dict[str, Any] = {"polars": lambda frame: frame, "pyarrow": lambda frame: frame.to_arrow()}


def frame_of(*ids: str) -> pl.DataFrame:
    return pl.DataFrame({"id": ids}, schema={"id": pl.String})


@pytest.fixture(params=LIBRARIES)
def increment(request: pytest.FixtureRequest) -> Increment:
    frames = (frame_of("a", "b", "c"), frame_of("d"), frame_of())
    convert = LIBRARIES[request.param]
    return Increment(*(nw.from_native(convert(frame), eager_only=True) for frame in frames)).with_expected(10)


def test_counts(increment: Increment) -> None:
    assert increment.counts == {"new": 3, "stale": 1, "orphaned": 0, "unchanged": 6}
    assert repr(increment) == "Increment(new=3, stale=1, orphaned=0, unchanged=6)"
    assert increment.progress == 70
    assert [len(frame) for frame in increment] == [3, 1, 0]
    new, stale, orphaned = increment
    assert (new, stale, orphaned) == (increment.new, increment.stale, increment.orphaned)


def test_what_is_not_known_is_not_told(increment: Increment) -> None:
    unknown = Increment(*increment)
    assert (unknown.expected, unknown.progress) == (None, None)
    assert repr(unknown) == "Increment(new=3, stale=1, orphaned=0)"
    assert increment.with_expected(0).progress is None


@pytest.mark.parametrize("place", range(3))
def test_it_is_true_if_there_is_anything_to_do(place: int) -> None:
    nothing = nw.from_native(frame_of(), eager_only=True)
    frames = [nothing] * 3
    assert not Increment(*frames)
    frames[place] = nw.from_native(frame_of("a"), eager_only=True)
    assert Increment(*frames)


def test_batches(increment: Increment) -> None:
    assert [values(batch) for batch in increment.batches(2)] == [["a", "b"], ["c"], ["d"]]
    assert [values(batch) for batch in increment.batches(9)] == [["a", "b", "c"], ["d"]]


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_something(increment: Increment, size: int) -> None:
    with pytest.raises(ValueError, match=f"at least one sample, not {size}"):
        next(increment.batches(size))


@pytest.mark.parametrize("library", LIBRARIES)
def test_samples_are_counted_as_engines_tell_them_apart(library: str) -> None:
    frame = LIBRARIES[library](pl.DataFrame({"id": [0.0, -0.0, float("nan"), float("nan"), 1.0]}))
    new = nw.from_native(frame, eager_only=True)
    assert Increment(new, new[:0], new[:0]).with_expected(5, ["id"]).counts["new"] == 3


def test_rows_are_told_apart_from_samples() -> None:
    def groups(*names: str) -> nw.DataFrame[Any]:
        return nw.from_native(pl.DataFrame({"group": names}, schema={"group": pl.String}))

    frames = (groups("x", "x", "x", "y"), groups("z"), groups())
    increment = Increment(*frames).with_expected(10, ["group"])
    assert repr(increment) == "Increment(new=2 in 4 rows, stale=1, orphaned=0, unchanged=7)"
    page = increment._repr_html_()
    assert "<th>samples</th><th>count</th><th>rows</th>" in page
    assert "<td>new</td><td>2</td><td>4</td>" in page
    assert "<td>stale</td><td>1</td><td>1</td>" in page
    assert "<th>rows</th>" not in Increment(*frames).with_expected(10)._repr_html_()


def test_parents_are_told_apart_from_children() -> None:
    def scenes(*names: str) -> nw.DataFrame[Any]:
        return nw.from_native(pl.DataFrame({"video": names}, schema={"video": pl.String}))

    increment = Increment(scenes("a"), scenes(), scenes("b", "b")).with_expected(3).with_parents(["video"])
    increment = increment.with_payload(behind=scenes("c", "c", "c"))
    assert repr(increment) == "Increment(parents: new=1, stale=0, unchanged=1; children: orphaned=2, behind=3)"
    page = increment._repr_html_()
    assert "<td>new parents</td><td>1</td>" in page
    assert "<td>orphaned children</td><td>2</td>" in page


@pytest.mark.parametrize("store_name", STORES)
def test_batches_never_split_a_group(store_name: str, tmp_path: Path) -> None:
    lineage = LineageRelationship.aggregation(on=["g"])
    define("part")
    define("whole", FeatureDep(feature="part", lineage=lineage), ids=["g"])
    with STORES[store_name](tmp_path).open("w") as store:
        store.write("part", rows(id=list("abcdef"), g=list("xyzxyx")))
        batches = [values(batch, "g") for batch in store.resolve_update("whole").batches(2)]
    assert [len(set(groups)) for groups in batches] == [2, 1]
    assert sorted(group for groups in batches for group in groups) == list("xxxyyz")


def test_polars_increments_show_what_they_are(increment: Increment) -> None:
    converted = increment.to_polars()
    assert repr(converted) == "PolarsIncrement(rows: new=3, stale=1, orphaned=0)"
    assert converted
    assert not PolarsIncrement(*(frame.clear() for frame in converted))


def test_lazy_increments_are_shown_in_one_line() -> None:
    frame = nw.from_native(pl.LazyFrame())
    lazy = LazyIncrement(new=frame, stale=frame, orphaned=frame)
    assert repr(lazy) == "LazyIncrement(polars, not computed yet: call collect())"


def test_conversions(increment: Increment) -> None:
    assert increment.to_polars().new.to_dict(as_series=False) == {"id": ["a", "b", "c"]}
    assert increment.to_pandas()[0]["id"].tolist() == ["a", "b", "c"]
    assert increment.to_arrow()[0].to_pydict() == {"id": ["a", "b", "c"]}
    assert increment.collect() is increment


def test_a_notebook_shows_a_table(increment: Increment) -> None:
    shown = html.unescape(re.sub(r"<style>.*?</style>", "", increment._repr_html_(), flags=re.DOTALL))
    assert re.findall(r"<tr><td>(\w+)</td><td>([\d,]+)</td></tr>", shown) == [
        *(("new", "3"), ("stale", "1"), ("orphaned", "0"), ("unchanged", "6"))
    ]
    assert re.findall(r"<summary>(\w+)</summary>", shown) == ["new", "stale"]
