"""A store over others: it sees their rows under its own, and writes only to itself."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.factory import define, everything, ids, rows, values
from tests.stores import STORES, StoreFactory

from metaxy.columns import METAXY_DELETED_AT, METAXY_UPDATED_AT
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import (
    FeatureNotFoundError,
    HashSettingsMismatchError,
    InvalidConfigError,
    MetadataSchemaError,
    PolarsMaterializationWarning,
    RenameError,
    RenameWarning,
    RowsBelowWarning,
    StoreLockedError,
)
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.hashing import HashAlgorithm
from metaxy.store.status import get_feature_metadata_status
from metaxy.store.store import MetadataStore
from metaxy.versioning.polars_engine import PolarsEngine

LEAVES = ("sqlite",)  # two files of it are not read as one


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


@pytest.fixture
def prod(make: StoreFactory) -> MetadataStore:
    """A closed store that has three videos, and what is computed from them."""
    store = make("prod", name="prod")
    fill(store)
    return store


def fill(store: MetadataStore) -> None:
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c"], n=[1, 2, 3]))
        store.write("clip", store.resolve_update("clip").new)


@contextmanager
def warned() -> Iterator[list[str]]:
    """Return what is said of rows that leave their database."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [str(each.message) for each in caught if issubclass(each.category, PolarsMaterializationWarning)]


def test_rows_below_are_seen_and_what_is_written_lies_over_them(
    make: StoreFactory, prod: MetadataStore, request: pytest.FixtureRequest
) -> None:
    with prod:
        before = [everything(prod, key).height for key in ("video", "clip")]
    with warned() as said, make("dev", name="dev", fallback_stores=[prod], fallback="rows").open("w") as dev:
        assert values(dev.read("video"), "id", "n") == [("a", 1), ("b", 2), ("c", 3)]
        assert ids(dev.resolve_update("clip")) == ([], [], [])
        again = dev.resolve_update("video", samples=rows(id=["a", "b"], n=[1, 2]))
        assert ids(again) == ([], [], ["c"])

        dev.write("video", rows(["2", "1"], id=["b", "d"], n=[20, 40], width=[0.5, None]))
        seen = values(dev.read("video"), "id", "n", "width")
        assert seen == [("a", 1, None), ("b", 20, 0.5), ("c", 3, None), ("d", 40, None)]
        assert values(dev.read("video", allow_fallback=False)) == ["b", "d"]
        assert values(dev.read("video", filters="n < 10 OR width > 0.1"), "id") == ["a", "b", "c"]
        history = dev.read("video", with_sample_history=True, columns=["id", "n"])
        assert values(history, "id", "n") == [("a", 1), ("b", 2), ("b", 20), ("c", 3), ("d", 40)]
        increment = dev.resolve_update("clip")
        assert ids(increment) == (["d"], ["b"], [])
        assert ids(dev.resolve_update("clip", lazy=True).collect()) == (["d"], ["b"], [])
        status = get_feature_metadata_status("clip", dev).status
        assert (status.store_row_count, status.missing_count, status.stale_count) == (3, 1, 1)

        dev.write("clip", pl.concat([increment.new.to_polars(), increment.stale.to_polars()]))
        assert ids(dev.resolve_update("clip")) == ([], [], [])
        assert ids(dev.resolve_update("clip", versioning_engine="polars")) == ([], [], [])
        assert get_feature_metadata_status("clip", dev).status.status_category == "up_to_date"
        assert values(dev.read("clip")) == ["a", "b", "c", "d"]
    with prod:
        assert [everything(prod, key).height for key in ("video", "clip")] == before
    assert len(said) == (request.node.callspec.params["make_store"] in LEAVES), said


@pytest.mark.three_stores
def test_rows_of_another_kind_of_store_are_read_with_polars_and_it_is_said_once(
    make: StoreFactory, tmp_path: Path
) -> None:
    other = "duckdb" if isinstance(make().engine, PolarsEngine) else "clickhouse"
    (tmp_path / "far").mkdir()
    far = STORES[other](tmp_path / "far", name="far")
    fill(far)
    with warned() as said, make("near", fallback_stores=[far], fallback="rows").open("w") as near:
        near.write("video", rows("2", id=["b"], n=[20]))
        assert values(near.read("video"), "id", "n") == [("a", 1), ("b", 20), ("c", 3)]
        stale = near.resolve_update("clip")
        assert ids(stale) == ([], ["b"], [])
        near.write("clip", stale.stale)
        assert ids(near.resolve_update("clip")) == ([], [], [])
        assert values(near.read("clip", with_sample_history=True)) == ["a", "b", "b", "c"]
    assert len(said) == (not isinstance(near.engine, PolarsEngine))


