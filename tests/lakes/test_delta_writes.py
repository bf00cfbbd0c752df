"""Who writes the files of a Delta table, Polars or delta-rs, and what their log says of them."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from deltalake import DeltaTable
from tests.factory import everything, rows, values
from tests.services import s3

from metaxy.ext.delta import DeltaMetadataStore
from metaxy.store.store import MetadataStore

Write = Callable[[MetadataStore], None]


def file_writers(folder: Path) -> list[str]:
    """Return who wrote each file of `video`, as the files themselves say, in the order of the commits."""
    actions = pl.DataFrame(DeltaTable(folder / "video.delta").get_add_actions()).sort("modification_time")
    contents = [Path(folder, "video.delta", path).read_bytes() for path in actions["path"]]
    return ["Polars" if b"Polars" in content[-200:] else "delta-rs" for content in contents]


def test_polars_writes_the_files_of_new_tables_and_of_old_ones(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        for name in ("a", "b"):
            store.write("video", rows(id=[name], size=[1], at=[datetime(2026, 1, 1, tzinfo=timezone.utc)]))
        assert values(store.read("video")) == ["a", "b"]
    assert file_writers(tmp_path) == ["Polars", "Polars"]


def more_columns(store: MetadataStore) -> None:
    store.write("video", rows(id=["b"], size=[1]))


def several_versions(store: MetadataStore) -> None:
    stored = everything(store, "video").with_columns(id=pl.lit("b"))
    other = stored.with_columns(id=pl.lit("c"), metaxy_feature_version=pl.lit("other"))
    store.write("video", pl.concat([stored, other]), preserve_feature_version=True)


def rules_of_the_table(store: Any) -> None:
    path = f"{store.root_path}/video.delta"
    DeltaTable(path).alter.add_constraint({"named": "id <> ''"})
    store.write("video", rows(id=["b"]))


def options_of_the_user(store: Any) -> None:
    with DeltaMetadataStore(store.root_path, delta_write_options={"target_file_size": 1_000_000}).open("w") as other:
        other.write("video", rows(id=["b"]))


LEFT_TO_DELTA: dict[str, Write] = {
    "columns that the table lacks": more_columns,
    "several versions": several_versions,
    "rules of the table": rules_of_the_table,
    "options of the user": options_of_the_user,
}


@pytest.mark.parametrize("name", LEFT_TO_DELTA)
def test_delta_rs_writes_what_it_alone_knows(name: str, tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]))
        LEFT_TO_DELTA[name](store)
        assert values(store.read("video")) == ["a", "b"]
    first, *others = file_writers(tmp_path)
    assert first == "Polars"
    assert set(others) == {"delta-rs"}


@pytest.mark.parametrize("dtype", [pl.List(pl.String), pl.Datetime("us")])
def test_delta_rs_writes_types_that_delta_lacks(dtype: Any, tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a"]).with_columns(other=pl.lit(None, dtype)))
        assert values(store.read("video")) == ["a"]
    assert file_writers(tmp_path) == ["delta-rs"]


def test_the_log_has_statistics_by_which_files_are_left_out(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc)
    frame = rows(id=["b", "a", "c"], size=[3, None, 1], at=[moment, moment, None], long=["x" * 100, "y", "z"])
    with DeltaMetadataStore(tmp_path).open("w") as store:
        store.write("video", frame)
        (known,) = pl.DataFrame(DeltaTable(tmp_path / "video.delta").get_add_actions(flatten=True)).to_dicts()
        assert known["num_records"] == 3
        assert (known["min.id"], known["max.id"], known["null_count.id"]) == ("a", "c", 0)
        assert (known["min.size"], known["max.size"], known["null_count.size"]) == (1, 3, 1)
        assert moment - timedelta(milliseconds=1) < known["min.at"] <= moment
        assert moment <= known["max.at"] < moment + timedelta(milliseconds=1)
        assert known["max.long"] is None
        assert known["null_count.metaxy_deleted_at"] == 3
        found = store.read("video", filters=[nw.col("at") == moment])
        assert values(found) == ["a", "b"]


def test_delta_rs_reads_what_polars_wrote(tmp_path: Path) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store:
        store.write("video", rows(id=["a", "b"], size=[1, None]))
        stored = everything(store, "video").sort("id")
    read = pl.DataFrame(DeltaTable(tmp_path / "video.delta").to_pyarrow_table()).sort("id")
    assert read.select(stored.columns).equals(stored)


def test_whoever_creates_a_table_later_adds_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DeltaMetadataStore(tmp_path).open("w") as store, DeltaMetadataStore(tmp_path).open("w") as other:
        storage: Any = store.storage
        looks: list[Any] = []
        existing = storage._existing

        def too_early(place: Any) -> Any:
            looks.append(place)
            if len(looks) > 1:
                return existing(place)
            other.write("video", rows(id=["b"], theirs=[1]))
            return None

        monkeypatch.setattr(storage, "_existing", too_early)
        store.write("video", rows(id=["a"], ours=[1]))
        assert len(looks) == 2
        assert sorted(everything(store, "video").select("id", "ours", "theirs").rows()) == [
            ("a", 1, None),
            ("b", None, 1),
        ]


def test_other_threads_go_on_while_a_bucket_is_asked(tmp_path: Path) -> None:
    """One that answers in this very process could not, if whoever asks held Python's lock."""
    with s3.server(tmp_path) as served:
        endpoint = served["endpoint"]
        s3.client(endpoint).create_bucket(Bucket="features")
        with DeltaMetadataStore("s3://features/root", storage_options=s3.options(endpoint)).open("w") as store:
            for name in ("a", "b"):
                store.write("video", rows(id=[name]))
            store.write("video", rows(id=["c"], tags=[["x"]]))  # delta-rs writes these
            store.delete("video", nw.col("id") == "a", soft=False)
            assert values(store.read("video")) == ["b", "c"]


