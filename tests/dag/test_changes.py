"""What a comparison says of rows is what happens to them: the same features are compared, and brought up to date."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

import metaxy as mx
from metaxy.dag.diff import TO_COMPUTE, merge, summary
from metaxy.dag.view import GraphData
from metaxy.definitions.definition import FeatureDefinition
from metaxy.ext.duckdb import DuckDBMetadataStore

Lineage = mx.LineageRelationship
MANY = Lineage.aggregation(on=["id"])
SCHEMA = {"properties": {"id": {"type": "string"}, "n": {"type": "integer"}}}


@pytest.fixture(autouse=True)
def config() -> Iterator[None]:
    with mx.MetaxyConfig(project="p").use():
        yield


def graph(
    dep: dict[str, Any] | None = None, schema: dict[str, Any] = SCHEMA, project: str = "p", **spec: Any
) -> mx.FeatureGraph:
    """Make features video (of two IDs, as one that aggregates it has one of them) → clip → face."""
    clip: dict[str, Any] = {"id_columns": ["id", "part"], "fields": ["audio", "frames"], **spec}
    deps = spec.pop("deps", [mx.FeatureDep(feature="video", **(dep or {}))])
    specs = (
        mx.FeatureSpec(key="video", id_columns=["id", "part"], fields=["audio", "frames"]),
        mx.FeatureSpec(key="clip", **{"deps": deps, **clip}),
        mx.FeatureSpec(key="face", id_columns=["id"], deps=[mx.FeatureDep(feature="clip", lineage=MANY)]),
    )  # fmt: skip
    made = mx.FeatureGraph()
    for each in specs:
        owner = project if each.key == mx.FeatureKey("clip") else "p"
        path = f"code.{each.key}"
        made.add_feature_definition(
            FeatureDefinition(spec=each, feature_schema=schema, feature_class_path=path, project=owner)
        )
    return made


def versions(*fields: str) -> dict[str, str]:
    return dict.fromkeys(fields, "1")


def update(store: DuckDBMetadataStore, features: mx.FeatureGraph) -> dict[str, int]:
    """Bring all features up to date; return how many samples that concerned."""
    rows = pl.DataFrame(
        [{"id": i, "part": p, "n": n, "m": 5, "metaxy_provenance_by_field": versions("audio", "frames")}
         for n, (i, p) in enumerate([("a", "x"), ("a", "y"), ("b", "x")])]
    )  # fmt: skip
    found = {}
    with features.use():
        for key in ("video", "clip", "face"):
            samples = rows if key == "video" else None
            todo = store.resolve_update(key, samples=samples, one_row_per_group=key != "video")
            new, stale, orphaned = todo.to_polars()
            found[key] = len(new) + len(stale) + len(orphaned)
            store.write(key, pl.concat([new, stale], how="diagonal_relaxed"))
            if len(orphaned):
                store.delete(key, everything=True)
                store.write(key, store.resolve_update(key).to_polars().new)
    return found


F = mx.FieldSpec
WITH_MORE = {"properties": {**SCHEMA["properties"], "path": {"type": "string"}, "n": {"type": "number"}}}
SOUND = [mx.FieldDep(feature="video", fields=["audio"])]
# Edits of clip, what is said of clip and face, and in which words.
EDITS: dict[str, tuple[dict[str, Any], str, str, list[str]]] = {
    "nothing": ({}, "unchanged", "unchanged", []),
    "description": ({"description": "A clip"}, "described", "unchanged", ["description"]),
    "metadata": ({"metadata": {"owner": "me"}}, "described", "unchanged", ["metadata"]),
    "columns": ({"schema": WITH_MORE}, "described", "described", ["columns: +path n"]),
    "project": ({"project": "q"}, "described", "unchanged", ["project: p → q"]),
    "selected columns": ({"dep": {"select": ["n"]}}, "described", "unchanged", ["columns of video"]),
    "rename of a column": ({"dep": {"rename": {"n": "k"}}}, "described", "unchanged", ["renames of video"]),
    "order of fields": (
        {"fields": ["frames", "audio"]}, "described", "unchanged", ["order of fields or columns"],
    ),
    "order of IDs": (
        {"id_columns": ["part", "id"]}, "described", "unchanged", ["ID columns: id, part → part, id"],
    ),
    "code": (
        {"fields": ["audio", F(key="frames", code_version="2")]}, "changed", "affected", ["through clip"],
    ),
    "a new field": ({"fields": ["audio", "frames", "size"]}, "changed", "affected", ["through clip"]),
    "a field less": ({"fields": ["audio"]}, "changed", "affected", ["through clip"]),
    "rewired": ({"fields": [F(key="audio", deps=SOUND), F(key="frames", deps=SOUND)]}, "changed", "affected", []),
    "filter": (
        {"dep": {"filters": ["n > 0"]}}, "changed", "affected", ["filters of video: none → n > 0", "through clip"],
    ),
    "filter on a renamed column": (
        {"dep": {"rename": {"n": "k", "m": "n"}, "filters": ["n > 5"]}}, "changed", "affected", ["renames of video"],
    ),
    "optional": ({"dep": {"optional": True}}, "changed", "affected", ["video is optional"]),
    "lineage": (
        {"dep": {"lineage": MANY}, "id_columns": ["id"]},
        "changed", "affected", ["lineage of video: 1:1 → N:1 on id", "ID columns: id, part → id"],
    ),
    "rename of an ID": (
        {"dep": {"rename": {"part": "piece"}}, "id_columns": ["id", "piece"]},
        "changed", "affected", ["renames of video", "ID columns: id, part → id, piece"],
    ),
    "no parent": ({"deps": []}, "changed", "affected", ["does not depend on video any more"]),
}  # fmt: skip
# All samples of the optional parent are there, a root has samples of its own, a table lacks an ID that is new.
UNDECIDED = {"optional", "no parent", "rename of an ID"}


@pytest.mark.parametrize("name", EDITS)
def test_what_is_said_of_an_edit_is_what_happens(name: str) -> None:
    edit, clip, face, words = EDITS[name]
    old, new = graph(), graph(**edit)
    merged = merge(GraphData.from_feature_graph(old), GraphData.from_feature_graph(new))
    assert {key: node.status.value for key, node in merged.nodes.items()} == {
        "video": "described" if "schema" in edit else "unchanged",
        "clip": clip,
        "face": face,
    }
    said = [text for node in merged.nodes.values() for text in node.changes]
    assert [text for text in words if text not in said] == [], said
    if name in UNDECIDED:
        return
    with DuckDBMetadataStore(":memory:", auto_create_tables=True).open("w") as store:
        assert update(store, old) == {"video": 3, "clip": 3, "face": 2}
        happened = update(store, new)
    computed = {key for key, count in happened.items() if count}
    assert computed == {key for key, node in merged.nodes.items() if node.status in TO_COMPUTE}


def test_fields_say_what_changed() -> None:
    fields = [F(key="audio", code_version="2"), F(key="frames", deps=SOUND), "size"]
    merged = merge(GraphData.from_feature_graph(graph()), GraphData.from_feature_graph(graph(fields=fields)))
    assert {str(field.key): (field.status.value, field.changes) for field in merged.nodes["clip"].fields} == {
        "audio": ("changed", ("code version __metaxy_initial__ → 2",)),
        "frames": ("changed", ("computed from video.audio",)),
        "size": ("added", ()),
    }
    assert merged.nodes["face"].changes == ("through clip",)
    assert summary(merged) == "~1 ↻1"


def test_words_and_versions_that_change_together_are_both_told() -> None:
    merged = merge(
        GraphData.from_feature_graph(graph()),
        GraphData.from_feature_graph(graph(description="A clip", fields=["audio", F(key="frames", code_version="2")])),
    )
    assert (merged.nodes["clip"].status.value, merged.nodes["clip"].changes) == ("changed", ("description",))