def test_versions_by_field_may_be_kept_in_other_forms(make: StoreFactory) -> None:
    """Maps under structs, and structs with other fields; and two stores under one."""
    with MetaxyConfig(enable_map_datatype=True).use():
        fill(make("maps"))
    define("video", fields=["default", "audio"])
    with make("more").open("w") as more:
        more.write("video", rows({"default": "1", "audio": "7"}, id=["e"], n=[5]))
    define("video")
    with warned(), make("dev", fallback_stores=[make("maps"), make("more")], fallback="rows").open("w") as dev:
        dev.write("video", rows("2", id=["b"], n=[20]))
        assert values(dev.read("video"), "id", "n") == [("a", 1), ("b", 20), ("c", 3)]
        assert ids(dev.resolve_update("clip")) == ([], ["b"], [])
        every = dev.read("video", with_feature_history=True, with_sample_history=True)
        assert values(every) == ["a", "b", "b", "c", "e"]
    define("video", fields=["default", "audio"])
    with warned(), dev:
        found = dev.read("video").collect().to_polars()
        assert found.select("id", "n").rows() == [("e", 5)]
        assert "7" in str(found["metaxy_provenance_by_field"].to_list())


@pytest.mark.three_stores
def test_types_that_differ_meet_without_loss_or_are_refused(make: StoreFactory, prod: MetadataStore) -> None:
    dev = make("dev", fallback_stores=[prod], fallback="rows")
    with dev.open("w"):
        with pytest.raises(MetadataSchemaError, match=r"column 'n' is String in .* and Int64 in \[prod\]"):
            dev.write("video", rows(id=["d"], n=["four"]))
        with pytest.raises(MetadataSchemaError, match=r"'n' of .* and 'N' of .* differ only by case"):
            dev.write("video", rows(id=["d"], N=[4]))
        assert not dev.has_feature("video")
        small = rows(id=["d"], n=[4], s=[{"x": 1}]).with_columns(pl.col("n").cast(pl.Int16))
        dev.write("video", small)
        assert values(dev.read("video"), "id", "n") == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
        assert values(dev.read("video", filters="n > 2")) == ["c", "d"]
    with prod.open("w"):
        prod.write("video", rows(id=["e"], n=[5], s=[{"x": 2, "y": 3}]))
    with dev:
        assert values(dev.read("video", filters="n > 3"), "id", "s") == [
            ("d", {"x": 1, "y": None}),
            ("e", {"x": 2, "y": 3}),
        ]


@pytest.mark.three_stores
def test_a_write_is_later_than_what_lies_below(make: StoreFactory, prod: MetadataStore) -> None:
    with prod.open("w"):
        ahead = prod.read("video").collect().to_polars().with_columns(pl.col(METAXY_UPDATED_AT) + timedelta(days=1))
        prod.write("video", rows("1", id=["a"], n=[7]))
        late = prod.clock.now() + timedelta(hours=1)
        prod.clock._last = late
        prod.write("video", rows("3", id=["a"], n=[8]))
    assert ahead.height == 3
    with make("dev", fallback_stores=[prod], fallback="rows").open("w") as dev:
        dev.write("video", rows("4", id=["a", "b"], n=[9, 9]))
        assert values(dev.read("video"), "id", "n") == [("a", 9), ("b", 9), ("c", 3)]
        assert values(dev.read("video", as_of=late - timedelta(minutes=1)), "id", "n")[0] == ("a", 7)
        assert ids(dev.resolve_update("clip", as_of=late - timedelta(minutes=1))) == ([], [], [])


