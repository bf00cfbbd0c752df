"""Names that mean something to SQL, or to nobody: they stay names."""

from collections.abc import Callable
from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, everything, rows, values

from metaxy.definitions.dependency import FeatureDep
from metaxy.errors import MetaxyError
from metaxy.store.store import MetadataStore

Make = Callable[..., MetadataStore]

KEYS = ["select", "order/by", "table", "a/group-by", "x" * 60, "delta", "_", "con", "nul/a"]
REFUSED = [
    "",
    "a b",
    "a;b",
    'a"b',
    "a'b",
    "a\nb",
    "../up",
    "a//b",
    "a/",
    "/a",
    "a\\b",
    "a\x00b",
    "a__b",
    "a\n",
    "Ünï",
    "1/2",
    "CON",
]
COLUMNS = [
    *("select", "order", "ID2", "it's", "semi;colon", "-- comment", "/* c */", "日本語", "😀", "a b", "%s", "{0}", "?"),
    *('with "quotes"', "a.b", "$1", "\\", "tab\there", "x" * 60, "t", "b", "s", "path/to", "`tick`", "[0]"),
]
VALUES = ["'; DROP TABLE video; --", '"', "\\", "\\'", "😀", "", " ", "NULL", "%", "a|b", "\n", "{}"]


def test_db17_keys_that_are_words_of_sql(make: Make, subtests: pytest.Subtests) -> None:
    with make().open("w") as store:
        for number, key in enumerate(KEYS):
            with subtests.test(key):
                check_key(store, key, f"child{number}")


def check_key(store: MetadataStore, key: str, child: str) -> None:
    define(key, fields=["from"])
    define(child, FeatureDep(feature=key), fields=["where"])
    store.write(key, rows({"from": "1"}, id=["a", "b"]))
    store.write(child, store.resolve_update(child).new)
    store.delete(key, nw.col("id") == "a")
    assert values(store.read(key)) == ["b"]
    assert values(store.resolve_update(child).orphaned) == ["a"]
    store.delete(key, everything=True, soft=False)
    assert everything(store, key).is_empty()


@pytest.mark.parametrize("key", REFUSED)
def test_hostile_keys_are_refused(key: str) -> None:
    with pytest.raises((MetaxyError, ValueError)):
        define(key)


def test_columns_of_any_name(make: Make) -> None:
    columns: dict[str, Any] = {column: [float(number), number + 0.5] for number, column in enumerate(COLUMNS)}
    with make().open("w") as store:
        store.write("video", rows(id=["a", "b"], **columns))
        store.write("video", rows("2", id=["a", "b"], **columns))
        found = values(store.read("video"), *COLUMNS)
        assert found == [tuple(float(n) for n in range(len(COLUMNS))), tuple(n + 0.5 for n in range(len(COLUMNS)))]
        for number, column in enumerate(COLUMNS):
            assert values(store.read("video", filters=[nw.col(column) == number], columns=["id"])) == ["a"]
        increment = store.resolve_update("video", samples=rows("3", id=["a", "b"], **columns))
        assert values(increment.stale, "id", *COLUMNS)[0] == ("a", *map(float, range(len(COLUMNS))))
        store.delete("video", nw.col(COLUMNS[3]) == 3)
        assert values(store.read("video")) == ["b"]


def test_id_columns_of_any_name(make: Make, subtests: pytest.Subtests) -> None:
    with make().open("w") as store:
        for number, column in enumerate(COLUMNS):
            with subtests.test(column):
                check_id_column(store, f"odd{number}", f"heir{number}", column)


def check_id_column(store: MetadataStore, odd: str, heir: str, column: str) -> None:
    define(odd, ids=[column])
    define(heir, odd, ids=[column])
    store.write(odd, rows(**{column: VALUES}))
    store.write(heir, store.resolve_update(heir).new)
    assert values(store.read(heir), column) == sorted(VALUES, key=repr)
    assert not store.resolve_update(heir)
    store.delete(odd, nw.col(column) == VALUES[0])
    store.delete(odd, nw.col(column) == VALUES[1], soft=False)
    assert values(store.read(odd), column) == sorted(VALUES[2:], key=repr)


def test_values_in_filters_stay_values(make: Make) -> None:
    with make().open("w") as store:
        store.write("video", rows(id=VALUES))
        for value in VALUES:
            assert values(store.read("video", filters=[nw.col("id") == value])) == [value]
        for value in VALUES[::2]:
            store.delete("video", nw.col("id") == value, soft=False)
        assert values(store.read("video")) == sorted(VALUES[1::2], key=repr)


def test_names_of_fields(make: Make) -> None:
    fields = ["select", "from/where", "x" * 60, "_", "a-b"]
    define("many", fields=fields)
    define("heir", "many", fields=fields)
    members = {field.replace("/", "_"): field for field in fields}
    with make().open("w") as store:
        store.write("many", rows(members, id=["a"]))
        store.write("heir", store.resolve_update("heir").new)
        assert not store.resolve_update("heir")


@pytest.mark.parametrize("name", ["duckdb"])
def test_db17_prefixes_that_are_words_of_sql(make: Make) -> None:
    with make(table_prefix="order_").open("w") as store:
        store.write("video", rows(id=VALUES))
        store.delete("video", everything=True, soft=False)
        assert values(store.read("video")) == []
