"""Writing: what lands in the table, what is refused, and that a refused frame leaves nothing behind."""

import hashlib
import itertools
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from tests.factory import define, everything, put, rows, values
from tests.stores import StoreFactory, delta_store, duckdb_store

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import ExtraProvenanceFieldWarning, MetadataSchemaError, MetaxyColumnMissingWarning
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

TIMES = [c.METAXY_CREATED_AT, c.METAXY_UPDATED_AT, c.METAXY_DELETED_AT]
OLD = datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=timezone.utc)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()[:16]


def only(store: MetadataStore, feature: Any = "video", **options: Any) -> dict[str, Any]:
    """Read a feature that has one row."""
    [row] = collect_to_polars(store.read(feature, **options)).to_dicts()
    return row


# -- what lands in the table -------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_separators_in_versions_cannot_be_mistaken(store: MetadataStore) -> None:
    define("video", fields=["a", "b"])
    store.write("video", rows({"a": ["x|y", "x"], "b": ["z\\", "y|z\\"]}, id=["1", "2"]))
    assert values(store.read("video"), "id", c.METAXY_PROVENANCE) == [
        ("1", md5(r"x\|y|z\\")),
        ("2", md5(r"x|y\|z\\")),
    ]


@pytest.mark.three_stores
def test_every_way_to_name_a_feature_works(store: MetadataStore) -> None:
    definition = define("a/b-c")
    names = ["a/b-c", ["a", "b-c"], FeatureKey("a/b-c"), definition, definition.spec]
    for number, name in enumerate(names):
        store.write(name, rows(id=[number]))
        assert values(store.read(name)) == list(range(number + 1))


@pytest.mark.three_stores
def test_db00_a_misnamed_id_is_refused(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], u=["u1"]))
    with pytest.raises(MetadataSchemaError, match="lacks ID column 'id'") as caught:
        store.write("video", rows(idd=["b"], u=["u2"]))
    assert "Did you mean 'idd'?" in str(caught.value)
    assert values(store.read("video"), "id", "u") == [("a", "u1")]


def test_columns_without_any_value_are_left_out(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], nothing=[None]))
    assert "nothing" not in store.read("video").collect_schema()
    store.write("video", rows(id=["b"], nothing=[1]))
    assert values(store.read("video"), "id", "nothing") == [("a", None), ("b", 1)]


# -- versions and system columns that the user gives -------------------------------------------------------------------


@pytest.mark.three_stores
def test_a_given_provenance_is_trusted_and_gaps_are_filled(store: MetadataStore) -> None:
    define("video")
    frame = rows(["1", "2"], id=["a", "b"]).with_columns(pl.Series(c.METAXY_PROVENANCE, ["mine", None]))
    store.write("video", frame)
    assert values(store.read("video"), "id", c.METAXY_PROVENANCE, c.METAXY_DATA_VERSION) == [
        ("a", "mine", "mine"),
        ("b", md5("2"), md5("2")),
    ]


