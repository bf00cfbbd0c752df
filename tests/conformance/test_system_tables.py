"""Graphs that are pushed to a store, their history, and what can be built from them again."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, put
from tests.stores import StoreFactory

import metaxy as mx
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.selection import FeatureSelection
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import (
    InvalidStoredFeatureWarning,
    MetadataSchemaError,
    MetadataStoreError,
    SnapshotError,
    StoreNotOpenError,
    SystemDataNotFoundError,
)
from metaxy.store.store import MetadataStore
from metaxy.store.system import history
from metaxy.store.system.records import Event
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import EVENTS_KEY, FEATURE_VERSIONS_KEY, FEATURE_VERSIONS_SCHEMA
from metaxy.versioning.frames import collect_to_polars

TABLE = str(FEATURE_VERSIONS_KEY)


@pytest.fixture
def system(store: MetadataStore) -> SystemTableStorage:
    """The system tables of a store that is open for writing."""
    return SystemTableStorage(store)


def pushed(system: SystemTableStorage) -> list[tuple[str, int]]:
    """Return the history as pairs of project version and feature count."""
    return list(system.read_graph_snapshots().select("metaxy_project_version", "feature_count").iter_rows())


def tags_of(system: SystemTableStorage) -> list[dict[str, str]]:
    """Return the user's tags of each entry of the history."""
    parsed = [json.loads(text) for text in system.read_graph_snapshots()["tags"]]
    assert all("version" in json.loads(tags["metaxy"]) for tags in parsed)
    return [{name: value for name, value in tags.items() if name != "metaxy"} for tags in parsed]


def redefine(key: str, code: str, **spec: Any) -> None:
    define(key, fields=[{"key": "default", "code_version": code}], **spec)


def move(key: str) -> None:
    """Move a feature class to another module, which changes no version."""
    graph = FeatureGraph.get_active()
    moved = graph.get_feature_definition(key).model_copy(update={"feature_class_path": "code.moved"})
    graph.remove_feature(key)
    graph.add_feature_definition(moved)


def spoil(store: MetadataStore, **values: str) -> None:
    """Record the features once more, a little later, with other values."""
    later = pl.col("recorded_at") + timedelta(seconds=1)
    rows = everything(store, TABLE).with_columns(later, **{name: pl.lit(value) for name, value in values.items()})
    store.write(FEATURE_VERSIONS_KEY, rows)


# -- pushing -----------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_pushing_again_adds_nothing(system: SystemTableStorage) -> None:
    define("video")
    first = system.push_graph_snapshot()
    assert system.push_graph_snapshot() == (first.project_version, True, [])
    assert everything(system.store, TABLE).height == 1


@pytest.mark.three_stores
def test_a_feature_that_moved_is_not_recorded_again(system: SystemTableStorage) -> None:
    define("audio")
    define("video")
    first = system.push_graph_snapshot(tags={"run": "1"})
    move("video")
    assert system.push_graph_snapshot() == (first.project_version, True, [])
    assert everything(system.store, TABLE).height == 2
    graph = system.load_graph_from_snapshot(first.project_version)
    assert graph.get_feature_definition("video").feature_class_path == "code.video"


@pytest.mark.three_stores
def test_a_feature_whose_parent_in_another_project_changed_is_recorded(
    system: SystemTableStorage, graph: FeatureGraph
) -> None:
    redefine("theirs", "1", project="other")
    define("mine", "theirs")
    first = system.push_graph_snapshot(project="test")
    redefine("theirs", "2", project="other")
    assert system.push_graph_snapshot(project="test") == (first.project_version, True, ["mine"])
    assert system.read_features(project="test")["metaxy_feature_version"].to_list() == [
        graph.get_feature_version("mine")
    ]


@pytest.mark.three_stores
def test_going_back_is_an_entry_of_its_own(system: SystemTableStorage) -> None:
    define("audio")
    redefine("video", "1")
    a = system.push_graph_snapshot().project_version
    redefine("video", "2")
    b = system.push_graph_snapshot().project_version
    redefine("video", "1")
    assert system.push_graph_snapshot() == (a, False, [])
    assert pushed(system) == [(a, 2), (b, 2), (a, 2)]
    times = system.read_graph_snapshots()["recorded_at"].to_list()
    assert times == sorted(times, reverse=True)
    assert system.push_graph_snapshot() == (a, True, [])
    assert system.read_features(project_version=a)["feature_key"].to_list() == ["audio", "video"]