@pytest.mark.three_stores
def test_fallbacks_of_fallbacks_keep_their_own_way(make: StoreFactory, prod: MetadataStore) -> None:
    middle = make("middle", name="middle", fallback_stores=[prod], fallback="rows")
    tables = make("tables", name="tables", fallback_stores=[prod])
    for store in (middle, tables):
        with store.open("w"):
            store.write("video", rows("2", id=["b"], n=[20]))
    with make("near", fallback_stores=[middle], fallback="rows").open("w") as near:
        near.write("video", rows("3", id=["c"], n=[30]))
        assert values(near.read("video"), "id", "n") == [("a", 1), ("b", 20), ("c", 30)]
        assert ids(near.resolve_update("clip")) == ([], ["b", "c"], [])
    with make("near", fallback_stores=[tables], fallback="rows") as near:
        assert values(near.read("video"), "id", "n") == [("b", 20), ("c", 30)]
        assert values(near.read("clip")) == ["a", "b", "c"]  # of which `tables` has no table
    with make("none", fallback_stores=[make("empty")], fallback="rows") as none:
        with pytest.raises(FeatureNotFoundError, match="feature video has no table in"):
            none.read("video")
        assert none.find_store_for_feature("video") is None


def test_other_hash_settings_and_other_words_are_refused(tmp_path: Path) -> None:
    prod = DuckDBMetadataStore(tmp_path / "prod.duckdb", auto_create_tables=True)
    fill(prod)
    with pytest.raises(InvalidConfigError, match="fallback is 'row'; input should be 'tables' or 'rows'"):
        DuckDBMetadataStore(":memory:", fallback_stores=[prod], fallback="row")
    dev = DuckDBMetadataStore(":memory:", fallback_stores=[prod], fallback="rows", auto_create_tables=True)
    with MetaxyConfig(hash_truncation_length=8).use(), dev, pytest.raises(HashSettingsMismatchError):
        dev.read("video")
    sha = HashAlgorithm.SHA256
    other = DuckDBMetadataStore(":memory:", fallback_stores=[prod], fallback="rows", hash_algorithm=sha)
    with pytest.raises(InvalidConfigError, match="hash_algorithm"), other:
        other.read("video")


# -- what is deleted, copied and promoted -----------------------------------------------------------------------------


def test_what_is_deleted_and_promoted(make: StoreFactory, prod: MetadataStore) -> None:
    with warned(), make("dev", name="dev", fallback_stores=[prod], fallback="rows").open("w") as dev:
        assert dev.count_rows_to_delete("video", "n > 1") == 2
        assert dev.delete("video", "id = 'a'").rows == 1  # of which dev has no table
        assert values(everything(dev, "video").filter(pl.col(METAXY_DELETED_AT).is_not_null())) == ["a"]
        dev.write("video", rows("2", id=["b"], n=[20], width=[0.5]))
        assert dev.delete("video", rows=pl.DataFrame({"id": ["c"]})).rows == 1  # has no width
        assert values(dev.read("video"), "id", "n") == [("b", 20)]
        assert ids(dev.resolve_update("clip")) == ([], ["b"], ["a", "c"])
        with pytest.warns(RowsBelowWarning, match="feature video: 1 of these samples are still seen, as prod has"):
            assert dev.delete("video", "id = 'b'", soft=False).rows == 1
        assert values(dev.read("video"), "id", "n") == [("b", 2)]
        with pytest.warns(RowsBelowWarning, match="3 of these samples are still seen"):
            assert dev.delete("clip", everything=True, soft=False).rows == 0
        dev.write("video", rows("3", id=["c"], n=[30]))  # lives again
        assert values(dev.read("video"), "id", "n") == [("b", 2), ("c", 30)]
    with prod.open("w"), dev:
        added = everything(dev, "video").height
        assert dev.promote(prod, dry_run=True) == {"features_copied": 1, "rows_copied": added}
        assert values(prod.read("video")) == ["a", "b", "c"]
        assert dev.promote(prod) == {"features_copied": 1, "rows_copied": added}
        assert dev.promote(prod) == {"features_copied": 1, "rows_copied": 0}
        assert values(prod.read("video"), "id", "n") == [("b", 2), ("c", 30)]
        every = values(prod.read("video", with_sample_history=True, include_soft_deleted=True))
        with warned():
            assert values(dev.read("video", with_sample_history=True, include_soft_deleted=True)) == every
            assert values(dev.read("video"), "id", "n") == [("b", 2), ("c", 30)]
        assert dev.promote(prod, ["clip"]) == {"features_copied": 0, "rows_copied": 0}
        with FeatureGraph().use(), pytest.raises(InvalidConfigError, match="no features to promote"):
            dev.promote(prod)