@pytest.mark.three_stores
def test_a_child_without_provenance_is_computed_with_a_warning(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    with pytest.warns(MetaxyColumnMissingWarning, match="feature clip: the frame lacks metaxy_provenance"):
        store.write("clip", rows("1", id=["a"]))
    assert values(store.read("clip"), c.METAXY_PROVENANCE) == [md5("1")]


@pytest.mark.three_stores
def test_data_versions_that_are_given_win(store: MetadataStore) -> None:
    define("video", fields=["x", "y"])
    own = pl.Series(c.METAXY_DATA_VERSION_BY_FIELD, [{"x": "5", "y": "6"}, None])
    store.write("video", rows({"x": "1", "y": "2"}, id=["a", "b"]).with_columns(own))
    assert values(store.read("video"), "id", c.METAXY_DATA_VERSION, c.METAXY_DATA_VERSION_BY_FIELD) == [
        ("a", md5("5|6"), {"x": "5", "y": "6"}),
        ("b", md5("1|2"), {"x": "1", "y": "2"}),
    ]
    assert values(store.read("video"), c.METAXY_PROVENANCE) == [md5("1|2")] * 2


@pytest.mark.three_stores
def test_a_data_version_beside_its_fields_is_kept_and_gaps_are_filled(store: MetadataStore) -> None:
    define("video")
    own = [
        pl.Series(c.METAXY_DATA_VERSION_BY_FIELD, [{"default": "5"}, {"default": "6"}]),
        pl.Series(c.METAXY_DATA_VERSION, ["mine", None]),
    ]
    store.write("video", rows("1", id=["a", "b"]).with_columns(own))
    assert values(store.read("video"), "id", c.METAXY_DATA_VERSION) == [("a", "mine"), ("b", md5("6"))]


@pytest.mark.three_stores
def test_a_data_version_follows_its_fields_where_it_only_repeats_the_provenance(store: MetadataStore) -> None:
    define("video", fields=["x", "y"])
    new = store.resolve_update("video", samples=rows({"x": "1", "y": "2"}, id=["a", "b", "c"])).new.to_polars()
    assert new[c.METAXY_DATA_VERSION].to_list() == [md5("1|2")] * 3
    some = pl.when(pl.col("id") != "c").then(pl.struct(y="id"))  # one field, and not of all samples
    store.write("video", new.with_columns(some.alias(c.METAXY_DATA_VERSION_BY_FIELD)))
    own = [("a", md5("1|a")), ("b", md5("1|b")), ("c", md5("1|2"))]
    assert values(store.read("video"), "id", c.METAXY_DATA_VERSION) == own
    assert values(store.read("video"), c.METAXY_PROVENANCE) == [md5("1|2")] * 3
    store.write("video", store.read("video"))
    assert values(store.read("video"), "id", c.METAXY_DATA_VERSION) == own


def test_a_data_version_without_versions_by_field_is_the_provenance(store: MetadataStore) -> None:
    define("video")
    given = {
        c.METAXY_PROVENANCE: pl.lit("given"),
        c.METAXY_DATA_VERSION_BY_FIELD: pl.lit(None, pl.Struct({"default": pl.String})),
    }
    store.write("video", rows("1", id=["a"]).with_columns(**given))
    store.write("video", rows("1", id=["b"]).with_columns(**given, metaxy_data_version=pl.lit(None, pl.String)))
    assert values(store.read("video"), c.METAXY_DATA_VERSION) == ["given"] * 2


@pytest.mark.three_stores
def test_db24_a_data_version_without_its_fields_is_refused(store: MetadataStore) -> None:
    define("video")
    with pytest.raises(
        MetadataSchemaError, match="metaxy_data_version without metaxy_data_version_by_field; give both"
    ):
        store.write("video", rows(id=["a"]).with_columns(pl.lit("mine").alias(c.METAXY_DATA_VERSION)))
    assert not store.has_feature("video")


@pytest.mark.three_stores
def test_created_at_is_kept_and_updated_at_is_not(store: MetadataStore) -> None:
    define("video")
    times = [pl.Series(name, [OLD, None], pl.Datetime("us", "UTC")) for name in (TIMES[0], TIMES[1])]
    store.write("video", rows(id=["a", "b"]).with_columns(times))
    old, new = collect_to_polars(store.read("video")).sort("id").to_dicts()
    assert old[c.METAXY_CREATED_AT] == OLD
    assert old[c.METAXY_UPDATED_AT] == new[c.METAXY_UPDATED_AT] == new[c.METAXY_CREATED_AT] > OLD


def test_times_of_any_zone_and_unit_become_utc_microseconds(store: MetadataStore) -> None:
    define("video")
    units: tuple[Any, ...] = ("ms", "us", "ns")
    for unit, zone in itertools.product(units, (None, "UTC", "America/New_York")):
        moment = pl.Series(c.METAXY_CREATED_AT, [OLD.replace(microsecond=0)]).dt.cast_time_unit(unit)
        given = moment.dt.convert_time_zone(zone) if zone else moment.dt.replace_time_zone(None)
        store.write("video", rows(id=["a"]).with_columns(given))
        assert only(store)[c.METAXY_CREATED_AT] == OLD.replace(microsecond=0), (unit, zone)
        store.delete("video", everything=True, soft=False)


@pytest.mark.three_stores
def test_a_written_deletion_hides_the_sample(store: MetadataStore) -> None:
    define("video")
    gone = pl.Series(c.METAXY_DELETED_AT, [datetime.now(timezone.utc), None], pl.Datetime("us", "UTC"))
    store.write("video", rows(id=["a", "b"]).with_columns(gone))
    assert values(store.read("video")) == ["b"]


@pytest.mark.three_stores
def test_the_materialization_id_of_the_store_is_the_default(make: StoreFactory) -> None:
    define("video")
    with make(materialization_id="run-1").open("w") as store:
        store.write("video", rows(id=["a"]).with_columns(pl.lit("mine").alias(c.METAXY_MATERIALIZATION_ID)))
        store.write("video", rows(id=["b"]), materialization_id="run-2")
        assert values(store.read("video"), c.METAXY_MATERIALIZATION_ID) == ["run-1", "run-2"]


@pytest.mark.three_stores
def test_versions_are_kept_only_if_both_are_there_and_it_is_asked(store: MetadataStore, graph: FeatureGraph) -> None:
    define("video")
    current = graph.get_feature_version("video"), graph.get_project_version("test")
    both = {c.METAXY_FEATURE_VERSION: pl.lit("v0"), c.METAXY_PROJECT_VERSION: pl.lit("p0")}
    store.write("video", rows(id=["a"]).with_columns(**both), preserve_feature_version=True)
    store.write("video", rows(id=["b"]).with_columns(**both))
    half = {c.METAXY_FEATURE_VERSION: pl.lit("v0")}
    store.write("video", rows(id=["c"]).with_columns(**half), preserve_feature_version=True)
    assert values(store.read("video", with_feature_history=True), "id", *both) == [
        ("a", "v0", "p0"),
        ("b", *current),
        ("c", *current),
    ]
    assert values(store.read("video")) == ["b", "c"]


@pytest.mark.three_stores
def test_db02_timestamps_of_a_store_increase(store: MetadataStore) -> None:
    define("video")
    for number in range(5):
        store.write("video", rows(id=["a"], number=[number]))
    history = collect_to_polars(store.read("video", with_sample_history=True)).sort("number")
    times = history[c.METAXY_UPDATED_AT].to_list()
    assert times == sorted(set(times))
    assert values(store.read("video"), "number") == [4]


@pytest.mark.three_stores
def test_db02_the_clock_never_stands_still(store: MetadataStore) -> None:
    times = [store.clock.now() for _ in range(1000)]
    assert times == sorted(set(times))
    assert times[-1] - times[0] < timedelta(minutes=1)


# -- what is refused ---------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[pl.DataFrame, list[str]]] = {
    "db06_null_ids": (rows(id=["a", None]), ["ID column 'id' is NULL in 1 of 2 rows"]),
    "db06_null_ids_of_no_type": (rows(id=[None]), ["ID column 'id' is NULL in 1 of 1 rows"]),
    "db06_missing_ids": (rows(path=["a"]), ["lacks ID column 'id'", "It has: path"]),
    "db06_different_rows_of_one_id": (rows(id=["a", "a"], n=[1, 2]), ["1 rows repeat the ID", "{'id': 'a'}", "last"]),
    "db07_missing_fields": (rows({"x": "1"}, id=["a"]), ["lacks field 'y'", "it has: x"]),
    "db07_null_fields": (rows({"x": ["1", None], "y": "2"}, id=["a", "b"]), ["field 'x'", "is NULL in 1 of 2 rows"]),
    "db07_null_struct": (
        rows({"x": "1", "y": "2"}, id=["a"]).with_columns(
            pl.lit(None, pl.Struct({"x": pl.String, "y": pl.String})).alias(c.METAXY_PROVENANCE_BY_FIELD)
        ),
        ["field 'x' of metaxy_provenance_by_field is NULL in 1 of 1 rows"],
    ),
    "db07_null_data_versions": (
        rows({"x": "1", "y": "2"}, id=["a"]).with_columns(
            pl.Series(c.METAXY_DATA_VERSION_BY_FIELD, [{"x": "1", "y": None}])
        ),
        ["field 'y' of metaxy_data_version_by_field is NULL"],
    ),
    "no_provenance": (pl.DataFrame({"id": ["a"]}), ["lacks metaxy_provenance_by_field", "'x', 'y'", "resolve_update"]),
    "provenance_that_is_text": (
        pl.DataFrame({"id": ["a"], c.METAXY_PROVENANCE_BY_FIELD: ["1"]}),
        ["must be a struct or a map of texts, not String"],
    ),
    "nul_in_ids": (rows({"x": "1", "y": "2"}, id=["a\0"]), ["ID column 'id' contains a NUL character in 1 of 1 rows"]),
    "nul_in_versions": (rows({"x": "1\0", "y": "2"}, id=["a"]), ["field 'x'", "contains a NUL character"]),
    "names_that_differ_by_case": (rows({"x": "1", "y": "2"}, id=["a"], n=[1], N=[2]), ["'n' and 'N' differ only by"]),
}
FIELDS = {name: ["default"] if "db06" in name else ["x", "y"] for name in BAD}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("table", ["new", "existing"])
@pytest.mark.three_stores
def test_bad_frames_are_refused(store: MetadataStore, name: str, table: str) -> None:
    define("video", fields=FIELDS[name])
    before = []
    if table == "existing":
        store.write("video", rows(dict.fromkeys(FIELDS[name], "1"), id=["old"]))
        before = ["old"]
    frame, words = BAD[name]
    with pytest.raises(MetadataSchemaError) as caught:
        store.write("video", frame)
    message = str(caught.value)
    assert message.startswith("feature video: ")
    assert "\n" not in message
    assert [word for word in words if word not in message] == []
    assert store.has_feature("video") == bool(before)
    assert values(store.read("video")) == before if before else True


