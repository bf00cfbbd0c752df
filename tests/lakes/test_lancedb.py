"""What is special about LanceDB tables: what is read of them, indexes, vectors and blobs, other programs beside us."""

import random
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import lance
import lancedb
import narwhals as nw
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.factory import define, everything, ids, rows, values

from metaxy import columns as c
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import InvalidConfigError, StoreNotOpenError
from metaxy.ext.lancedb import LanceDBMetadataStore, LanceDBMetadataStoreConfig
from metaxy.ext.lancedb.predicates import predicate_sql
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.threads import together
from metaxy.versioning.frames import collect_to_polars

BLOB = 200_000


def table(store: MetadataStore, key: str) -> lance.LanceDataset:
    storage: Any = store.storage
    return lance.dataset(storage.uri(FeatureKey(key)), storage_options=storage.storage_options or None)


def bytes_read(do: Any) -> int:
    """Do something, and return how many bytes Lance reads of files meanwhile."""
    before: int = lance.bytes_read_counter()
    do()
    return lance.bytes_read_counter() - before


# -- what is read ------------------------------------------------------------------------------------------------------


def test_only_columns_and_rows_that_are_asked_for_are_read(tmp_path: Path) -> None:
    many = [f"{number:03}" for number in range(100)]
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=many, blob=[random.randbytes(BLOB) for _ in many]))
        whole = bytes_read(lambda: store.read("video").collect())
        assert whole > 100 * BLOB * 0.9
        one = store.read("video", filters=[nw.col("id") == "007"])
        assert bytes_read(lambda: values(one, "blob")) < 3 * BLOB
        few = store.read("video", filters=[nw.col("id").is_in(["007", "009"])])
        assert bytes_read(lambda: values(few, "blob")) < 4 * BLOB
        assert bytes_read(lambda: values(store.read("video", columns=["id"]))) < BLOB
        define("video", fields=[FieldSpec(key="default", code_version="2")])
        store.write("video", rows(id=["x"], blob=[b"x"]))
        assert bytes_read(lambda: values(store.read("video"), "blob")) < BLOB  # nothing of the other version
        assert bytes_read(lambda: store.resolve_update("clip")) < BLOB
        assert ids(store.resolve_update("clip")) == (["x"], [], [])


NOON = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=timezone.utc)
SCHEMA = {"id": pl.String(), "n": pl.Int8(), "at": pl.Datetime("us", "UTC"), "a b": pl.Int64(), "u": pl.UInt8()}
CONDITIONS = [
    (pl.col("id") == "it's", "`id` = 'it''s'"),
    (pl.col("id").is_in(["x"]), "`id` IN ('x')"),
    (pl.col("n") >= -3, "`n` >= -3"),
    (pl.col("at") > NOON, "`at` > timestamp '2026-01-01 12:00:00.000005'"),
    (pl.col("id").is_null(), "`id` IS NULL"),
    (pl.col("id").is_not_null(), "`id` IS NOT NULL"),
    ((pl.col("id") == "x") & (pl.col("n").sqrt() > 2), "`id` = 'x'"),
    ((pl.col("id") == "x") | (pl.col("n") < 2), "((`id` = 'x') OR (`n` < 2))"),
    ((pl.col("n") != 2).fill_null(pl.lit(False)), "`n` != 2"),
    # What Lance would see otherwise, or not at all, is left to Polars.
    ((pl.col("id") == "x") | (pl.col("n").sqrt() > 2), None),
    (~(pl.col("id") == "x"), None),
    (pl.col("id").eq_missing(pl.lit("x")), None),
    (pl.col("id").is_in(["x", None], nulls_equal=True), None),
    (pl.col("id").is_in([], nulls_equal=False), None),
    (pl.col("n") == 300, None),
    (pl.col("n") == 2.5, None),
    (pl.col("id") == pl.lit(None, pl.String), None),
    (pl.col("a b") == 1, None),
    (pl.col("u") == 1, None),
    (pl.col("other") == 1, None),
]


@pytest.mark.parametrize(("condition", "sql"), CONDITIONS, ids=[str(condition) for condition, _ in CONDITIONS])
def test_conditions_that_lance_can_check_are_given_to_it(condition: pl.Expr, sql: str | None) -> None:
    assert predicate_sql(condition, SCHEMA) == sql


