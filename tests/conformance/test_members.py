"""Structs gain members like tables gain columns, at any depth: in structs, lists and maps."""

import narwhals as nw
import pytest
from tests.factory import define, everything, rows, values
from tests.stores import StoreFactory

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError
from metaxy.store.session import Scope
from metaxy.store.store import MetadataStore
from metaxy.store.writing import WriteOptions, prepare


def test_members_that_two_writers_add_at_once_are_all_kept(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], s=[{"a": 1}], l=[[{"a": 1}]]))
    scope, key = Scope.current(store.hash_algorithm), FeatureKey("video")
    mine = prepare(store, scope, key, rows(id=["b"], s=[{"a": 2, "b": 3}], l=[[{"b": 3}]]), WriteOptions())
    assert mine
    store.write("video", rows(id=["c"], s=[{"a": 4, "c": "x"}], l=[[{"c": "x"}]]))
    store.storage.append([mine])
    found = {row["id"]: row for row in everything(store, "video").to_dicts()}
    assert found["b"]["s"] == {"a": 2, "b": 3, "c": None}
    assert found["c"]["s"] == {"a": 4, "b": None, "c": "x"}
    assert [found[name]["l"][0] for name in "abc"] == [
        {"a": 1, "b": None, "c": None},
        {"a": None, "b": 3, "c": None},
        {"a": None, "b": None, "c": "x"},
    ]


@pytest.mark.three_stores
def test_members_follow_the_rules_of_columns(make: StoreFactory) -> None:
    define("video")
    with make().open("w") as store:
        store.write("video", rows(id=["a"], s=[{"a": 1}], l=[[{"a": 1}]]))
        with pytest.raises(MetadataSchemaError, match=r"'s\.A' differs only by case from 'a' of its table; rename it"):
            store.write("video", rows(id=["b"], s=[{"A": 1}]))
        with pytest.raises(MetadataSchemaError, match=r"column 's' is .* for example {'a': 2\.6, 'b': 1}"):
            store.write("video", rows(id=["b"], s=[{"a": 2.6, "b": 1}]))
        store.write("video", rows(id=["b"], s=[{"a": 2, "b": None}], l=[[{"b": None}]]))  # no value, no member
        assert store.read("video").collect_schema()["s"] == nw.Struct({"a": nw.Int64()})
    with make(schema_evolution="strict").open("w") as store:
        with pytest.raises(MetadataSchemaError, match=r"its table lacks 's\.b', 'l\.element\.c'; set") as caught:
            store.write("video", rows(id=["c"], s=[{"a": 1, "b": "x"}], l=[[{"c": 1}]]))
        assert 'ALTER TABLE … ADD COLUMN "s"."b" String, ADD COLUMN "l"."element"."c" Int64' in str(caught.value)
        store.write("video", rows(id=["c"], s=[{"a": 3}], l=[[{"a": 1}]]))
        assert values(store.read("video"), "s") == [{"a": 1}, {"a": 2}, {"a": 3}]
