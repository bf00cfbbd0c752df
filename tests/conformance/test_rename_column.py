"""Renaming a column: values under another name, nothing stale."""

import pytest
from tests.factory import define, everything, ids, rows, values

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError
from metaxy.storage.port import RenamesColumns
from metaxy.store.store import MetadataStore

ODD = 'the "new" name'


def test_values_come_under_the_new_name(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b", "c"], size=[1, 2, None], tags=[["x"], [], None]))
    store.write("video", rows(id=["a"], size=[10], tags=[["y"]]))
    store.write("clip", store.resolve_update("clip").new)
    versions = values(store.read("video"), "id", c.METAXY_PROVENANCE, c.METAXY_CREATED_AT)
    native = isinstance(store.storage, RenamesColumns)
    assert store.rename_column("video", "size", "bytes", dry_run=True) == (3 if native else 2)
    assert store.rename_column("video", "size", "bytes") == (3 if native else 2)
    assert store.rename_column("video", "tags", ODD)
    assert values(store.read("video"), "id", "bytes") == [("a", 10), ("b", 2), ("c", None)]
    assert values(store.read("video", columns=["id", ODD]), "id", ODD) == [("a", ["y"]), ("b", []), ("c", None)]
    assert values(store.read("video"), "id", c.METAXY_PROVENANCE, c.METAXY_CREATED_AT) == versions
    assert ids(store.resolve_update("clip")) == ([], [], [])
    height = everything(store, "video").height
    assert store.rename_column("video", "size", "bytes") == 0
    assert everything(store, "video").height == height
    store.write("video", rows(id=["d"], bytes=[4], **{ODD: [["z"]]}))
    assert values(store.read("video"), "id", "bytes")[-1] == ("d", 4)


def test_rows_written_under_both_names_are_merged(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a", "b"], size=[1, 2]))
    store.write("video", rows(id=["b", "c"], bytes=[20, 30]))
    store.write("video", rows(id=["d"], size=[4], bytes=[4]))
    assert store.rename_column("video", "size", "bytes") == 1
    assert values(store.read("video"), "id", "bytes") == [("a", 1), ("b", 20), ("c", 30), ("d", 4)]
    assert store.rename_column("video", "size", "bytes") == 0


@pytest.mark.three_stores
def test_what_would_lose_something_is_refused(store: MetadataStore) -> None:
    define("video", ids=["id"])
    store.write("video", rows(id=["a"], size=[1], bytes=[2], name=["n"]))
    before = everything(store, "video")
    for old, new, message in (
        ("size", "bytes", "differ in a row, as 1 and 2 of id='a'"),
        ("size", "name", "only columns of one type"),
        ("sise", "width", "Did you mean 'size'"),
        ("size", "Name", "differ only by case"),
        ("size", c.METAXY_PROVENANCE, "is a column of Metaxy"),
        (c.METAXY_UPDATED_AT, "size", "is a column of Metaxy"),
        *(("size", name, "is a column of Metaxy") for name in (*c.INCREMENT_COLUMNS, *c.STRAY_COLUMNS)),
        ("size", "", "has no name"),
        ("size", "*", "Polars reads as a pattern"),
        ("size", "^size$", "Polars reads as a pattern"),
        ("id", "key", "is an ID column of its definition"),
        ("name", "id", "is an ID column"),
    ):
        with pytest.raises(MetadataSchemaError, match=message):
            store.rename_column("video", old, new)
    assert everything(store, "video").equals(before)


@pytest.mark.three_stores
def test_ids_follow_their_definition_where_the_storage_can(store: MetadataStore) -> None:
    define("video", ids=["id"])
    store.write("video", rows(id=["a"], n=[1]))
    define("video", ids=["video_id"])
    if not isinstance(store.storage, RenamesColumns):
        with pytest.raises(MetadataSchemaError, match="only a storage can rename"):
            store.rename_column("video", "id", "video_id")
        return
    store.rename_column("video", "id", "video_id")
    assert values(store.read("video"), "video_id", "n") == [("a", 1)]
