import json
from typing import Any

import pytest
from tests.dag.definitions import stored
from tests.dag.views import chain, feature_graph, video, view

from metaxy.compat.diffs import GraphDiff, from_merged_diff
from metaxy.compat.snapshots import GraphDiffer
from metaxy.config import MetaxyConfig
from metaxy.dag.diff import merge, merged_struct, only_changes, summary
from metaxy.dag.view import FieldNode, GraphData, GraphNode, NodeStatus
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetaxyEmptyCodeVersionError


def statuses(data: GraphData) -> dict[str, str]:
    return {key: node.status.value for key, node in data.nodes.items()}


def field_statuses(data: GraphData, key: str) -> dict[str, str]:
    return {str(field.key): field.status.value for field in data.nodes[key].fields}


def test_a_code_version_changes_one_feature_and_affects_what_needs_that_field() -> None:
    merged = merge(view(*video()), view(*video("2")))
    assert statuses(merged) == {
        "audio/transcript": "unchanged",
        "faces": "affected",
        "video/crop": "affected",
        "video/raw": "changed",
    }
    assert field_statuses(merged, "video/raw") == {"audio": "unchanged", "frames": "changed"}
    assert field_statuses(merged, "video/crop") == {"audio": "unchanged", "frames": "affected"}
    assert summary(merged) == "~1 ↻2"
    assert merged.is_diff


def test_added_and_removed_features_and_fields() -> None:
    merged = merge(view(*video()), view(*video(crop_fields=["frames", "size"])[:3], stored("new", ["faces"])))
    assert statuses(merged) == {
        "audio/transcript": "removed",
        "faces": "unchanged",
        "new": "added",
        "video/crop": "changed",
        "video/raw": "unchanged",
    }
    assert field_statuses(merged, "video/crop") == {"frames": "unchanged", "size": "added", "audio": "removed"}
    assert field_statuses(merged, "new") == {"default": "added"}
    assert field_statuses(merged, "audio/transcript") == {"audio": "removed"}
    assert (merged.nodes["new"].old_version, merged.nodes["audio/transcript"].version) == (None, None)
    assert merged.nodes["audio/transcript"].old_version is not None
    assert summary(merged) == "+1 -1 ~1"


def test_a_renamed_feature_is_told_from_a_new_one() -> None:
    new = stored("new", [])
    renamed = new.model_copy(update={"spec": new.spec.model_copy(update={"renamed_from": (FeatureKey("old"),)})})
    merged = merge(view(stored("old", [])), view(renamed))
    assert {key: (node.status.value, node.changes) for key, node in merged.nodes.items()} == {
        "new": ("added", ("renamed from old",)),
        "old": ("removed", ("renamed to new",)),
    }
    assert merge(view(stored("other", [])), view(renamed)).nodes["new"].changes == ()


def test_a_field_that_is_computed_from_others_is_changed_itself() -> None:
    rewired = [{"key": "frames", "deps": [{"feature": "video/raw", "fields": ["audio"]}]}]
    merged = merge(view(*video(crop_fields=["frames"])), view(*video(crop_fields=rewired)))
    assert field_statuses(merged, "video/crop") == {"frames": "changed"}
    assert statuses(merged)["faces"] == "affected"


def test_what_is_the_same_is_unchanged_and_nothing_else() -> None:
    merged = merge(view(*video()), view(*video()))
    assert set(statuses(merged).values()) == {"unchanged"}
    assert summary(merged) == "no changes"
    assert only_changes(merged).nodes == {}
    assert only_changes(merged).old_project_version == merged.project_version
    assert only_changes(merged).is_diff


def test_another_project_describes_a_feature_differently() -> None:
    merged = merge(view(stored("a")), view(stored("a", project="q")))
    assert statuses(merged) == {"a": "described"}
    assert merged.nodes["a"].changes == ("project: p → q",)


def test_missing_parents_are_no_part_of_a_comparison() -> None:
    assert statuses(merge(view(stored("a", ["gone"])), view(stored("a")))) == {"a": "changed"}


