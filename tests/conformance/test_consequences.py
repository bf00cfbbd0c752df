"""What a change will compute is what it then computes, feature by feature."""

from typing import Any

import polars as pl
import pytest
from tests.factory import define, ids, rows
from tests.stores import StoreFactory

from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.dag.view import Work
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.definitions.spec import FeatureSpec
from metaxy.store.consequences import Consequences
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

pytestmark = pytest.mark.three_stores
NEXT = [{"key": "default", "code_version": "2"}]


def foreseen(store: MetadataStore, *changed: str) -> dict[str, Work]:
    definitions = current_graph().feature_definitions_by_key
    keys = [key for key in definitions if str(key) in changed]
    return {str(key): work for key, work in Consequences(store, store.session.scope("r"), keys).count()}


def update(store: MetadataStore, feature: str, **made: Any) -> Work:
    """Compute what is to do, and say how much it was."""
    increment = store.resolve_update(feature)
    for samples in (increment.new, increment.stale):
        if len(samples):
            given = collect_to_polars(samples).with_columns(**made)
            store.write(feature, given.unique(current_graph().get_feature_definition(feature).id_columns))
    if len(increment.orphaned):
        store.delete_orphaned(feature, max_share=1)
    return Work(**{kind: increment.counts[kind] for kind in ("new", "stale", "orphaned")})


def test_chains_filters_groups_and_columns_that_are_not_made_yet(make: StoreFactory) -> None:
    def define_all(clip: dict[str, Any], code: str) -> None:
        define("video")
        define("clip", FeatureDep(feature="video", **clip))
        define("faces", "clip", fields=[{"key": "default", "code_version": code}])
        define("crops", FeatureDep(feature="faces", select=["box", "week"], rename={"score": "sure"}))
        for group in ("day", "week"):
            of_group = LineageRelationship.aggregation(on=[group])
            define(group, FeatureDep(feature="crops", select=["day", "week"], lineage=of_group), ids=[group])

    made = {"faces": {"box": pl.lit(1), "score": pl.lit(2)}, "crops": {"day": pl.col("id").str.slice(0, 1)}}
    every = ("clip", "faces", "crops", "week", "day")
    with make().open("w") as store:
        define_all({}, "1")
        store.write("video", rows(id=["a1", "a2", "b1", "b2"], n=[1, 2, 3, 4], week=[1, 1, 2, 2]))
        for feature in every:
            update(store, feature, **made.get(feature, {}))

        define_all({"filters": ["n > 1"]}, "1")  # other samples, in all that follows
        found = foreseen(store, *every)
        assert found["clip"] == found["faces"] == Work(new=0, stale=0, orphaned=1)
        assert found["crops"] == Work(new=0, stale=0, orphaned=1)
        assert found["week"] == Work(stale=1)
        assert "'day'" in str(found["day"].unknown)  # its groups are made by a function
        assert {feature: update(store, feature, **made.get(feature, {})) for feature in every[:4]} == {
            feature: found[feature] for feature in every[:4]
        }

        define_all({"filters": ["n > 1"]}, "2")
        store.write("video", rows(id=["c1"], n=[5], week=[2]))
        found = foreseen(store, "faces", "crops", "week")  # clip is as it was, so its new sample is no part of this
        assert found == {"faces": Work(new=3), "crops": Work(new=3), "week": Work(new=2)}
        assert {feature: update(store, feature, **made.get(feature, {})) for feature in found} == found
        assert ids(store.resolve_update("clip")) == (["c1"], [], [])
        assert not foreseen(store)


def test_what_nobody_can_know_is_said(make: StoreFactory) -> None:
    with make().open("w") as store:
        define("video")
        cut = FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"]))
        define("cuts", cut, ids=["id", "n"])
        define("faces", "cuts", ids=["id", "n"])
        store.write("video", rows(id=["a", "b"]))
        found = foreseen(store, "cuts", "faces")
        assert found["cuts"] == Work(new=2)
        assert found["faces"].unknown == "how many samples cuts makes of each is known when it is computed"

        define("video", fields=NEXT)
        found = foreseen(store, "video", "cuts", "faces")
        assert found["video"].text == "samples unknown: it is written, not computed"
        assert found["cuts"].unknown == found["faces"].unknown == "video has no rows of this version yet"
        store.write("video", rows(id=["a"]))
        assert foreseen(store, "video", "cuts")["cuts"] == Work(new=1)


def test_rows_that_a_rename_takes_over_are_not_computed(make: StoreFactory, graph: FeatureGraph) -> None:
    def define_all(key: str, *former: str) -> None:
        define("video")
        spec = FeatureSpec(key=key, id_columns=["id"], deps=["video"], renamed_from=former)
        graph.add_feature_definition(
            FeatureDefinition(spec=spec, feature_schema={}, feature_class_path=f"code.{key}", project="test")
        )
        define("faces", key)

    with make().open("w") as store:
        define_all("clip")
        store.write("video", rows(id=["a", "b"]))
        for feature in ("clip", "faces"):
            update(store, feature)
        graph.remove_feature("faces")
        graph.remove_feature("clip")
        define_all("cut", "clip")
        found = foreseen(store, "cut", "faces")
        assert found["cut"].unknown == "cut was renamed from clip, and its rows are to be taken over first"
        assert found["faces"].unknown == found["cut"].unknown
        store.rename_features()
        assert foreseen(store, "cut", "faces") == {"cut": Work(), "faces": Work()}
