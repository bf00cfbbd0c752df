"""Tests of the storage port, method by method, see `metaxy.storage.port.Storage`."""

from collections.abc import Callable

import narwhals as nw
import polars as pl
import pytest

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import TableNotFoundError
from metaxy.storage.port import Committed, Listable, Measurable
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import FEATURE_VERSIONS_KEY
from metaxy.testing.conformance.case import StoreCase, StoreFactory
from metaxy.testing.conformance.factory import define, everything, rows, to_append, values
from metaxy.versioning.frames import collect_to_polars

TABLE = FeatureKey("a/b")


def steady_token(storage: Committed, other: Committed) -> str | None:
    """Return the token on which two storages agree; those of some databases change with tables of others, too."""
    for _ in range(100):
        token = storage.commit_token(TABLE)
        if token == other.commit_token(TABLE) == storage.commit_token(TABLE):
            return token
    raise AssertionError("an unchanged table has another token each time")


class Port(StoreCase):
    """The methods of the storage, called directly; the rows are such as a store writes."""

    @pytest.fixture
    def frame(self, store: MetadataStore) -> pl.DataFrame:
        """Rows with all system columns: a and b with a number, c without one."""
        define("video")
        store.write("video", rows(id=["a", "b", "c"], n=[1, 2, None]))
        return everything(store, "video").sort("id")

    @pytest.fixture
    def table(self, store: MetadataStore, frame: pl.DataFrame) -> MetadataStore:
        """The store with a table of these rows, named by a key of two parts."""
        store.storage.append([to_append(store, "a/b", frame, create=True)])
        return store

    def test_a_table_is_there_from_its_first_rows_until_it_is_dropped(
        self, store: MetadataStore, frame: pl.DataFrame
    ) -> None:
        storage = store.storage
        for _ in range(2):
            assert not storage.has_table(TABLE)
            with pytest.raises(TableNotFoundError):
                storage.scan(TABLE)
            storage.append([to_append(store, "a/b", frame, create=True)])
            assert storage.has_table(TABLE)
            if isinstance(storage, Measurable):
                assert storage.size(TABLE) is None or storage.size(TABLE)
            assert everything(store, "a/b").sort("id").select(frame.columns).equals(frame)
            storage.drop(TABLE)
            storage.drop(TABLE)  # nothing is there, and nothing happens
        assert storage.has_table(FeatureKey("video"))

    def test_tables_are_listed(self, store: MetadataStore, frame: pl.DataFrame) -> None:
        storage = store.storage
        if not isinstance(storage, Listable):
            pytest.skip("the storage has no `tables`")
        SystemTableStorage(store).push_graph_snapshot(project="test")
        [system] = [key for key in storage.tables() if key != FeatureKey("video")]
        assert system.table_name == FEATURE_VERSIONS_KEY.table_name
        for key in ("a/b", "a/b-c/d", "a_b"):
            storage.append([to_append(store, key, frame, create=True)])
        names = {key.table_name for key in storage.tables()} - {system.table_name}
        assert names == {"video", "a__b", "a__b_c__d", "a_b"}
        assert all(map(storage.has_table, storage.tables()))
        storage.drop(TABLE)
        assert TABLE not in storage.tables()

    def test_a_scan_takes_conditions_and_columns(self, table: MetadataStore, frame: pl.DataFrame) -> None:
        scan = table.storage.scan(TABLE)
        assert set(scan.schema) == set(scan.frame.collect_schema().names()) == set(frame.columns)
        assert set(c.BY_FIELD_COLUMNS) <= set(scan.by_field)
        assert values(scan.frame.select("n", "id"), "n", "id") == [(1, "a"), (2, "b"), (None, "c")]
        assert values(scan.frame.filter(nw.col("n") > 1).select("id")) == ["b"]
        assert values(scan.frame.filter(nw.col("n").is_null())) == ["c"]
        assert collect_to_polars(scan.frame.filter(nw.col("id") == "z")).schema["n"] == frame.schema["n"]

    def test_rows_are_added_to_tables_that_may_gain_columns(self, table: MetadataStore, frame: pl.DataFrame) -> None:
        more = frame.head(1).with_columns(id=pl.lit("d"), v=pl.lit("new"))
        table.storage.append(
            [
                to_append(table, "a/b", more, new_columns=("v",)),
                to_append(table, "other", frame, create=True),
            ]
        )
        assert values(everything(table, "a/b"), "id", "v") == [("a", None), ("b", None), ("c", None), ("d", "new")]
        assert values(everything(table, "other")) == ["a", "b", "c"]

    def test_rows_are_removed_that_fulfil_the_condition(self, table: MetadataStore, frame: pl.DataFrame) -> None:
        storage = table.storage
        storage.delete(TABLE, nw.col("n") > 5)
        storage.delete(TABLE, nw.col("n") != 2)  # which is NULL for c, and so not fulfilled
        assert values(everything(table, "a/b")) == ["b", "c"]
        storage.delete(TABLE, None)
        assert values(everything(table, "a/b")) == []
        assert storage.has_table(TABLE)
        assert values(everything(table, "video")) == ["a", "b", "c"]
        storage.append([to_append(table, "a/b", frame)])
        assert values(everything(table, "a/b")) == ["a", "b", "c"]

    def test_a_table_has_another_token_after_every_change(self, make: StoreFactory, frame: pl.DataFrame) -> None:
        with make().open("w") as store, make() as reader:
            storage = store.storage
            if not isinstance(storage, Committed) or not isinstance(reader.storage, Committed):
                pytest.skip("the storage has no `commit_token`")
            if storage.commit_token(FeatureKey("video")) is None:
                pytest.skip("no token says for sure that nothing changed")
            with pytest.raises(TableNotFoundError):
                storage.commit_token(TABLE)
            seen: set[str | None] = set()
            more = frame.head(1).with_columns(id=pl.lit("d"), v=pl.lit("new"))
            changes: tuple[Callable[[], object], ...] = (
                lambda: storage.append([to_append(store, "a/b", frame, create=True)]),
                lambda: storage.append([to_append(store, "a/b", frame)]),
                lambda: storage.append([to_append(store, "a/b", more, new_columns=("v",))]),
                lambda: storage.delete(TABLE, nw.col("n") == 1),
                lambda: storage.delete(TABLE, None),
                lambda: storage.drop(TABLE),
                lambda: storage.append([to_append(store, "a/b", frame, create=True)]),
            )
            for change in changes:
                change()
                if storage.has_table(TABLE):
                    seen.add(steady_token(storage, reader.storage))
            assert None not in seen
            assert len(seen) == 6

    def test_the_place_of_a_table_is_text(self, store: MetadataStore) -> None:
        place = store.storage.describe(TABLE)
        assert place
        assert all(isinstance(text, str) for text in (*place, *place.values(), store.display()))

    def test_what_was_written_is_there_for_the_next_store(self, make: StoreFactory) -> None:
        define("video")
        with make().open("w") as store:
            store.write("video", rows(id=["a"]))
        with make().open("w") as store:
            store.write("video", rows(id=["b"]))
            with store:  # blocks may be nested
                assert values(store.read("video")) == ["a", "b"]
        with make() as reader:
            assert values(reader.read("video")) == ["a", "b"]
            assert values(everything(reader, "video")) == ["a", "b"]