@pytest.mark.three_stores
def test_db06_null_ids_are_refused(store: MetadataStore) -> None:
    define("video", ids=["id", "frame"])
    with pytest.raises(MetadataSchemaError, match="ID column 'frame' is NULL in 2 of 3 rows; give every row an ID"):
        store.write("video", rows(id=["a", "b", "c"], frame=[1, None, None]))
    assert not store.has_feature("video")


@pytest.mark.three_stores
def test_db06_equal_rows_collapse(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(["1", "1", "2"], id=["a", "a", "b"], path=["p", "p", "q"], tags=[["x"], ["x"], []]))
    assert values(store.read("video", with_sample_history=True), "id", "path") == [("a", "p"), ("b", "q")]


@pytest.mark.three_stores
def test_db07_extra_fields_are_dropped_with_a_warning(store: MetadataStore) -> None:
    define("video")
    with pytest.warns(ExtraProvenanceFieldWarning, match="feature video: .* has extra, which are no fields"):
        store.write("video", rows({"default": "1", "extra": "2"}, id=["a"]))
    assert only(store)[c.METAXY_PROVENANCE_BY_FIELD] == {"default": "1"}
    assert only(store)[c.METAXY_PROVENANCE] == md5("1")


# -- names -------------------------------------------------------------------------------------------------------------