def test_lance_finds_what_polars_finds(tmp_path: Path) -> None:
    texts = ["", "a", "A", "it's", '"', "\\", "%", "\n", "ä", "😀", None]
    frame = rows(id=[-(2**63), *range(1, 11)], text=texts, n=[*range(-5, 5), None], at=[*[NOON] * 5, *[None] * 6])
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        store.write("video", frame)
        text, number = nw.col("text"), nw.col("n")
        conditions = [
            *(compared for t in texts if t is not None for compared in (text == t, text != t, text < t, text >= t)),
            *(compared for n in (-5, 0, 4) for compared in (number == n, number != n, number < n, number >= n)),
            *(text.is_in(["a", "it's", "\n"]), ~text.is_in(["a"]), number.is_in([0, 4, 9]), text.is_null()),
            *(nw.col("id") == -(2**63), nw.col("id") > -(2**63), nw.col("id").is_in([-(2**63), 3])),
            *(nw.col("at") == NOON, nw.col("at") > NOON - timedelta(microseconds=1), nw.col("at") > NOON),
            *(
                (number > 0) | text.is_null(),
                (number > 0) & (text > "a"),
                nw.any_horizontal(number > 0, text < "b", ignore_nulls=True),
            ),
        ]
        for condition in conditions:
            expected = values(nw.from_native(frame).filter(condition))
            assert values(store.read("video", filters=[condition])) == expected, condition


def test_a_read_sees_the_rows_of_its_moment(tmp_path: Path) -> None:
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        read = store.read("video")
        store.write("video", rows(id=["b"]))
        assert values(read) == ["a"]
        assert values(read.head(1)) == ["a"]


# -- vectors and blobs -------------------------------------------------------------------------------------------------


def test_vectors_and_blobs_stay_as_they_are(tmp_path: Path) -> None:
    vectors = pl.Series([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=pl.Array(pl.Float32, 2))
    blobs = [b"\x00\xff" * 1000, b"", None]
    frame = rows(id=["a", "b", "c"], vector=vectors, blob=blobs)
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        store.write("video", frame)
        store.write("video", rows("2", id=["a"], size=[5]))  # a new column, and none of the others
        store.write("clip", store.resolve_update("clip").new)
        store.delete("video", nw.col("id") == "b")
        store.delete("video", nw.col("id") == "a", soft=False)
        kept = collect_to_polars(store.read("video", include_soft_deleted=True)).sort("id")
        assert_frame_equal(
            kept.select("id", "vector", "blob"), frame.filter(frame["id"] != "a").drop(c.METAXY_PROVENANCE_BY_FIELD)
        )
        store.optimize("video", keep=timedelta(0))
        again = collect_to_polars(store.read("video", include_soft_deleted=True)).sort("id")
        assert_frame_equal(again, kept)
        nearest = store.conn.open_table("video").search([0.5, 0.9]).limit(1).to_list()
        assert [found["id"] for found in nearest] == ["c"]


def test_blobs_in_the_layout_of_lance_are_read_and_written(tmp_path: Path) -> None:
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"], blob=[b"x" * 100]))
        stored = everything(store, "video").to_arrow()
        marked = stored.schema.field("blob").with_metadata({"lance-encoding:blob": "true"})
        store.storage.drop(FeatureKey("video"))
        at = stored.schema.get_field_index("blob")
        lance.write_dataset(stored.cast(stored.schema.set(at, marked)), tmp_path / "video.lance")
        store.write("video", rows(id=["b"], blob=[b"y" * 100]))
        assert values(store.read("video"), "id", "blob") == [("a", b"x" * 100), ("b", b"y" * 100)]


# -- indexes and files -------------------------------------------------------------------------------------------------


def test_ids_are_indexed(tmp_path: Path) -> None:
    define("video", ids=["id", "part.no"])
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        for number in range(8):
            store.write("video", rows(id=[f"{number}"], **{"part.no": [number]}))
        store.optimize("video")
        assert {tuple(i.field_names) for i in table(store, "video").describe_indices()} == {("id",), ("part%2Eno",)}
        store.write("video", rows(id=["8"], **{"part.no": [8]}))  # the index does not know of it yet
        for _ in range(2):
            for sample in ("3", "8"):
                assert values(store.read("video", filters=[nw.col("id") == sample])) == [sample]
            store.optimize("video")


def test_an_index_saves_reading_the_ids_of_all(tmp_path: Path) -> None:
    many = [f"sample-{number:06}" for number in range(50_000)]
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=many))
        one = [nw.col("id") == many[777]]
        without = bytes_read(lambda: values(store.read("video", filters=one)))
        store.optimize("video")
        assert bytes_read(lambda: values(store.read("video", filters=one))) * 3 < without
        assert values(store.read("video", filters=one)) == [many[777]]