@pytest.mark.three_stores
def test_rows_of_one_push_may_differ_in_time(system: SystemTableStorage) -> None:
    for key in ("a", "b", "c"):
        define(key)
    version = system.push_graph_snapshot().project_version
    rows = everything(system.store, TABLE).sort("feature_key")  # metaxy 0.1 asks the clock for each row
    rows = rows.with_columns(pl.col("recorded_at") + pl.duration(microseconds=pl.int_range(3)))
    system.store.storage.drop(FEATURE_VERSIONS_KEY)
    system.store.write(FEATURE_VERSIONS_KEY, rows)
    assert pushed(system) == [(version, 3)]
    assert system.push_graph_snapshot() == (version, True, [])


@pytest.mark.three_stores
def test_the_last_push_is_the_latest_even_if_clocks_differ(system: SystemTableStorage) -> None:
    redefine("video", "1")
    system.push_graph_snapshot()
    rows = everything(system.store, TABLE).with_columns(recorded_at=datetime(2999, 1, 1))
    system.store.write(FEATURE_VERSIONS_KEY, rows)
    redefine("video", "2")
    version = system.push_graph_snapshot().project_version
    assert pushed(system)[0] == (version, 1)


@pytest.mark.three_stores
def test_projects_have_histories_of_their_own(system: SystemTableStorage) -> None:
    define("mine")
    define("theirs", project="other")
    for project in ("test", "other", "test"):
        system.push_graph_snapshot(project=project)
    assert system.read_graph_snapshots()["project"].to_list() == ["other", "test"]
    assert system.read_graph_snapshots("other")["feature_count"].to_list() == [1]
    assert system.read_graph_snapshots("nobody").is_empty()


@pytest.mark.three_stores
def test_external_features_are_not_pushed(system: SystemTableStorage, graph: FeatureGraph) -> None:
    spec = FeatureSpec(key="theirs", id_columns=["id"], fields=["default"])
    graph.add_feature_definition(FeatureDefinition.external(spec=spec, project="test"))
    with pytest.raises(SnapshotError, match="no features of its own"):
        system.push_graph_snapshot()
    define("crop", "theirs")
    system.push_graph_snapshot()
    assert system.read_features()["feature_key"].to_list() == ["crop"]


# -- tags --------------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_tags_of_an_unchanged_graph_are_recorded(system: SystemTableStorage) -> None:
    define("audio")
    define("video")
    version = system.push_graph_snapshot(tags={"git_commit": "1", "by": "ann"}).project_version
    assert system.push_graph_snapshot(tags={"git_commit": "2"}) == (version, True, [])
    assert tags_of(system) == [{"git_commit": "2", "by": "ann"}]
    assert pushed(system) == [(version, 2)]
    system.push_graph_snapshot(tags={"git_commit": "2"})
    assert everything(system.store, TABLE).height == 3  # both features, and one row for the new tags


@pytest.mark.three_stores
def test_tags_belong_to_one_entry(system: SystemTableStorage) -> None:
    redefine("video", "1")
    system.push_graph_snapshot(tags={"run": "1"})
    redefine("video", "2")
    system.push_graph_snapshot()
    assert tags_of(system) == [{}, {"run": "1"}]


@pytest.mark.parametrize(
    ("tags", "message"),
    [({"metaxy": "mine"}, "tag 'metaxy' is reserved"), ({"run": 1}, "tag 'run': its value must be text, not int")],
)
@pytest.mark.three_stores
def test_wrong_tags_are_refused(system: SystemTableStorage, tags: dict[str, Any], message: str) -> None:
    define("video")
    with pytest.raises(SnapshotError, match=message):
        system.push_graph_snapshot(tags=tags)
    assert system.read_graph_snapshots().is_empty()


# -- which project -----------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_the_configured_project_decides_between_several(system: SystemTableStorage) -> None:
    define("mine")
    define("theirs", project="other")
    with pytest.raises(ValueError, match="several projects: other, test; pass project="):
        system.push_graph_snapshot()
    with MetaxyConfig(project="other").use():
        system.push_graph_snapshot()
    assert system.read_graph_snapshots()["project"].to_list() == ["other"]


@pytest.mark.three_stores
def test_a_project_without_features_is_refused(system: SystemTableStorage) -> None:
    with pytest.raises(ValueError, match="no features of its own"):
        system.push_graph_snapshot()
    define("video")
    with pytest.raises(ValueError, match=r"no features of project 'tets'. Did you mean 'test'"):
        system.push_graph_snapshot(project="tets")


