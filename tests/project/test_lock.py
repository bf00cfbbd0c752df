"""The lock file: what other projects pushed, written down, so that versions need no store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.project.conftest import Write

import metaxy as mx
from metaxy.config import InvalidConfigError, MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import (
    ExternalFeatureVersionMismatchWarning,
    FeatureNotFoundError,
    LockFileMissingWarning,
    MetaxyInvariantViolationError,
)
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.project.entrypoints import init
from metaxy.project.lock import FeatureUpdate, generate_lock_file
from metaxy.project.locked import LockFile

Define = Callable[..., FeatureGraph]


def define(project: str, *features: tuple[str, list[str], str]) -> FeatureGraph:
    """Return a graph of features, each with a key, its parents and a code version."""
    graph = FeatureGraph()
    for key, parents, code_version in features:
        spec = mx.FeatureSpec(
            key=key,
            id_columns=["id"],
            deps=parents,
            fields=[mx.FieldSpec(key="audio", code_version=code_version), "frames"],
        )
        schema = {"properties": {"id": {"type": "string"}}, "description": "an ünusual “text”\n"}
        definition = mx.FeatureDefinition.from_stored_data(spec.model_dump(mode="json"), schema, f"a.{key}", project)
        graph.add_feature_definition(definition)
    return graph


@pytest.fixture
def store(folder: Path) -> DuckDBMetadataStore:
    return DuckDBMetadataStore(folder / "shared.duckdb", auto_create_tables=True)


def push(store: DuckDBMetadataStore, graph: FeatureGraph, project: str = "media") -> None:
    with graph.use(), store.open("w"):
        mx.SystemTableStorage(store).push_graph_snapshot(project=project)


MEDIA: tuple[tuple[str, list[str], str], ...] = (("video", [], "1"), ("crop", ["video"], "1"), ("unused", [], "1"))
OURS = """
import metaxy as mx
__metaxy_project__ = "ours"
class Faces(mx.BaseFeature, spec=mx.FeatureSpec(key="faces", id_columns=["id"], deps=["crop"], fields=["frames"])):
    id: str