@pytest.mark.three_stores
def test_columns_are_renamed_below_first(make: StoreFactory, prod: MetadataStore) -> None:
    dev = make("dev", name="dev", fallback_stores=[prod], fallback="rows")
    with warned(), dev.open("w"):
        dev.write("video", rows("2", id=["b"], n=[20], width=[0.5]))
        with pytest.raises(MetadataSchemaError, match=r"prod.* has 'n' too: rename the column there first"):
            dev.rename_column("video", "n", "number")
        assert dev.rename_column("video", "width", "wide") == 1
    with prod.open("w"):
        assert prod.rename_column("video", "n", "number") == 3
    with warned(), dev.open("w"):
        assert dev.rename_column("video", "n", "number") == 1
        assert values(dev.read("video"), "id", "number") == [("a", 1), ("b", 20), ("c", 3)]


@pytest.mark.three_stores
def test_a_copy_of_a_store_over_others_has_what_it_sees(make: StoreFactory, prod: MetadataStore) -> None:
    dev, other = make("dev", fallback_stores=[prod], fallback="rows"), make("other", name="other")
    with dev.open("w"):
        dev.write("video", rows("2", id=["b"], n=[20]))
        dev.delete("clip", "id = 'c'")
    with other.open("w"), dev:
        assert other.copy_metadata(dev) == {"features_copied": 2, "rows_copied": 6}
        assert values(other.read("video"), "id", "n") == [("a", 1), ("b", 20), ("c", 3)]
        assert values(other.read("clip")) == ["a", "b"]
        with pytest.raises(InvalidConfigError, match=r"does not fall back on \[other\] .*its fallback stores: prod"):
            dev.promote(other)
        assert dev.promote(other, force=True)["rows_copied"] == 0
    with dev.open("w"):
        dev.drop_feature_metadata("video")
        assert values(dev.read("video"), "id", "n") == [("a", 1), ("b", 2), ("c", 3)]


@pytest.mark.three_stores
def test_a_preview_computes_what_its_code_changes_and_promote_brings_it_over(
    make: StoreFactory, prod: MetadataStore
) -> None:
    """The story: 300 videos in production, and a branch that changes one of four features."""
    every = [f"v{n:03d}" for n in range(300)]

    def compute(store: MetadataStore) -> dict[str, int]:
        """Compute what is to do in dependency order, and return how many samples that was."""
        done = {}
        for key in ("clip", "caption", "words"):
            increment = store.resolve_update(key)
            done[key] = len(increment.new) + len(increment.stale)
            for frame in (increment.new, increment.stale):
                store.write(key, frame)
            assert not len(increment.orphaned)
        return done

    def state(store: MetadataStore) -> list[int]:
        return [everything(store, key).height for key in ("video", "clip", "caption", "words")]

    define("caption", "video")
    define("words", "caption")
    production, preview = make("production", name="production"), None
    with production.open("w"):
        production.write("video", rows(id=every, n=list(range(300))))
        assert compute(production) == {"clip": 300, "caption": 300, "words": 300}
        before = state(production)
    preview = make("preview", name="preview", fallback_stores=[production], fallback="rows")
    with warnings.catch_warnings():
        warnings.simplefilter("error", PolarsMaterializationWarning)
        with preview.open("w"):
            assert compute(preview) == {"clip": 0, "caption": 0, "words": 0}
            define("caption", "video", fields=[FieldSpec(key="default", code_version="2")])
            assert compute(preview) == {"clip": 0, "caption": 300, "words": 300}
            assert compute(preview) == {"clip": 0, "caption": 0, "words": 0}
            preview.write("video", rows("2", id=["v007"], n=[7]))  # the first small write hides nothing
            assert compute(preview) == {"clip": 1, "caption": 1, "words": 1}
            statuses = [get_feature_metadata_status(key, preview).status for key in ("clip", "caption", "words")]
            assert [(s.store_row_count, s.needs_update) for s in statuses] == [(300, False)] * 3
            assert not preview.storage.has_table(FeatureKey("unknown"))
        with production.open("w"):
            assert state(production) == before
            with preview:
                assert preview.promote(production) == {"features_copied": 4, "rows_copied": 604}
            assert compute(production) == {"clip": 0, "caption": 0, "words": 0}


# -- DuckDB: a process has one handle of each file ---------------------------------------------------------------------

WRITE = """
import sys; from metaxy.ext.duckdb import DuckDBMetadataStore
with DuckDBMetadataStore(sys.argv[1], lock_timeout=0).open("w"): print("wrote")
"""