# -- physical types, and tables of other makers ------------------------------------------------------------------------


def test_physical_types_of_a_duckdb_table(tmp_path: Path) -> None:
    define("a/b-c", fields=["x", "y/z"])
    with duckdb_store(tmp_path).open("w") as store:
        store.write("a/b-c", rows({"x": "1", "y_z": "2"}, id=["a"]))
        assert isinstance(store, DuckDBMetadataStore)
        described = store.connection.execute("DESCRIBE a__b_c").fetchall()
    text, moment = "VARCHAR", "TIMESTAMP WITH TIME ZONE"
    struct = "STRUCT(x VARCHAR, y_z VARCHAR)"
    types = {"text": text, "timestamp": moment, "by_field": struct}
    expected = {column.name: types[column.kind] for column in c.SYSTEM_COLUMNS} | {"id": text}
    assert {name: kind for name, kind, *_ in described} == expected


@pytest.mark.parametrize(("layout", "path"), [("nested", "a/b-c.delta"), ("flat", "a__b_c.delta")])
def test_physical_types_and_places_of_a_delta_table(tmp_path: Path, layout: str, path: str) -> None:
    define("a/b-c", fields=["x", "y/z"])
    with delta_store(tmp_path, layout=layout).open("w") as store:
        store.write("a/b-c", rows({"x": "1", "y_z": "2"}, id=["a"]))
    fields = json.loads(DeltaTable(tmp_path / "delta" / path).schema().to_json())["fields"]
    member = {"metadata": {}, "nullable": True, "type": "string"}
    struct = {"type": "struct", "fields": [{"name": "x", **member}, {"name": "y_z", **member}]}
    types = {"text": "string", "timestamp": "timestamp", "by_field": struct}
    expected = {column.name: types[column.kind] for column in c.SYSTEM_COLUMNS} | {"id": "string"}
    assert {field["name"]: field["type"] for field in fields} == expected