def test_rows_written_and_deleted_while_a_table_is_tidied(tmp_path: Path) -> None:
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        for number in range(4):
            store.write("video", rows(id=[f"{number}"]))
        behind = table(store, "video")
        [row] = behind.to_table(filter="id = '1'", columns=[], with_row_id=True)["_rowid"].to_pylist()
        store.write("video", rows(id=["4"]))
        store.delete("video", nw.col("id") == "0", soft=False)
        store.optimize("video", keep=timedelta(0))
        with pytest.raises(OSError, match="concurrent writers"):  # ours reads anew: the row has another number now
            behind.delete(f"_rowid IN ({row})", conflict_retries=0)
        store.delete("video", nw.col("id") == "1", soft=False)
        assert values(store.read("video")) == ["2", "3", "4"]


def test_a_table_is_never_created_in_place_of_one_that_is_created_now(tmp_path: Path) -> None:
    """What `lance.write_dataset` does: it replaces the table, and with it the rows that another writer was promised."""

    def write(number: int) -> None:
        with LanceDBMetadataStore(tmp_path).open("w") as store:
            store.write("video", rows(id=[f"{number}"], **{f"of_{number}": [number]}))

    for _ in range(5):
        together(partial(write, number) for number in range(4))
        with LanceDBMetadataStore(tmp_path).open("w") as store:
            assert values(store.read("video")) == ["0", "1", "2", "3"]
            store.drop_feature_metadata("video")
            assert [*tmp_path.iterdir()] == []


# -- beside LanceDB ----------------------------------------------------------------------------------------------------


def test_tables_of_lancedb_and_of_metaxy_are_the_same(tmp_path: Path) -> None:
    with LanceDBMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        stored = everything(store, "video")
        store.drop_feature_metadata("video")
        connection = lancedb.connect(tmp_path)
        connection.create_table("video", stored.to_arrow())  # as metaxy 0.1 does
        store.write("video", rows({"default": "1"}, id=["b"], new=[1]))
        assert values(store.read("video"), "id", "new") == [("a", None), ("b", 1)]
        assert connection.open_table("video").count_rows("new = 1") == 1
        assert store.conn.open_table("video").to_arrow().num_rows == 2


def test_a_closed_or_reading_store_creates_no_folder(tmp_path: Path) -> None:
    with LanceDBMetadataStore(tmp_path / "none") as store:
        assert not store.has_feature("video")
    assert not (tmp_path / "none").exists()


def test_cloud_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="LanceDB Cloud"):
        LanceDBMetadataStore("db://project")


def test_no_secret_is_shown() -> None:
    options = {"aws_secret_access_key": "c2VjcmV0"}
    kwargs = {"api_key": "c2VjcmV0", "storage_options": options}
    store = LanceDBMetadataStore("s3://place/features/", connect_kwargs=kwargs, storage_options=options)
    config = LanceDBMetadataStoreConfig(uri="x", storage_options=options, connect_kwargs=kwargs)
    assert store.display() == "LanceDBMetadataStore(path=s3://place/features)"
    with store:
        assert store.get_store_info("video")["uri"] == "s3://place/features/video.lance"
    assert "c2VjcmV0" not in f"{store!r} {store.storage!r} {config!r}"


def test_a_closed_store_has_no_connection(tmp_path: Path) -> None:
    store = LanceDBMetadataStore(tmp_path)
    with pytest.raises(StoreNotOpenError):
        _ = store.conn
    with store.open("w"):
        assert store.conn.list_tables().tables == []
    with pytest.raises(StoreNotOpenError):
        _ = store.conn