@pytest.mark.three_stores
def test_pushing_needs_a_store_that_is_open_for_writing(make: StoreFactory) -> None:
    define("video")
    system = SystemTableStorage(make())
    with pytest.raises(StoreNotOpenError, match="closed"):
        system.push_graph_snapshot()
    with system.store.open("w"):
        system.push_graph_snapshot()
    with system.store, pytest.raises(StoreNotOpenError, match="reading only"):
        system.push_graph_snapshot()


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_nothing_was_pushed(system: SystemTableStorage) -> None:
    define("video")
    assert system.read_graph_snapshots().is_empty()
    assert system.read_features().is_empty()
    assert system.resolve_selection(FeatureSelection(all=True)) == []
    with pytest.raises(SnapshotError, match=r"no snapshot 'x'. Nothing was pushed yet"):
        system.load_graph_from_snapshot("x")


@pytest.mark.three_stores
def test_db27_features_are_read_once_each(system: SystemTableStorage) -> None:
    define("video")
    version = system.push_graph_snapshot().project_version
    system.store.write(FEATURE_VERSIONS_KEY, everything(system.store, TABLE))  # as if another push had raced
    spoil(system.store, feature_class_path="code.moved")
    assert system.read_features()["feature_class_path"].to_list() == ["code.moved"]
    assert pushed(system) == [(version, 1)]


def test_db27_only_the_rows_that_are_asked_for_leave_the_store(
    system: SystemTableStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []

    def counted(frame: Any) -> pl.DataFrame:
        rows = collect_to_polars(frame)
        fetched.append(rows.height)
        return rows

    def push_a_change() -> None:
        redefine("audio", "8")
        system.push_graph_snapshot()

    for code in range(8):
        define("video")
        redefine("audio", str(code))
        system.push_graph_snapshot()
    assert everything(system.store, TABLE).height == 16
    monkeypatch.setattr(history, "collect_to_polars", counted)
    asked: dict[str, Callable[[], object]] = {
        "push again": system.push_graph_snapshot,
        "push a change": push_a_change,
        "read one snapshot": system.read_features,
        "read the newest": lambda: system.resolve_selection(FeatureSelection(keys=["video"])),
    }
    rows = {}
    for what, act in asked.items():
        fetched.clear()
        act()
        rows[what] = sum(fetched)
    assert rows == {"push again": 3, "push a change": 1, "read one snapshot": 2, "read the newest": 1}


@pytest.mark.three_stores
def test_features_of_another_version(system: SystemTableStorage) -> None:
    define("audio")
    old = system.push_graph_snapshot().project_version
    define("video")
    system.push_graph_snapshot()
    assert system.read_features(project_version=old)["feature_key"].to_list() == ["audio"]
    assert system.read_features()["feature_key"].to_list() == ["audio", "video"]
    with pytest.raises(ValueError, match="needs project_version"):
        system.read_features(current=False)


@pytest.mark.three_stores
def test_a_graph_is_built_without_user_code(system: SystemTableStorage, graph: FeatureGraph) -> None:
    define("video")
    define("crop", "video", fields=["a", "b"])
    version = system.push_graph_snapshot().project_version
    loaded = system.load_graph_from_snapshot(version, project="test")
    assert loaded.get_project_version("test") == version
    assert loaded.get_feature_version("crop") == graph.get_feature_version("crop")
    assert loaded.get_feature_definition("crop").feature_class_path == "code.crop"
    with pytest.raises(ValueError, match=f"Did you mean '{version}'"):
        system.load_graph_from_snapshot(version[:-1])


@pytest.mark.parametrize("broken", [{"feature_spec": "{"}, {"feature_spec": "[]"}, {"feature_schema": "no json"}])
@pytest.mark.three_stores
def test_rows_that_cannot_be_read_are_skipped(system: SystemTableStorage, broken: dict[str, str]) -> None:
    define("audio")
    define("video")
    version = system.push_graph_snapshot().project_version
    rows = everything(system.store, TABLE).with_columns(pl.col("recorded_at") + timedelta(seconds=1))
    wrong = rows.filter(feature_key="video").with_columns(**{name: pl.lit(value) for name, value in broken.items()})
    system.store.write(FEATURE_VERSIONS_KEY, wrong)
    with pytest.warns(InvalidStoredFeatureWarning, match="feature 'video' .* skipped"):
        loaded = system.load_graph_from_snapshot(version)
    assert loaded.list_features() == [FeatureKey("audio")]
    with pytest.warns(InvalidStoredFeatureWarning):
        assert [str(d.key) for d in system.resolve_selection(FeatureSelection(all=True))] == ["audio"]


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (FeatureSelection(all=True), ["crop", "theirs", "video"]),
        (FeatureSelection(projects=["test"]), ["crop", "video"]),
        (FeatureSelection(keys=["theirs", "unknown"]), ["theirs"]),
        (FeatureSelection(projects=["other"], keys=["crop"]), ["crop", "theirs"]),
        (FeatureSelection.none(), []),
    ],
)
@pytest.mark.three_stores
def test_selections(system: SystemTableStorage, selection: FeatureSelection, keys: list[str]) -> None:
    redefine("video", "1")
    define("crop")
    define("theirs", project="other")
    system.push_graph_snapshot(project="test")
    redefine("video", "2")
    for project in ("test", "other"):
        system.push_graph_snapshot(project=project)
    found = {str(d.key): d for d in system.resolve_selection(selection)}
    assert sorted(found) == keys
    assert [d.spec.fields[0].code_version for key, d in found.items() if key == "video"] == ["2"] * ("video" in keys)