"""


@pytest.fixture
def ours(write: Write, store: DuckDBMetadataStore) -> Iterator[FeatureGraph]:
    """A project whose feature depends on one of another project, which was pushed."""
    push(store, define("media", *MEDIA))
    write("ours.py", OURS)
    write("metaxy.toml", 'project = "ours"\nentrypoints = ["ours"]')
    with FeatureGraph().use() as graph:
        init()
        yield graph


def test_what_is_needed_is_locked_and_loaded_again(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    media = define("media", *MEDIA)
    result = generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    assert [(c.project, c.key, c.version) for c in result.added] == [
        ("media", key, media.get_feature_version(key)) for key in ("crop", "video")
    ]
    assert (result.count, result.changed, result.updated, result.removed) == (2, True, [], [])
    with FeatureGraph().use() as graph:
        init()
        crop = graph.get_feature_definition("crop")
        assert (crop.is_external, crop.source, crop.project) == (True, "metaxy.lock", "media")
        assert crop.spec == media.get_feature_definition("crop").spec
        assert crop.feature_schema == media.get_feature_definition("crop").feature_schema
        assert crop.on_version_mismatch == "warn"
        assert graph.get_feature_version("crop") == media.get_feature_version("crop")
        assert graph.get_feature_version("faces")
        assert [str(d.key) for d in graph.features_of("ours")] == ["faces"]


def test_the_file_says_versions_and_definitions(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    text = Path("metaxy.lock").read_text(encoding="utf-8")
    assert text.startswith("# Written by `mx lock`")
    assert "[features.crop.info]\n" in text
    assert "[features.crop.info.version_by_field]" in text
    assert "[features.crop.data]\n" in text
    locked = LockFile.read(Path("metaxy.lock"))
    media = define("media", *MEDIA)
    info = locked.features["crop"].info
    assert info.version_by_field == media.get_feature_version_by_field("crop")
    assert info.definition_version == media.get_feature_definition("crop").feature_definition_version


def test_locking_again_changes_nothing(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    before = Path("metaxy.lock").stat()
    for _ in range(2):  # what is loaded to write the file must not count as defined here
        again = generate_lock_file(store, "metaxy.lock", exclude_project="ours")
        assert (again.changed, again.unchanged_count, again.count) == (False, 2, 2)
    assert Path("metaxy.lock").stat().st_mtime_ns == before.st_mtime_ns
    assert [str(key) for key in ours.feature_definitions_by_key] == ["faces"]


def test_changes_are_reported(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    old, new = define("media", *MEDIA), define("media", ("video", [], "2"), ("crop", [], "1"))
    push(store, new)
    preview = generate_lock_file(store, "metaxy.lock", exclude_project="ours", dry_run=True)
    result = generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    assert preview == result
    versions = (old.get_feature_version("crop"), new.get_feature_version("crop"))
    assert result.updated == [FeatureUpdate("media", "crop", *versions, metadata_only=False)]
    assert [change.key for change in result.removed] == ["video"]
    assert not generate_lock_file(store, "metaxy.lock", exclude_project="ours").changed


def test_information_that_changes_no_version_is_an_update(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    described = define("media", *MEDIA[:1])
    spec = define("media", *MEDIA).get_feature_definition("crop").spec.model_copy(update={"description": "cut"})
    described.add_feature_definition(
        mx.FeatureDefinition.from_stored_data(spec.model_dump(mode="json"), {}, "a.crop", "media")
    )
    push(store, described)
    [update] = generate_lock_file(store, "metaxy.lock", exclude_project="ours").updated
    assert (update.key, update.metadata_only, update.old_version) == ("crop", True, update.new_version)


def test_selected_features_are_locked_too(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    for selection in (mx.FeatureSelection(keys=["unused", "faces"]), mx.FeatureSelection(projects=["media", "ours"])):
        result = generate_lock_file(store, "all.lock", exclude_project="ours", selection=selection)
        assert result.count == 3
    whole = ours.copy()
    for definition in define("media", *MEDIA).feature_definitions_by_key.values():
        whole.add_feature_definition(definition)
    push(store, whole, "ours")
    everything = mx.FeatureSelection(all=True)
    assert generate_lock_file(store, "all.lock", exclude_project="ours", selection=everything).count == 3


def test_nothing_needed_is_an_empty_file(store: DuckDBMetadataStore) -> None:
    push(store, define("media", *MEDIA))
    assert generate_lock_file(store, "metaxy.lock").count == 0
    assert LockFile.read(Path("metaxy.lock")) == LockFile()


def test_missing_features_are_named(ours: FeatureGraph, folder: Path) -> None:
    empty = DuckDBMetadataStore(folder / "empty.duckdb", auto_create_tables=True)
    with empty.open("w"):
        pass
    with pytest.raises(FeatureNotFoundError, match=r"not found in metadata store .*: crop; push") as caught:
        generate_lock_file(empty, "metaxy.lock", exclude_project="ours")
    assert caught.value.keys == [mx.FeatureKey("crop")]
    assert not Path("metaxy.lock").exists()


def test_a_feature_whose_parent_moved_on_must_be_pushed_again(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    push(store, define("media", ("video", [], "9")))
    with pytest.raises(MetaxyInvariantViolationError, match=r"feature crop was pushed with version .* 'media' again"):
        generate_lock_file(store, "metaxy.lock", exclude_project="ours")


def test_drift_is_a_warning(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    path = Path("metaxy.lock")
    path.write_text(
        path.read_text(encoding="utf-8").replace('code_version = "1"', 'code_version = "7"'), encoding="utf-8"
    )
    with (
        FeatureGraph().use(),
        pytest.warns(ExternalFeatureVersionMismatchWarning, match=r"metaxy\.lock .*crop: locked"),
    ):
        init()


def test_other_hash_lengths_are_no_drift(ours: FeatureGraph, store: DuckDBMetadataStore, write: Write) -> None:
    generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    write("metaxy.toml", 'project = "ours"\nentrypoints = ["ours"]\nhash_truncation_length = 8')
    with FeatureGraph().use() as graph:
        init()
        assert len(graph.get_feature_version("crop")) == 8


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("features = 3", "features"),
        ("[features.a.info]\nnope = 1", "features.a"),
        ("not toml", "line 1"),
        ("[nope]", "nope"),
    ],
)
def test_a_malformed_file_says_what_to_do(write: Write, text: str, problem: str) -> None:
    write("metaxy.toml", "")
    write("metaxy.lock", text)
    with pytest.raises(InvalidConfigError, match=r"^metaxy.lock: not a lock file: .*`mx lock`") as caught:
        init()
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_malformed_old_file_is_replaced(ours: FeatureGraph, store: DuckDBMetadataStore, write: Write) -> None:
    write("metaxy.lock", "broken")
    with pytest.warns(LockFileMissingWarning, match="metaxy.lock"):
        assert len(generate_lock_file(store, "metaxy.lock", exclude_project="ours").added) == 2
    assert len(LockFile.read(Path("metaxy.lock")).features) == 2


def test_only_a_configured_file_must_exist(write: Write) -> None:
    write("metaxy.toml", "")
    init()
    write("metaxy.toml", 'metaxy_lock_path = "my.lock"')
    with pytest.warns(LockFileMissingWarning, match="my.lock of metaxy_lock_path does not exist"):
        init()
    assert MetaxyConfig.get().lock_file == Path.cwd() / "my.lock"


def test_own_definitions_win_over_locked_ones(ours: FeatureGraph, store: DuckDBMetadataStore, write: Write) -> None:
    generate_lock_file(store, "metaxy.lock", exclude_project="ours")
    write(
        "more.py",
        OURS.replace("Faces", "Crop").replace('key="faces"', 'key="crop"').replace('"crop"], f', '"video"], f'),
    )
    write("metaxy.toml", 'project = "ours"\nentrypoints = ["ours", "more"]')
    with FeatureGraph().use() as graph:
        init()
        assert not graph.get_feature_definition("crop").is_external


def test_a_file_that_cannot_be_written(ours: FeatureGraph, store: DuckDBMetadataStore) -> None:
    with pytest.raises(InvalidConfigError, match="cannot write the lock file: No such file"):
        generate_lock_file(store, "nowhere/metaxy.lock", exclude_project="ours")