def others_may_write(path: Path) -> bool:
    """Return whether another process may open a DuckDB file for writing."""
    done = subprocess.run([sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout or "StoreLockedError" in done.stderr, done.stderr
    return done.stdout == "wrote\n"


def test_a_file_stays_locked_while_anyone_in_the_process_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "prod.duckdb"
    prod = DuckDBMetadataStore(path, name="prod", auto_create_tables=True)
    fill(prod)
    other = DuckDBMetadataStore(path)
    dev = DuckDBMetadataStore(tmp_path / "dev.duckdb", fallback_stores=[prod], fallback="rows", auto_create_tables=True)
    with warned() as said, other:  # attached first, then also read by itself
        with dev.open("w"):
            pass
        with dev.open("w"):
            dev.write("video", rows("2", id=["b"], n=[20]))
            assert values(dev.read("video"), "id", "n") == [("a", 1), ("b", 20), ("c", 3)]
        assert not others_may_write(path)
    assert len(said) == 1  # as the file is open in this process, it is not attached
    assert others_may_write(path)
    block = other.open("r")
    with warned() as said, dev:
        assert ids(dev.resolve_update("clip")) == ([], ["b"], [])
        block.__enter__()
        assert values(other.read("video")) == ["a", "b", "c"]
        with pytest.raises(StoreLockedError, match="open for reading elsewhere"), DuckDBMetadataStore(path).open("w"):
            pass
        with DuckDBMetadataStore(path) as third:
            assert values(third.read("video")) == ["a", "b", "c"]
    assert values(other.read("video", filters="n > 1")) == ["b", "c"]
    assert not others_may_write(path)
    block.__exit__(None, None, None)
    assert not said
    assert others_may_write(path)
    assert others_may_write(tmp_path / "dev.duckdb")


# -- renames -----------------------------------------------------------------------------------------------------------


def rename_video_in_the_code() -> None:
    current_graph().remove_feature("video")
    define("film")
    definition = current_graph().get_feature_definition("film")
    spec = definition.spec.model_copy(update={"renamed_from": (FeatureKey("video"),)})
    current_graph().add_feature_definition(definition.model_copy(update={"spec": spec}))
    define("clip", "film")


@pytest.mark.three_stores
def test_a_rename_of_a_branch_computes_nothing_again(make: StoreFactory, prod: MetadataStore) -> None:
    """Rows that lie below come under the new key here, and nothing changes there until they are promoted."""
    with prod.open("w"):
        prod.write("video", rows(["2"], id=["a"], n=[10]))
        prod.delete("video", "id = 'b'")
        before = {key: everything(prod, key).height for key in ("video", "clip")}
    rename_video_in_the_code()
    dev = make("dev", name="dev", fallback_stores=[prod], fallback="rows")
    with dev, pytest.raises(RenameError, match=r"film was renamed from video.*`mx metadata rename --store dev`"):
        dev.resolve_update("clip")
    with dev.open("w"):
        with pytest.warns(RenameWarning, match="film was renamed from video"):
            assert ids(dev.resolve_update("clip")) == ([], ["a"], ["b"])
        assert values(dev.read("film"), "id", "n") == [("a", 10), ("c", 3)]
        assert values(dev.read("clip"), "id") == ["a", "b", "c"]
        assert all(not each.copied + each.rebased for each in dev.rename_features(drop_old=True))
        assert ids(dev.resolve_update("clip")) == ([], ["a"], ["b"])
    with prod.open("w"):
        assert not prod.has_feature("film")
        assert {key: everything(prod, key).height for key in before if key != "video"} == {"clip": before["clip"]}
    with prod.open("w"), dev:
        dev.promote(prod)
        assert ids(prod.resolve_update("clip")) == ([], ["a"], ["b"])
        assert values(prod.read("film"), "id", "n") == [("a", 10), ("c", 3)]
    with make("late", fallback_stores=[prod], fallback="rows").open("w") as late:
        assert all(not each.copied + each.rebased for each in late.rename_features())


def test_a_rename_of_a_branch_over_another_kind_of_store(make: StoreFactory, prod: MetadataStore) -> None:
    rename_video_in_the_code()
    dev = DuckDBMetadataStore(":memory:", auto_create_tables=True, fallback_stores=[prod], fallback="rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with dev.open("w"):
            [film, clip] = dev.rename_features()
            assert (film.copied, film.rebased, clip.rebased) == (3, 3, 3)
            assert ids(dev.resolve_update("clip")) == ([], [], [])