# -- the tables themselves ---------------------------------------------------------------------------------------------


@pytest.mark.three_stores
def test_system_tables_are_read_like_features(store: MetadataStore) -> None:
    with pytest.raises(SystemDataNotFoundError, match=r"no system table metaxy-system/feature_versions yet.*mx push"):
        store.read(FEATURE_VERSIONS_KEY)
    define("audio")
    define("video")
    SystemTableStorage(store).push_graph_snapshot()
    for all_versions in (True, False):
        frame = store.read(TABLE, filters=[nw.col("feature_key") == "video"], with_feature_history=all_versions)
        assert collect_to_polars(frame).columns == list(FEATURE_VERSIONS_SCHEMA)
        assert collect_to_polars(frame)["feature_key"].to_list() == ["video"]
    frame, owner = store.read(TABLE, columns=["project"], with_store_info=True)
    assert (collect_to_polars(frame).columns, owner) == (["project"], store)


@pytest.mark.three_stores
def test_system_tables_are_not_read_from_fallbacks(make: StoreFactory) -> None:
    define("video")
    other = make("other")
    with other.open("w"):
        SystemTableStorage(other).push_graph_snapshot()
    with make("here", fallback_stores=[other]) as store, pytest.raises(SystemDataNotFoundError):
        store.read(FEATURE_VERSIONS_KEY)


@pytest.mark.three_stores
def test_system_tables_are_not_deleted_from(store: MetadataStore) -> None:
    with pytest.raises(MetadataStoreError, match="cannot delete from metaxy-system/feature_versions"):
        store.delete(FEATURE_VERSIONS_KEY, everything=True)


@pytest.mark.three_stores
def test_rows_must_fit_a_system_table(store: MetadataStore) -> None:
    with pytest.raises(MetadataSchemaError, match=r"no column 'projct'. Did you mean 'project'"):
        store.write(FEATURE_VERSIONS_KEY, pl.DataFrame({"projct": ["a"]}))
    with pytest.raises(MetadataSchemaError, match="do not fit"):
        store.write(FEATURE_VERSIONS_KEY, pl.DataFrame({"recorded_at": ["yesterday"]}))
    assert not store.has_feature(FEATURE_VERSIONS_KEY)


def test_other_system_tables_are_kept_as_they_are(store: MetadataStore) -> None:
    rows = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    store.write("metaxy-system/notes", rows)
    assert everything(store, "metaxy-system/notes").sort("a").equals(rows)


def test_a_table_that_lacks_a_column_gets_it(system: SystemTableStorage) -> None:
    redefine("video", "1")
    system.push_graph_snapshot()
    put(system.store, TABLE, everything(system.store, TABLE).drop("deleted_at"))
    redefine("video", "2")
    system.push_graph_snapshot()
    assert everything(system.store, TABLE).schema == FEATURE_VERSIONS_SCHEMA


@pytest.mark.three_stores
def test_events(system: SystemTableStorage) -> None:
    payload = {"type": "rows_affected", "rows_affected": 3}
    system.write_event(
        Event(project="test", execution_id="run", event_type="written", feature_key="video", payload=payload)
    )
    system.write_event(Event(project="test", execution_id="run", event_type="done", timestamp=datetime(2030, 1, 1)))
    rows = collect_to_polars(system.store.read(EVENTS_KEY)).sort("timestamp")
    assert rows["event_type"].to_list() == ["written", "done"]
    assert json.loads(rows["payload"][0]) == payload
    assert rows["timestamp"][1] == datetime(2030, 1, 1)


def test_the_public_name() -> None:
    assert mx.SystemTableStorage is SystemTableStorage
