"""Is a feature up to date? Counts of samples, on every store."""

from typing import Any

import narwhals as nw
import pytest
from tests.factory import define, put, rows
from tests.stores import StoreFactory

from metaxy.config import MetaxyConfig
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import HashSettingsMismatchError, MetadataSchemaError, StoreNotOpenError, UnknownFeatureError
from metaxy.store.status import (
    FeatureMetadataStatusWithIncrement,
    StatusOptions,
    feature_statuses,
    get_feature_metadata_status,
)
from metaxy.store.store import MetadataStore


@pytest.fixture(autouse=True)
def features() -> None:
    define("video")
    define("clip", "video")


def counts(found: FeatureMetadataStatusWithIncrement) -> tuple[int, int, int, int]:
    status = found.status
    return status.store_row_count, status.missing_count, status.stale_count, status.orphaned_count


def fill(store: MetadataStore) -> None:
    """Write three videos and their clips; then one video is new, one has changed, and one is gone."""
    store.write("video", rows(id=["a", "b", "c"], n=[1, 2, 3]))
    store.write("clip", store.resolve_update("clip").new)
    store.write("video", rows(["1", "2"], id=["new", "b"], n=[4, 2]))
    store.delete("video", nw.col("id") == "c")


@pytest.mark.three_stores
def test_up_to_date(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    store.write("clip", store.resolve_update("clip").new)
    found = get_feature_metadata_status("clip", store, compute_progress=True)
    assert (counts(found), found.status_category) == ((1, 0, 0, 0), "up_to_date")
    assert found.status.progress_percentage == 100


@pytest.mark.three_stores
def test_a_root_feature_has_nothing_to_compare(store: MetadataStore) -> None:
    store.write("video", rows(id=["a", "b"]))
    found = get_feature_metadata_status("video", store, compute_progress=True)
    assert (counts(found), found.status_category, found.lazy_increment) == ((2, 0, 0, 0), "root_feature", None)
    assert found.to_representation(verbose=True).model_dump(exclude_none=True, exclude={"store_metadata"}) == {
        "feature_key": "video",
        "status": "root_feature",
        "needs_update": False,
        "metadata_exists": True,
        "store_rows": 2,
        "target_version": found.status.target_version,
        "is_root_feature": True,
    }
    assert found.status.format_status_line() == "○ video: 2 rows (root)"


@pytest.mark.three_stores
def test_what_has_no_table_is_missing(store: MetadataStore) -> None:
    assert get_feature_metadata_status("video", store).status_category == "missing"
    nothing = get_feature_metadata_status("clip", store, compute_progress=True)
    assert (counts(nothing), nothing.status_category, nothing.status.has_input) == ((0, 0, 0, 0), "missing", False)
    assert nothing.status.format_status_line() == "✗ clip: 0 rows, 0 new, 0 stale, 0 orphaned (no input from video)"
    assert nothing.to_representation().missing_input == ["video"]
    store.write("video", rows(id=["a"]))
    found = get_feature_metadata_status("clip", store, compute_progress=True)
    assert (counts(found), found.status_category, found.status.needs_update) == ((0, 1, 0, 0), "missing", True)
    assert found.status.progress_percentage == 0


@pytest.mark.three_stores
def test_status_says_why_all_is_orphaned(store: MetadataStore) -> None:
    fill(store)
    store.delete("video", everything=True)
    found = get_feature_metadata_status("clip", store)
    assert (counts(found), found.status.has_input) == ((3, 0, 0, 3), True)
    assert found.to_representation().missing_input == ["video"]
    assert found.status.format_status_line().endswith("0 new, 0 stale, 3 orphaned (no input from video)")


def test_progress_counts_inputs(store: MetadataStore) -> None:
    define("movie", ids=("id", "part"))
    define("whole", FeatureDep(feature="movie", lineage=LineageRelationship.aggregation(["id"])))
    store.write("movie", rows(id=["a", "a", "b", "c"], part=[1, 2, 1, 1]))
    store.write("whole", store.resolve_update("whole", one_row_per_group=True).new.filter(nw.col("id") != "c"))
    found = get_feature_metadata_status("whole", store, compute_progress=True).status
    assert found.progress_percentage is not None
    assert round(found.progress_percentage) in (67, 75)  # of three groups, or of four rows
    fill(store)
    clip = get_feature_metadata_status("clip", store, compute_progress=True).status
    assert clip.progress_percentage is not None
    assert round(clip.progress_percentage) == 67


@pytest.mark.three_stores
def test_filters_and_predicates(store: MetadataStore) -> None:
    fill(store)
    only_b = nw.col("id") == "b"
    assert counts(get_feature_metadata_status("clip", store, global_filters=[only_b])) == (1, 0, 1, 0)
    assert counts(get_feature_metadata_status("clip", store, target_filters=[only_b])) == (1, 2, 1, 0)
    stale = get_feature_metadata_status("clip", store, staleness_predicates=[nw.col("id") == "a"])
    assert counts(stale) == (3, 1, 2, 1)


@pytest.mark.three_stores
def test_samples_are_shown_on_demand(store: MetadataStore) -> None:
    fill(store)
    found = get_feature_metadata_status("clip", store)
    details = found.sample_details(limit=1)
    assert [text.splitlines()[0] for text in details] == [
        "New samples (1):",
        "Stale samples (1):",
        "Orphaned samples (1):",
    ]
    assert "'new'" in details[0]
    assert found.to_representation(verbose=True).sample_details
    assert found.to_representation(verbose=False).sample_details is None


@pytest.mark.three_stores
def test_fallback_stores_count_only_if_asked(make: StoreFactory) -> None:
    with make("far").open("w") as far:
        fill(far)
    with make("near", fallback_stores=[make("far")], versioning_engine="polars").open("w") as near:
        found = get_feature_metadata_status("clip", near)
        assert counts(found)[:2] == (0, 3)  # what a fallback has is not its own, so it counts once: as what is new
        assert found.status_category == "missing"
        assert get_feature_metadata_status("video", near).status.store_row_count  # that of a root is what is read
        without = get_feature_metadata_status("clip", near, use_fallback=False)
        assert (counts(without), without.status.has_input) == ((0, 0, 0, 0), False)
        resolved = get_feature_metadata_status("video", near).status.store_metadata["resolved_from"]
        assert resolved == far.get_store_info("video")
        root, own = (get_feature_metadata_status(key, near, footprint=True).status for key in ("video", "clip"))
        assert own.footprint == (None, None)
        with far.open():
            assert root.footprint == get_feature_metadata_status("video", far, footprint=True).status.footprint
    with make("over", fallback_stores=[make("far")], fallback="rows").open("w") as over:
        for _ in range(2):
            last, size = get_feature_metadata_status("clip", over, footprint=True).status.footprint
            assert (last is not None, size) == (True, None)  # it lies in another store, and then in both
            over.write("clip", over.resolve_update("clip").new)


@pytest.mark.three_stores
def test_rows_under_other_hash_settings_are_an_error(make: StoreFactory) -> None:
    with make().open("w") as store:
        store.write("video", rows(id=["a"]))
        store.write("clip", store.resolve_update("clip").new)
    with (
        MetaxyConfig(hash_truncation_length=8).use(),
        make().open("r") as store,
        pytest.raises(HashSettingsMismatchError),
    ):
        get_feature_metadata_status("clip", store)


@pytest.mark.three_stores
def test_a_sample_that_cannot_be_versioned_is_an_error(store: MetadataStore) -> None:
    store.write("video", rows(id=["a"]))
    table = store.storage.scan(FeatureKey("video")).frame.collect("polars").to_polars()
    put(store, "video", table.with_columns(id=None).cast({"id": table.schema["id"]}))
    with pytest.raises(MetadataSchemaError, match="ID column 'id' is NULL in 1 expected samples"):
        get_feature_metadata_status("clip", store)


@pytest.mark.three_stores
def test_unknown_features_and_closed_stores(make: StoreFactory) -> None:
    with make().open("r") as store, pytest.raises(ValueError, match="Did you mean 'video'") as caught:
        get_feature_metadata_status("vidoe", store)
    assert isinstance(caught.value, UnknownFeatureError)
    with pytest.raises(StoreNotOpenError):
        get_feature_metadata_status("video", make())


def test_many_features_at_a_time_in_order_and_errors_beside_them(store: MetadataStore) -> None:
    fill(store)
    for n in range(8):
        define(f"leaf{n}", "video")
    define("broken", "gone")
    keys = [FeatureKey(key) for key in ("clip", *(f"leaf{n}" for n in range(8)), "broken", "video")]
    found: list[Any] = list(feature_statuses(store, keys, StatusOptions(footprint=True)))
    assert "'gone', which is not in the graph" in str(found[-2])
    assert [str(each.status.feature_key) for each in found if not isinstance(each, Exception)] == [
        str(key) for key in keys if str(key) != "broken"
    ]
    assert counts(found[0]) == (3, 1, 1, 1)
    assert {counts(each)[1] for each in found[1:9]} == {3}
    last, size = found[0].status.footprint
    assert last == max(store.read("clip", columns=["metaxy_updated_at"]).collect()["metaxy_updated_at"].to_list())
    assert size is None or size > 0
    assert {each.status.footprint for each in found[1:9]} == {(None, None)}  # there is no table


@pytest.mark.three_stores
def test_parents_without_rows_are_named(store: MetadataStore) -> None:
    for key in ("left", "right"):
        define(key)
    define("both", "left", "right")

    def missing() -> tuple[str, ...]:
        status = get_feature_metadata_status("both", store).status
        return tuple(map(str, status.missing_input))

    assert missing() == ("left", "right")
    store.write("left", rows(id=["a"]))
    assert missing() == ("right",)
    store.write("right", rows(id=["b"]))
    assert missing() == ("left", "right")  # they have no sample together
    store.write("right", rows(id=["a"]))
    assert missing() == ()
    store.delete("right", everything=True)
    assert missing() == ("right",)
