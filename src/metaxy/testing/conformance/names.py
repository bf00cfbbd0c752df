"""Names and values that SQL, files and templates take for something else."""

from typing import Final

import narwhals as nw
import pytest

from metaxy import columns as c
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase
from metaxy.testing.conformance.factory import define, rows, values

HOSTILE: Final = (
    *("select", "order", 'a"b', "it's", "sp ace", "dot.ted", "naïve ✓", "a;--"),
    *("{0}", "%s", "rowid", "k0", "t"),
)
VALUES: Final = ("'; DROP TABLE video; --", '"', "\\", "%", "a\nb", "", "é\u0301", "\U0001f980")
IDS: Final = ("\U0008f218§", "\ufffd", "é", "a'b", 'a"b', "\\", "\x01\n", "z" * 70)


class Names(StoreCase):
    """Features, columns and values may be called anything."""

    @pytest.mark.parametrize("key", ["order", "select/from", "table"])
    def test_hostile_names_work_in_every_verb(self, store: MetadataStore, key: str) -> None:
        define(key, ids=HOSTILE[:4], fields=["select", "a_b", "left"])
        define("child", key, ids=HOSTILE[:4])
        versions = {"select": "1", "a_b": "2", "left": "3"}
        frame = rows(versions, **{name: [f"{name} 1", f"{name} 2"] for name in HOSTILE})
        store.write(key, frame)
        store.write(key, frame)
        assert values(store.read(key, columns=HOSTILE), *HOSTILE) == frame.select(HOSTILE).rows()
        new = store.resolve_update("child").new
        assert values(new, *HOSTILE) == frame.select(HOSTILE).rows()
        store.write("child", new)
        assert not store.resolve_update("child")
        first = [nw.col(name) == f"{name} 1" for name in HOSTILE]
        store.delete(key, first)
        assert values(store.read(key), HOSTILE[0]) == ["select 2"]
        store.delete(key, first, soft=False)
        assert values(store.read(key, include_soft_deleted=True), *HOSTILE) == frame.select(HOSTILE).rows()[1:]
        assert values(store.resolve_update("child").orphaned, HOSTILE[2]) == ['a"b 1']

    def test_hostile_values_come_back(self, store: MetadataStore) -> None:
        define("video")
        for value in VALUES:
            store.write("video", rows([value or "v", "1"], id=[value, "other"]), materialization_id=value)
            assert values(store.read("video", filters=[nw.col("id") == value])) == [value]
            store.delete("video", nw.col("id") == value, soft=False)
            assert values(store.read("video"), "id", c.METAXY_MATERIALIZATION_ID) == [("other", value)]

    @pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
    def test_a_sample_is_deleted_by_whatever_its_id_is(self, store: MetadataStore, soft: bool) -> None:
        define("video")
        store.write("video", rows(id=IDS, n=[1] * len(IDS)))
        for n, name in enumerate(IDS):
            store.delete("video", (nw.col("id") == name) & (nw.col("n") == 1), soft=soft)
            assert set(values(store.read("video"))) == set(IDS[n + 1 :])
