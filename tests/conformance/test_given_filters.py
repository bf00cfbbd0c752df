"""Filters are given as one or several, as expressions or as text, in every verb that takes them."""

from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import StoreFactory

from metaxy.errors import FilterParseError, MetadataSchemaError
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore

B = nw.col("id") == "b"
SPELLINGS: list[Any] = ["id = 'b'", ["id = 'b'"], ("id = 'b'", "n > 0"), B, [B], ["n > 0", B], iter([B])]


@pytest.fixture
def video(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b", "c"], n=[1, 2, 3]))


@pytest.mark.three_stores
@pytest.mark.usefixtures("video")
def test_every_verb_takes_every_spelling(store: MetadataStore, make: StoreFactory) -> None:
    for given in SPELLINGS[:-1]:
        assert values(store.read("video", filters=given)) == ["b"]
        assert values(store.resolve_update("clip", filters={"video": given}).new) == ["b"]
        assert values(store.resolve_update("clip", global_filters="id = 'b'").new) == ["b"]
        assert store.count_rows_to_delete("video", given) == 1
        assert store.count_rows_to_delete("video", given, soft=False) == 1
        assert get_feature_metadata_status("clip", store, global_filters="id = 'b'").status.missing_count == 1
        with make("copy").open("w") as copy:
            for how in ({"filters": {"video": given}}, {"global_filters": "id = 'b'"}):
                assert copy.copy_metadata(store, ["video"], **how, dry_run=True)["rows_copied"] == 1
    store.write("clip", store.resolve_update("clip").new)
    assert ids(store.resolve_update("clip", staleness_predicates="id = 'b'")) == ([], ["b"], [])
    store.delete("video", "id = 'b'", soft=False)
    store.delete("video", iter(["id = 'a'"]))
    assert values(store.read("video")) == ["c"]
    assert ids(store.resolve_update("clip", target_filters="id < 'b'")) == (["c"], [], ["a"])


@pytest.mark.three_stores
@pytest.mark.usefixtures("video")
@pytest.mark.parametrize("given", [True, [True], pl.col("id") == "b", {"video": B}, [None], 1])
def test_what_is_no_filter_is_refused_in_one_line(store: MetadataStore, given: Any) -> None:
    for call in (
        lambda: store.read("video", filters=given),
        lambda: store.delete("video", given, soft=False),
        lambda: store.resolve_update("clip", filters={"video": given}),
    ):
        with pytest.raises(TypeError, match=r"a filter is a Narwhals expression such as .* or a text such as [^\n]*$"):
            call()
    with pytest.raises(FilterParseError, match="the filter is empty"):
        store.delete("video", "")
    assert everything(store, "video").height == 3


INTERNAL = ["metaxy_keep", "metaxy_keep_renamed", "metaxy_stale", "metaxy_row", "metaxy_gone", "metaxy_p", "metaxy_own"]
OTHERS = ["mx_flag", "mx_t", "k0", "p", "v0", "status", "low", "literal", "len", "rowid"]


def test_no_column_of_a_user_is_taken_for_one_of_ours(store: MetadataStore) -> None:
    names = [*INTERNAL, *OTHERS]
    define("video")
    define("clip", {"feature": "video", "select": names, "filters": [" AND ".join(f"{n} < 3" for n in names)]})
    frame = rows(id=["a", "b", "c"], **{name: [1, 2, 3] for name in names})
    store.write("video", frame)
    store.write("video", frame.head(2).with_columns(pl.col(names) * 2))  # a: 2, b: 4, c: 3
    assert values(store.read("video", filters=[nw.col(name) > 2 for name in names])) == ["b", "c"]
    assert values(store.read("video", filters=[nw.col(names[0]) == 2]), *names) == [(2,) * len(names)]
    assert ids(store.resolve_update("clip")) == (["a"], [], [])
    store.write("clip", store.resolve_update("clip").new)
    for name in ("metaxy_stale", "rowid"):
        assert ids(store.resolve_update("clip", staleness_predicates=nw.col(name) == 2)) == ([], ["a"], [])
    store.delete("video", [nw.col(name) == 3 for name in names])
    store.delete("video", [nw.col(name) == 2 for name in names], soft=False)
    # The older row of a counts again.
    assert values(store.read("video"), "id", *names) == [("a", *(1,) * len(names)), ("b", *(4,) * len(names))]


@pytest.mark.three_stores
def test_the_names_of_our_own_columns_are_refused(store: MetadataStore) -> None:
    define("video")
    frame = rows(id=["a"], __metaxy_keep=[1])
    for call in (lambda: store.write("video", frame), lambda: store.resolve_update("video", samples=frame)):
        with pytest.raises(MetadataSchemaError, match=r"column '__metaxy_keep' begins with '__metaxy_'.*rename it$"):
            call()


NOT_UNDERSTOOD: list[tuple[Any, str]] = [
    ("n = '1'", "column 'n' compares text with a number; cast one of them$"),
    ("id = 1", "column 'id' compares text with a number"),
    (nw.col("id").is_in(["a", 1.5]), "column 'id' compares text with a number"),
    (nw.col("n").is_between(nw.lit("1"), nw.lit("2")), "column 'n' compares text with a number"),
    (nw.col("id") == nw.col("n"), "column 'id', 'n' compares text with a number"),
    (nw.col("size").struct.field("w") > "3", "column 'size' compares text with a number"),
    (nw.col("size").struct.field("zz") > 3, "reads member 'zz' of a struct that does not have it$"),
    (~nw.col("size").struct.field("in").struct.field("y").is_null() | (nw.col("n") == 1), "reads member 'y' of"),
    ("size.in.x = 1", r"'size.in.x'.* A member is nw.col\('size'\).struct.field\('in'\).struct.field\('x'\)\. It has"),
    (nw.struct("id", "n").is_in([{"id": "a"}]), "looks columns 'id', 'n' up in rows of 'id'; list a dict of all"),
    (nw.struct("id", nw.col("n")).is_in([{"id": "a", "n": 1}, {"id": "a", "m": 1}]), "in rows of 'id', 'm'"),
    (nw.struct("id", "n").is_in([("a", 1)]), "in rows of a tuple"),
]


def test_what_stores_would_understand_in_ways_of_their_own_is_refused_in_one_line(store: MetadataStore) -> None:
    define("video")
    sizes = [{"w": n, "in": {"x": n}} for n in (1, 2, 3)]
    store.write("video", rows(id=["a", "b", "c"], n=[1, 2, 3], size=sizes))
    for given, message in NOT_UNDERSTOOD:
        with pytest.raises(MetadataSchemaError, match=f"^feature video: a filter [^\n]*{message}[^\n]*$"):
            store.read("video", filters=given).collect()
    for fine in (
        nw.struct("n", "id").is_in([{"id": "b", "n": 2}, {"n": 3, "id": "b"}]),  # members have names, no places
        nw.col("size").struct.field("in").struct.field("x") == 2,
        nw.col("n").cast(nw.String) == "2",
    ):
        assert values(store.read("video", filters=fine)) == ["b"]