def test_a_write_to_a_bucket_opens_its_table_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with s3.server(tmp_path) as served:
        endpoint = served["endpoint"]
        s3.client(endpoint).create_bucket(Bucket="counted")
        with DeltaMetadataStore("s3://counted/root", storage_options=s3.options(endpoint)).open("w") as store:
            opened = []
            for name in ("a", "b", "c"):
                with caplog.at_level("INFO", "werkzeug"):
                    caplog.clear()
                    store.write("video", rows(id=[name]))
                opened.append(sum("_last_checkpoint" in line for line in caplog.messages))
            assert values(store.read("video")) == ["a", "b", "c"]
    assert opened == [3, 1, 1]  # whoever creates a table reads it twice afterwards


def test_a_table_that_changed_since_it_was_opened_takes_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another store adds rows, and columns, or drops the table, after this one has looked at it."""
    ours, theirs = DeltaMetadataStore(tmp_path), DeltaMetadataStore(tmp_path)
    changes: dict[str, Write] = {
        "rows": lambda store: store.write("video", rows(id=["b"])),
        "columns": lambda store: store.write("video", rows(id=["c"], size=[1])),
        "nothing": lambda store: store.drop_feature_metadata("video"),
    }
    found = []
    with ours.open("w"), theirs.open("w"):
        ours.write("video", rows(id=["a"]))
        for name, change in changes.items():
            storage: Any = ours.storage
            append = storage.append

            def late(writes: Any, change: Write = change, append: Any = append) -> None:
                change(theirs)
                append(writes)

            with monkeypatch.context() as patch:
                patch.setattr(storage, "append", late)
                ours.write("video", rows(id=[f"after {name}"]))
            found.append(sorted(everything(ours, "video")["id"]))
    assert found == [
        ["a", "after rows", "b"],
        ["a", "after columns", "after rows", "b", "c"],
        ["after nothing"],
    ]
