"""One sample with all that was, its errors and its rows in features around; and how fast a feature is written."""

from datetime import date, datetime, timedelta, timezone

import polars as pl
import pytest
from tests.factory import define, rows
from tests.stores import StoreFactory

from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import FeatureNotFoundError, RequestError
from metaxy.service.activity import activity
from metaxy.service.browsing import page
from metaxy.service.project import Project
from metaxy.service.samples import sample
from metaxy.store.store import MetadataStore

ERROR = {"error_type": pl.lit("ValueError"), "error_message": pl.lit("no sound")}


def project_of(graph: FeatureGraph, store: MetadataStore) -> Project:
    return Project().with_graph(graph).with_store(store)


def test_a_sample_is_shown_with_all_that_was(store: MetadataStore, graph: FeatureGraph) -> None:
    define("video")
    define("clip", "video")
    define("frame", FeatureDep(feature="clip", rename={"id": "clip_id"}), ids=("clip_id",))
    define("unlike", FeatureDep(feature="clip", lineage=LineageRelationship.expansion(["id"])), ids=("id", "n"))
    store.write("video", rows(id=["a", "b"], size=[1, 2]))
    store.write("clip", store.resolve_update("clip").new)
    store.write("frame", store.resolve_update("frame").new)
    store.write("video", rows("2", id=["a"], size=[3]))
    stale = store.resolve_update("clip").stale.to_polars()
    store.record_errors("clip", stale.with_columns(**ERROR))
    project = project_of(graph, store)

    now = sample(project, "video", {"id": "a"})
    values = [dict(zip([c.name for c in now.columns], row, strict=True)) for row in (now.row or [], *now.earlier)]
    assert ([each["size"] for each in values], now.errors, now.parents) == ([3, 1], [], [])
    assert [(each.feature, [row[0] for row in each.rows]) for each in now.children] == [("clip", ["a"])]

    clip = sample(project, "clip", {"id": "a"})
    assert [(e.ids, e.error_type, e.error_message, e.attempt) for e in clip.errors] == [
        ({"id": "a"}, "ValueError", "no sound", 1)
    ]
    assert [(each.feature, len(each.rows), each.error) for each in clip.parents] == [("video", 1, None)]
    around = {each.feature: ([row[0] for row in each.rows], each.ids) for each in clip.children}
    assert around == {"frame": (["a"], ("clip_id",)), "unlike": ([], ("id", "n"))}

    store.delete("video", "id = 'a'")
    gone = sample(project, "video", {"id": "a"})
    assert (gone.row, len(gone.earlier)) == (None, 3)
    deleted = [column.name for column in gone.columns].index("metaxy_deleted_at")
    assert [row[deleted] is None for row in gone.earlier] == [False, True, True]


def test_samples_are_found_by_the_ids_that_are_shown(store: MetadataStore, graph: FeatureGraph) -> None:
    ids = {
        "big": pl.Series([2**60, 1], dtype=pl.Int64),
        "day": [date(2026, 1, 31), date(1950, 1, 1)],
        "at": pl.Series([datetime(2026, 1, 31, 1, 2, 3, 4), datetime(1950, 1, 1)], dtype=pl.Datetime("us", "UTC")),
        "yes": [True, False],
    }
    define("video", ids=tuple(ids))
    store.write("video", rows(**ids))
    project = project_of(graph, store)
    found = page(project, "video")
    names = [column.name for column in found.columns][:4]
    for row in found.rows:
        ours = sample(project, "video", dict(zip(names, row[:4], strict=True)))
        assert (ours.row or [])[:4] == list(row[:4])


@pytest.mark.three_stores
def test_what_names_no_sample_is_refused(make: StoreFactory, graph: FeatureGraph) -> None:
    define("video", ids=("id", "n"))
    project = project_of(graph, make())
    with pytest.raises(FeatureNotFoundError):
        sample(project, "video", {"id": "a", "n": 1})
    with make().open("w") as store:
        store.write("video", rows(id=["a"], n=[1]))
    with pytest.raises(RequestError, match="is named by id, n, not by id"):
        sample(project, "video", {"id": "a"})
    with pytest.raises(RequestError, match="'n' is of type Int64, and 'x' is no value of it"):
        sample(project, "video", {"id": "a", "n": "x"})
    assert sample(project, "video", {"id": "z", "n": 1}).row is None


def test_activity_counts_what_was_written_lately(store: MetadataStore, graph: FeatureGraph) -> None:
    define("video")
    define("clip", "video")
    project = project_of(graph, store)
    idle = activity(project, "clip")
    assert (idle.last_hour, idle.rate, idle.left, idle.seconds_left) == (0, None, None, None)
    store.write("video", rows(id=[str(n) for n in range(30)]))
    store.write("clip", store.resolve_update("clip").new.to_polars().head(20))
    store.delete("clip", "id = '0'")
    now = activity(project, "clip")
    assert (now.last_minute, now.last_10_minutes, now.last_hour) == (20, 20, 20)
    assert now.left == 11
    assert now.rate is not None
    assert now.seconds_left == now.left / now.rate
    assert now.last_write is not None
    assert timedelta() <= now.as_of - now.last_write < timedelta(hours=1)
    assert now.data()["as_of"] == now.as_of.astimezone(timezone.utc).isoformat()
    assert activity(project, "clip", count_left=False).with_left(7).left == 7
    assert activity(project, "video").left is None


def test_activity_takes_no_parents_for_samples_that_are_left(store: MetadataStore, graph: FeatureGraph) -> None:
    define("video")
    define("frame", FeatureDep(feature="video", lineage=LineageRelationship.expansion(["id"])), ids=("id", "n"))
    store.write("video", rows(id=["a", "b"]))
    made = store.resolve_update("frame").new.to_polars().head(1)
    store.write("frame", pl.concat([made.with_columns(n=pl.lit(n)) for n in range(3)]))
    now = activity(project_of(graph, store), "frame")
    assert (now.last_hour, now.left, now.seconds_left) == (3, None, None)