FOREIGN: dict[str, str] = {
    "json": "JSON",
    "text": "TEXT",
    "map": "MAP(VARCHAR, VARCHAR)",
    "struct": "STRUCT(y VARCHAR, other VARCHAR, x VARCHAR)",
}


@pytest.mark.parametrize("by_field", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("time", ["TIMESTAMP", "TIMESTAMPTZ"])
def test_tables_made_by_others_are_written_and_read(tmp_path: Path, by_field: str, time: str) -> None:
    kinds = {"text": "VARCHAR", "timestamp": time, "by_field": by_field}
    system = [f"{column.name} {kinds[column.kind]}" for column in reversed(c.SYSTEM_COLUMNS)]
    define("video", fields=["x", "y"])
    define("clip", "video")
    with duckdb_store(tmp_path, auto_create_tables=False).open("w") as store:
        assert isinstance(store, DuckDBMetadataStore)
        store.connection.execute(f"CREATE TABLE video ({', '.join(system)}, extra INT DEFAULT 7, id VARCHAR NOT NULL)")
        store.write("video", rows({"x": "1", "y": "2"}, id=["a"]))
        row = only(store)
        by_field_read = row[c.METAXY_PROVENANCE_BY_FIELD]
        assert {name: by_field_read[name] for name in ("x", "y")} == {"x": "1", "y": "2"}
        assert row[c.METAXY_PROVENANCE] == md5("1|2")
        assert row["extra"] == 7
        assert not store.resolve_update("video", samples=rows({"x": "1", "y": "2"}, id=["a"]))
        assert values(store.resolve_update("clip").new, "id", c.METAXY_PROVENANCE) == [
            ("a", md5(md5("default|__metaxy_initial__|video.x|1|video.y|2")))
        ]
        store.delete("video", everything=True)
        assert values(store.read("video")) == []


def test_stray_columns_of_old_tables_are_read_but_not_passed_on(store: MetadataStore) -> None:
    stray = "metaxy_deleted_at_right"
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a"]))
    put(store, "video", everything(store, "video").with_columns(pl.lit(OLD).alias(stray)))
    assert only(store)[stray] == OLD
    new = store.resolve_update("clip").new
    assert stray not in new.columns
    store.write("clip", new)
    put(store, "clip", everything(store, "clip").with_columns(pl.lit(OLD).alias(stray)))
    assert not store.resolve_update("clip")
    store.write("clip", store.read("clip"))
    latest, first = everything(store, "clip").sort(c.METAXY_UPDATED_AT, descending=True)[stray]
    assert (latest, first) == (None, OLD)