def test_unknown_versions_of_fields_are_not_taken_for_changes() -> None:
    old = GraphData.of([GraphNode(key="a", version="1", fields=[FieldNode(key="x")])])
    new = GraphData.of([GraphNode(key="a", version="1", fields=[FieldNode(key="x", version="v")])])
    assert field_statuses(merge(old, new), "a") == {"x": "unchanged"}


def test_only_changes_leaves_out_what_is_the_same() -> None:
    shorter = only_changes(merge(view(*video()), view(*video("2"))))
    assert sorted(shorter.nodes) == ["faces", "video/crop", "video/raw"]
    assert field_statuses(shorter, "video/crop") == {"frames": "affected"}


def test_plain_data_of_a_comparison_comes_back_as_a_view() -> None:
    merged = merge(view(*video()), view(*video("2")[:3], stored("new")))
    struct = json.loads(json.dumps(merged_struct(merged)))
    assert struct["summary"] == {"added": 1, "removed": 1, "changed": 1, "affected": 2, "described": 0}
    assert set(struct["nodes"]["video/crop"]) >= {"status", "old_version", "new_version", "dependencies"}
    (change,) = struct["nodes"]["video/crop"]["field_changes"]
    assert change["field_key"] == "frames"
    assert (change["is_added"], change["is_removed"], change["is_changed"]) == (False, False, True)
    again = from_merged_diff(struct)
    assert statuses(again) == statuses(merged)
    assert field_statuses(again, "video/crop") == field_statuses(merged, "video/crop")


def test_lists_of_what_changed() -> None:
    merged = merge(view(*video()), view(*video("2")[:3], stored("new")))
    diff = GraphDiff.from_view(merged)
    assert diff.has_changes
    assert [str(n.feature_key) for n in (*diff.added_nodes, *diff.removed_nodes)] == ["new", "audio/transcript"]
    assert [str(n.feature_key) for n in (*diff.changed_nodes, *diff.affected_nodes)] == [
        "video/raw",
        "faces",
        "video/crop",
    ]
    (field,) = diff.changed_nodes[0].changed_fields
    assert field.old_version != field.new_version
    assert GraphDiff.from_struct(json.loads(json.dumps(diff.to_struct()))) == diff
    assert statuses(diff.to_view()) == {k: v for k, v in statuses(merged).items() if v != "unchanged"}
    assert not GraphDiff.from_view(merge(view(*video()), view(*video()))).has_changes


def test_lists_without_code_versions_are_refused() -> None:
    new = GraphData.of([GraphNode(key="a", fields=[FieldNode(key="x")])])
    with pytest.raises(MetaxyEmptyCodeVersionError, match="field 'x' of 'a'"):
        GraphDiff.from_view(merge(GraphData.of([]), new)).to_struct()


def test_recorded_features_are_compared_as_plain_data() -> None:
    def recorded(frames: str) -> dict[str, dict[str, object]]:
        graph = feature_graph(*video(frames))
        with MetaxyConfig(project="p").use():
            return {
                key: {**entry, "fields": graph.get_feature_version_by_field(key)}
                for key, entry in graph.to_snapshot().items()
            }

    differ = GraphDiffer()
    diff = differ.diff(recorded("1"), recorded("2"), "old", "new")
    assert (diff.from_project_version, [str(n.feature_key) for n in diff.changed_nodes]) == ("old", ["video/raw"])
    merged = differ.create_merged_graph_data(recorded("1"), recorded("2"), diff)
    assert merged["nodes"]["faces"]["status"] == "affected"
    assert sorted(differ.filter_merged_graph(merged, "faces", up=1)["nodes"]) == ["faces", "video/crop"]
    with pytest.raises(ValueError, match="'fcaes' is not in the graph"):
        differ.filter_merged_graph(merged, "fcaes")


def test_a_chain_of_a_thousand_features_is_affected_down_to_its_end() -> None:
    merged = merge(view(*chain(1000)), view(*chain(1000, first="2")))
    assert summary(merged) == "~1 ↻999"
    assert merged.nodes["f999"].status is NodeStatus.AFFECTED


def test_views_have_the_old_name_of_what_reads_plain_comparisons() -> None:
    plain = merged_struct(merge(GraphData.of([]), view(*video())))
    read: Any = GraphData
    assert read.from_merged_diff(plain) == from_merged_diff(plain)
