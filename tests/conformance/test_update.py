"""Resolving updates: what is new, stale and orphaned, in one statement."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, ids, put, rows, values
from tests.stores import StoreFactory, duckdb_store

from metaxy import columns as c
from metaxy.config import MetaxyConfig
from metaxy.definitions.dependency import FeatureDep
from metaxy.errors import DefinitionError, EmptySamplesWarning, FeatureNotFoundError, MetadataSchemaError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.factory import change

ENGINES: Any = ("auto", "native", "polars")


# -- root features -----------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_the_columns_of_an_update(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    samples = rows(id=["a"], path=["x"])
    new = store.resolve_update("video", samples=samples).new
    assert new.columns[:2] == ["id", "path"]
    assert set(new.columns[2:]) == set(c.VERSION_COLUMNS)
    store.write("video", new)
    increment = store.resolve_update("clip")
    assert increment.new.columns[:2] == ["id", "path"]
    assert increment.new.columns == increment.stale.columns == increment.orphaned.columns
    store.write("clip", increment.new)
    store.delete("video", everything=True)
    assert set(store.resolve_update("clip").orphaned.columns) == set(everything(store, "clip").columns)


@pytest.mark.three_stores
def test_no_samples_over_rows_are_warned_of(store: MetadataStore) -> None:
    define("video")
    samples, nothing = rows(id=["a", "b", "c"]), rows(id=["a"]).head(0)
    store.resolve_update("video", samples=nothing)  # there is nothing that could be orphaned
    store.write("video", samples)
    for given in (nothing, pl.DataFrame()):
        for lazy in (False, True):
            with pytest.warns(EmptySamplesWarning, match="feature video: no samples were given, so all 3 that it has"):
                orphaned = store.resolve_update("video", samples=given, lazy=lazy).orphaned
            assert sorted(values(orphaned)) == ["a", "b", "c"]
    store.delete("video", everything=True)
    assert not store.resolve_update("video", samples=nothing)


@pytest.mark.three_stores
def test_a_provenance_that_is_given_with_samples_is_computed_anew(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"]))
    samples = rows(id=["a"]).with_columns(pl.lit("nonsense").alias(c.METAXY_PROVENANCE))
    assert not store.resolve_update("video", samples=samples)


@pytest.mark.three_stores
def test_data_versions_of_samples_pass_through(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    own = pl.Series(c.METAXY_DATA_VERSION_BY_FIELD, [{"default": "same"}])
    store.write("video", store.resolve_update("video", samples=rows("1", id=["a"]).with_columns(own)).new)
    store.write("clip", store.resolve_update("clip").new)
    increment = store.resolve_update("video", samples=rows("2", id=["a"]).with_columns(own))
    assert ids(increment) == ([], ["a"], [])
    store.write("video", increment.stale)
    assert not store.resolve_update("clip")


@pytest.mark.three_stores
def test_samples_of_a_child_are_the_full_set(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("clip", store.resolve_update("clip", samples=rows(id=["a", "b"])).new)
    assert ids(store.resolve_update("clip", samples=rows(["1", "2"], id=["a", "c"]))) == (["c"], [], ["b"])


# -- parents -----------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_only_samples_that_all_required_parents_have_are_expected(store: MetadataStore) -> None:
    for parent, samples in {"x": ["a", "b"], "y": ["b", "c"], "z": ["a", "b", "c"]}.items():
        define(parent)
        store.write(parent, rows(id=samples))
    define("all", "x", "y", "z")
    define("some", "x", FeatureDep(feature="y", optional=True), FeatureDep(feature="none", optional=True))
    define("none")
    assert ids(store.resolve_update("all")) == (["b"], [], [])
    store.write("some", store.resolve_update("some").new)
    assert values(store.read("some")) == ["a", "b"]
    store.write("none", rows(id=["a"]))
    assert ids(store.resolve_update("some")) == ([], ["a"], [])


@pytest.mark.three_stores
def test_features_whose_optional_parents_have_no_tables_expect_nothing(store: MetadataStore) -> None:
    define("none")
    define("clip", FeatureDep(feature="none", optional=True))
    assert ids(store.resolve_update("clip")) == ([], [], [])
    store.write("clip", store.resolve_update("clip", samples=rows(id=["a"])).new)
    assert ids(store.resolve_update("clip")) == ([], [], ["a"])


@pytest.mark.three_stores
def test_an_update_that_knows_no_types_creates_no_table(store: MetadataStore) -> None:
    define("none")
    define("clip", FeatureDep(feature="none", optional=True))
    for frame in store.resolve_update("clip"):
        store.write("clip", frame)
    store.write_multi({"clip": store.resolve_update("clip", lazy=True).new})
    assert not store.has_feature("clip")
    store.write("none", rows(id=[1]))
    store.write("clip", store.resolve_update("clip").new)
    assert values(store.read("clip")) == [1]


# -- filters -----------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_db22_nothing_of_the_comparison_leaks(store: MetadataStore) -> None:
    change(store)
    asked: Any = {"staleness_predicates": [nw.col("n") == 1], "filters": {"video": [nw.col("n") > 0]}}
    expected = {"id", "n", *c.VERSION_COLUMNS}
    for engine, lazy in itertools.product(ENGINES, (False, True)):
        increment = store.resolve_update("clip", lazy=lazy, versioning_engine=engine, **asked)
        assert set(increment.new.collect_schema().names()) == expected, (engine, lazy)
        assert set(increment.stale.collect_schema().names()) == expected, (engine, lazy)
        assert set(increment.orphaned.collect_schema().names()) == {"id", "n", *c.ALL_SYSTEM_COLUMNS}, (engine, lazy)


@pytest.mark.three_stores
def test_the_engine_of_the_store_is_the_default(make: StoreFactory) -> None:
    define("video")
    define("clip", "video")
    with make(versioning_engine="polars").open("w") as store:
        store.write("video", rows(id=["a"]))
        assert store.resolve_update("clip").new.implementation.is_polars()
        assert store.resolve_update("clip", versioning_engine="native").new["id"].to_list() == ["a"]


@pytest.mark.three_stores
def test_filters_apply_to_samples(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(["1", "1"], id=["a", "b"], n=[1, 2]))
    samples = rows(["2", "2", "2"], id=["a", "b", "c"], n=[1, 2, 3])
    assert ids(store.resolve_update("video", samples=samples, target_filters=[nw.col("n") > 1])) == (["c"], ["b"], [])
    assert ids(store.resolve_update("video", samples=samples, filters={"video": [nw.col("id") == "a"]})) == (
        [],
        ["a"],
        [],
    )


# -- lazy increments ---------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_lazy_increments_of_samples_have_no_input(store: MetadataStore) -> None:
    define("video")
    assert store.resolve_update("video", samples=rows(id=["a"]), lazy=True).input is None


# -- what has no version -----------------------------------------------------------------------------------------------


def test_db06_null_ids_that_others_stored_are_named(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b"]))
    broken = pl.when(pl.col("id") == "b").then(None).otherwise(pl.col("id")).alias("id")
    put(store, "video", everything(store, "video").with_columns(broken))
    with pytest.raises(MetadataSchemaError, match="feature clip: ID column 'id' is NULL in 1 expected samples"):
        store.resolve_update("clip")


def test_db07_null_versions_that_others_stored_are_named(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b"]))
    nothing = pl.lit(None, pl.Struct({"default": pl.String})).alias(c.METAXY_DATA_VERSION_BY_FIELD)
    put(store, "video", everything(store, "video").with_columns(nothing))
    with pytest.raises(MetadataSchemaError, match=r"field 'default' cannot be versioned in 2 samples: video\.default"):
        store.resolve_update("clip")


def test_db07_a_stored_null_provenance_is_stale_until_it_is_written(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(["1", "1"], id=["a", "b"]))
    nothing = pl.when(pl.col("id") == "a").then(pl.col(c.METAXY_PROVENANCE)).alias(c.METAXY_PROVENANCE)
    put(store, "video", everything(store, "video").with_columns(nothing))
    increment = store.resolve_update("video", samples=rows(["1", "1"], id=["a", "b"]))
    assert ids(increment) == ([], ["b"], [])
    store.write("video", increment.stale)
    assert not store.resolve_update("video", samples=rows(["1", "1"], id=["a", "b"]))


# -- what is asked wrongly ---------------------------------------------------------------------------------------------

NONSENSE: Any = {"nonsense": 1}
WRONG: dict[str, tuple[Callable[[MetadataStore], Any], type[Exception], str]] = {
    "root without samples": (lambda s: s.resolve_update("video"), DefinitionError, "is a root: pass `samples=`"),
    "missing parent": (lambda s: s.resolve_update("clip"), FeatureNotFoundError, "feature video has no table"),
    "unknown filter key": (
        lambda s: s.resolve_update("clip", filters={"vidoe": []}),
        DefinitionError,
        "filters name vidoe, which takes no part; use one of: clip, video",
    ),
    "samples without versions": (
        lambda s: s.resolve_update("video", samples=pl.DataFrame({"id": ["a"]})),
        MetadataSchemaError,
        "the samples lack metaxy_provenance_by_field",
    ),
    "samples without ids": (
        lambda s: s.resolve_update("video", samples=rows(path=["a"])),
        MetadataSchemaError,
        "the samples lack ID column 'id'",
    ),
    "samples with a null version": (
        lambda s: s.resolve_update("video", samples=rows([None], id=["a"])),
        MetadataSchemaError,
        "field 'default' cannot be versioned in 1 samples",
    ),
    "samples with a null id": (
        lambda s: s.resolve_update("video", samples=rows(id=pl.Series([None], dtype=pl.String))),
        MetadataSchemaError,
        "ID column 'id' is NULL",
    ),
    "unknown argument": (lambda s: s.resolve_update("clip", **NONSENSE), TypeError, "nonsense"),
}


@pytest.mark.three_stores
def test_wrong_requests_are_refused_in_one_line(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    for ask, kind, words in WRONG.values():
        with pytest.raises(kind) as caught:
            ask(store)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_ids_of_different_types_are_refused(store: MetadataStore) -> None:
    define("video")
    define("audio")
    define("clip", "video", "audio")
    store.write_multi({"video": rows(id=["1"]), "audio": rows(id=[1])})
    with pytest.raises(MetadataSchemaError, match=r"ID column 'id' is (String|Int64) on one side and"):
        store.resolve_update("clip")
    with pytest.raises(MetadataSchemaError, match="ID column 'id' is Int64 on one side and String on the other"):
        store.resolve_update("video", samples=rows(id=[1]))


TWICE = "the samples for feature video: 1 rows repeat the ID of another row with other values, for example {'id': 'a'}"


def test_samples_that_differ_are_refused_where_they_are_one(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(["1", "3"], id=["a", "b"]))
    payload = {"n": [1, 2, 3], "tags": [["x"], [], []], "box": [{"w": 1}, {"w": 1}, {"w": 2}]}
    for versions in (["1", "2", "3"], ["1", "1", "3"], ["2", "2", "3"]):
        samples = rows(versions, id=["a", "a", "b"], **payload)
        for given in (samples, samples.lazy(), samples.to_arrow()):
            with pytest.raises(MetadataSchemaError, match=TWICE):
                store.resolve_update("video", samples=given)
            with pytest.raises(MetadataSchemaError, match=TWICE):
                store.resolve_update("video", samples=given, skip_comparison=True, lazy=True).collect()
    assert not store.resolve_update("video", samples=samples, target_filters=[nw.col("id") != "a"])
    with pytest.raises(MetadataSchemaError, match=TWICE):
        store.resolve_update("video", samples=samples, lazy=True)  # which are at hand
    with pytest.raises(MetadataSchemaError, match="ID column 'id' is NULL in 2"):
        store.resolve_update("video", samples=rows(["1", "2"], id=pl.Series([None, None], dtype=pl.String)))


def test_samples_that_are_equal_are_one(store: MetadataStore) -> None:
    define("video")
    payload = {"n": [1, 1, 2], "tags": [["x"], ["x"], []], "box": [{"w": 1}, {"w": 1}, {"w": 2}]}
    samples = rows(["1", "1", "3"], id=["a", "a", "b"], **payload)
    for given in (samples, samples.lazy(), samples.to_arrow()):
        for increment in (store.resolve_update("video", samples=given, lazy=lazy).collect() for lazy in (False, True)):
            assert increment.counts == {"new": 2, "stale": 0, "orphaned": 0, "drifted": 0, "unchanged": 0}
            assert values(increment.new, "id", "n") == [("a", 1), ("b", 2)]
    assert values(store.resolve_update("video", samples=samples, lazy=True).new) == ["a", "b"]
    store.write("video", increment.new)
    assert not store.resolve_update("video", samples=samples)


# -- statements --------------------------------------------------------------------------------------------------------


def data_statements(store: DuckDBMetadataStore, action: Callable[[], Any]) -> list[str]:
    """Return the statements that DuckDB ran for an action, without those that read no rows."""
    store.connection.execute("CALL truncate_duckdb_logs()")
    action()
    ran = store.connection.execute("SELECT message FROM duckdb_logs WHERE type = 'QueryLog'").fetchall()
    # Narwhals asks for types by the time zone, and statistics say how large a table is.
    rowless = ("information_schema", "duckdb_logs", "current_setting('TimeZone')", "EXPLAIN")
    return [text for (text,) in ran if text and not any(word in text for word in rowless)]


@pytest.mark.parametrize("parents", [1, 4])
def test_db08_an_eager_update_is_one_statement(tmp_path: Path, parents: int) -> None:
    names = [f"p{n}" for n in range(parents)]
    for name in names:
        define(name)
    define("clip", *names)
    with duckdb_store(tmp_path).open("w") as store:
        assert isinstance(store, DuckDBMetadataStore)
        store.write_multi({name: rows(id=["a", "b"]) for name in names})
        store.write("clip", store.resolve_update("clip").new)
        store.write("p0", rows(["2", "1"], id=["b", "c"]))
        store.connection.execute("CALL enable_logging('QueryLog')")
        asked: Any = {"global_filters": [nw.col("id") != "z"], "staleness_predicates": [nw.col("id") == "a"]}
        increments: list[Any] = []
        for options in (dict[str, Any](), asked):
            ran = data_statements(store, lambda: increments.append(store.resolve_update("clip", **options)))  # noqa: B023
            assert len(ran) == 1, ran
        assert [increment.counts["stale"] for increment in increments] == [1, 2]
        assert len(data_statements(store, lambda: store.resolve_update("p0", samples=rows(id=["a"])))) == 1


def test_db08_a_lazy_update_runs_nothing_before_it_is_collected(tmp_path: Path) -> None:
    define("video")
    define("clip", "video")
    with duckdb_store(tmp_path).open("w") as store:
        assert isinstance(store, DuckDBMetadataStore)
        store.write("video", rows(id=["a"]))
        store.write("clip", store.resolve_update("clip").new)
        store.resolve_update("clip", lazy=True)  # the first one looks for rows of other hash settings
        store.connection.execute("CALL enable_logging('QueryLog')")
        lazy: list[Any] = []
        assert data_statements(store, lambda: lazy.append(store.resolve_update("clip", lazy=True))) == []
        assert len(data_statements(store, lambda: lazy[0].collect())) == 1
        assert len(data_statements(store, lambda: lazy.append(lazy[0].to_polars()))) == 1
        assert data_statements(store, lambda: lazy[1].collect()) == []


def test_lazy_updates_of_samples_at_hand_outlive_the_block(make: StoreFactory) -> None:
    define("video")
    samples = rows(["1", "2"], id=["a", "b"], n=[1, 2])
    with make().open("w") as store:
        store.write("video", rows(id=["b", "c"]))
        given: list[Any] = [samples, samples.lazy(), samples.to_arrow(), samples.to_pandas()]
        updates = [store.resolve_update("video", samples=frame, lazy=True) for frame in given]
        updates.append(store.resolve_update("video", samples=samples, lazy=True, versioning_engine="polars"))
    for update in updates:
        assert ids(update) == (["a"], ["b"], ["c"])
        assert ids(update.collect()) == ids(update.to_polars()) == ids(update)
        assert values(update.new, "id", "n") == [("a", 1)]


def test_settings_of_the_moment_count(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"]))
    with MetaxyConfig(hash_truncation_length=32).use():
        define("other")
        new = store.resolve_update("other", samples=rows(id=["a"])).new
        assert [len(value) for value in new[c.METAXY_PROVENANCE].to_list()] == [32]


@pytest.mark.filterwarnings("ignore::metaxy.errors.MetaxyColumnMissingWarning")
def test_optional_parents_without_tables_give_rows_that_can_be_written(store: MetadataStore) -> None:
    """Found by generated cases: where versions by field are JSON, an empty update showed some of them as text."""
    define("video")
    define("clip", FeatureDep(feature="video", optional=True))
    store.write("clip", rows(id=["a"]).head(0))
    for _ in range(2):
        update = store.resolve_update("clip")
        assert ids(update) == ([], [], [])
        store.write("clip", update.new)
        store.write("clip", store.resolve_update("clip", lazy=True).stale)
