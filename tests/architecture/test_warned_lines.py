"""Each warning blames the line of the user that led to it, however deep it is given."""

import linecache
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.architecture.test_warnings import CLASSES

import metaxy as mx
from metaxy import errors
from metaxy.content.places import Opened
from metaxy.content.reading import Recipe, versions_of_files
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import InvalidConfigError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.ibis import IbisMetadataStore
from metaxy.project.lock import generate_lock_file
from metaxy.store.external import sync_external_features
from metaxy.store.store import MetadataStore
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import FEATURE_VERSIONS_KEY

Scenario = Callable[[MetadataStore], Any]
SCENARIOS: list[tuple[str, Scenario]] = []


def gives(warning: str) -> Callable[[Scenario], Scenario]:
    """Mark a scenario; the line that the warning must blame ends with `# here`."""

    def mark(scenario: Scenario) -> Scenario:
        SCENARIOS.append((warning, scenario))
        return scenario

    return mark


@pytest.fixture(autouse=True)
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mx.FeatureGraph]:
    monkeypatch.chdir(tmp_path)
    with mx.FeatureGraph().use() as graph:
        yield graph
    mx.MetaxyConfig.reset()


@pytest.fixture
def store(graph: mx.FeatureGraph) -> Iterator[MetadataStore]:
    with DuckDBMetadataStore(":memory:", auto_create_tables=True).open("w") as store:
        yield store


def spec(key: str, *deps: str, **options: Any) -> mx.FeatureSpec:
    return mx.FeatureSpec(key=key, id_columns=["id"], deps=list(deps), **options)


def place(key: str, *deps: str, **options: Any) -> None:
    external = FeatureDefinition.external(spec=spec(key, *deps, **options), project="theirs")
    mx.FeatureGraph.get_active().add_feature_definition(external)


def rows(**members: str) -> pl.DataFrame:
    return pl.DataFrame([{"id": "a", "metaxy_provenance_by_field": {"default": "1", **members}}])


def push(store: MetadataStore, *keys: str) -> None:
    """Push roots of a project of their own."""
    with mx.FeatureGraph().use():
        for key in keys:
            type("Pushed", (mx.BaseFeature,), {"__metaxy_project__": "theirs"}, spec=spec(key))
        SystemTableStorage(store).push_graph_snapshot()


# -- definitions and configuration -------------------------------------------------------------------------------------


@gives("DefinitionWarning")
def _a_class_that_breaks_another(store: MetadataStore) -> None:
    class Up(mx.BaseFeature, spec=spec("up", fields=["audio"])):
        id: str

    field = mx.FieldSpec(key="z", deps=[mx.FieldDep(feature="up", fields=["audio"])])

    class Down(mx.BaseFeature, spec=spec("down", "up", fields=[field])):
        id: str

    class Up(mx.BaseFeature, spec=spec("up")):  # type: ignore[no-redef]  # noqa: F811  # here
        id: str


@gives("DefinitionWarning")
def _a_class_without_its_id_column(store: MetadataStore) -> None:
    class Up(mx.BaseFeature, spec=spec("up")):  # here
        path: str


@gives("DefinitionWarning")
def _a_stored_definition(store: MetadataStore) -> None:
    wrong = {**spec("up").model_dump(mode="json"), "fields": []}
    FeatureDefinition.from_stored_data(wrong, {}, None, "theirs")  # here


@gives("CodeVersionWarning")
def _a_stored_code_version(store: MetadataStore) -> None:
    wrong = {**spec("up").model_dump(mode="json"), "fields": [{"key": "x", "code_version": "1|2"}]}
    entry = {"feature_spec": wrong, "feature_schema": {}, "feature_class_path": None, "project": "theirs"}
    mx.FeatureGraph.from_snapshot({"up": entry})  # here


@gives("MovedMetadataStoreWarning")
def _an_old_path(store: MetadataStore) -> None:
    from metaxy.ext.metadata_stores.delta import DeltaMetadataStore  # type: ignore[import-not-found]  # noqa: F401  # here


@gives("MovedMetadataStoreWarning")
def _an_old_path_in_a_configuration(store: MetadataStore) -> None:
    path = "metaxy.ext.metadata_stores.duckdb.DuckDBMetadataStore"
    mx.MetaxyConfig(stores={"dev": mx.StoreConfig(type=path, config={"database": "a.db"})}).get_store("dev")  # here


@gives("ConfigNotSetWarning")
def _no_configuration(store: MetadataStore) -> None:
    mx.MetaxyConfig.get()  # here


@gives("ConfigNotSetWarning")
def _no_configuration_for_a_fallback(store: MetadataStore) -> None:
    options = DuckDBMetadataStore.config_model()(database=":memory:", fallback_stores=["far"])
    DuckDBMetadataStore.from_config(options)  # here


@gives("IncompleteStoreConfigWarning")
def _a_store_without_a_type(store: MetadataStore) -> None:
    mx.MetaxyConfig(stores={"dev": {"database": "a.db"}})  # here


@gives("IncompleteStoreConfigWarning")
def _a_file_with_a_store_without_a_type(store: MetadataStore) -> None:
    Path("metaxy.toml").write_text("[stores.dev]\ndatabase = 'a.db'", encoding="utf-8")
    mx.init("metaxy.toml")  # here


@gives("LockFileMissingWarning")
def _no_lock_file(store: MetadataStore) -> None:
    Path("metaxy.toml").write_text('metaxy_lock_path = "my.lock"', encoding="utf-8")
    mx.init("metaxy.toml")  # here


@gives("LockFileMissingWarning")
def _a_broken_lock_file(store: MetadataStore) -> None:
    push(store, "up")
    place("up")
    Path("metaxy.lock").write_text("broken", encoding="utf-8")
    generate_lock_file(store, "metaxy.lock", exclude_project="mine")  # here


# -- stores ------------------------------------------------------------------------------------------------------------


@gives("ExternalFeatureVersionMismatchWarning")
def _another_version(store: MetadataStore) -> None:
    push(store, "up")
    place("up", fields=["other"])
    sync_external_features(store)  # here


@gives("ExternalFeatureVersionMismatchWarning")
def _another_version_when_reading(store: MetadataStore) -> None:
    push(store, "up")
    with mx.FeatureGraph().use():
        place("up")
        store.write("up", rows())
    place("up", fields=["other"])
    store.read("up")  # here


@gives("UnresolvedExternalFeatureWarning")
def _an_unknown_feature(store: MetadataStore) -> None:
    place("up")
    sync_external_features(store)  # here


@gives("InvalidStoredFeatureWarning")
def _a_broken_row(store: MetadataStore) -> None:
    push(store, "up")
    version = SystemTableStorage(store).read_graph_snapshots()["metaxy_project_version"][0]
    broken = store.read(FEATURE_VERSIONS_KEY).collect().to_polars().with_columns(feature_spec=pl.lit("{"))
    store.write(FEATURE_VERSIONS_KEY, broken.with_columns(pl.col("recorded_at").dt.offset_by("1s")))
    SystemTableStorage(store).load_graph_from_snapshot(version)  # here


@gives("ExtraProvenanceFieldWarning")
def _an_unknown_member(store: MetadataStore) -> None:
    place("up")
    store.write("up", rows(other="2"))  # here


@gives("ExtraProvenanceFieldWarning")
def _an_unknown_member_of_several(store: MetadataStore) -> None:
    place("up")
    store.write_multi({"up": rows(other="2")})  # here


@gives("UntypedColumnWarning")
def _empty_lists(store: MetadataStore) -> None:
    place("up")
    store.write("up", rows().with_columns(tags=pl.lit([])))  # here


@gives("EmptySamplesWarning")
def _no_samples(store: MetadataStore) -> None:
    place("up")
    store.write("up", rows())
    store.resolve_update("up", samples=rows().head(0))  # here


@gives("DriftedSamplesWarning")
def _samples_of_another_payload(store: MetadataStore) -> None:
    place("up")
    store.write("up", rows().with_columns(path=pl.lit("x")))
    store.resolve_update("up", samples=rows().with_columns(path=pl.lit("y")), payload="warn")  # here


@gives("DeclaredColumnsWarning")
def _a_column_that_is_declared_and_missing(store: MetadataStore) -> None:
    class Up(mx.BaseFeature, spec=mx.FeatureSpec(key="up", id_columns=["id"])):
        id: str
        path: str

    store.write(Up, rows())  # here


@gives("MetaxyColumnMissingWarning")
def _no_provenance(store: MetadataStore) -> None:
    place("up")
    place("down", "up")
    store.write("down", rows())  # here


@gives("IgnoredOptionWarning")
def _an_option_of_old(store: MetadataStore) -> None:
    place("up")
    store.resolve_update("up", samples=rows(), target_version="1")  # type: ignore[call-overload]  # here


def _with_a_fallback(versioning_engine: Any = "auto", fallback: Any = "tables") -> MetadataStore:
    far = DuckDBMetadataStore("far.db", auto_create_tables=True)
    place("up")
    place("down", "up")
    with far.open("w"):
        far.write("up", rows())
    return DuckDBMetadataStore(
        ":memory:", fallback_stores=[far], fallback=fallback, versioning_engine=versioning_engine
    )


@gives("RowsBelowWarning")
def _a_hard_delete_over_others(store: MetadataStore) -> None:
    above = _with_a_fallback(fallback="rows")
    with above.open("w"):
        above.delete("up", everything=True, soft=False)  # here


@gives("ContentCacheWarning")
def _a_cache_that_is_gone(_: MetadataStore) -> None:
    Path("file").write_text("x")

    def digest(opened: Opened) -> str:
        Path("cache").unlink()
        Path("cache").mkdir()
        return opened.name

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("metaxy.content.cache.RACY", -(10**18))  # what is just written is remembered, too
        versions_of_files(["file"], Recipe("test", digest), cache="cache")  # here


@gives("RenameWarning")
def _rows_under_an_old_key(store: MetadataStore) -> None:
    place("old")
    store.write("old", rows())
    mx.FeatureGraph.get_active().remove_feature("old")
    place("new", renamed_from="old")
    store.write("new", rows())  # here


@gives("PolarsMaterializationWarning")
def _rows_of_a_fallback(store: MetadataStore) -> None:
    with _with_a_fallback() as near:
        near.resolve_update("down")  # here


@gives("PolarsMaterializationWarning")
def _rows_of_a_fallback_lazily(store: MetadataStore) -> None:
    with _with_a_fallback("native") as near:
        near.resolve_update("down", lazy=True)  # here


@gives("PolarsMaterializationWarning")
def _a_database_that_is_not_known(store: MetadataStore) -> None:
    with suppress(InvalidConfigError), IbisMetadataStore(backend="polars"):  # here
        pass


# -- the test ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("warning", "scenario"), SCENARIOS, ids=[scenario.__name__ for _, scenario in SCENARIOS])
def test_a_warning_blames_the_line_of_the_user(warning: str, scenario: Scenario, store: MetadataStore) -> None:
    active = nullcontext() if warning == "ConfigNotSetWarning" else mx.MetaxyConfig().use()
    with active, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        scenario(store)
    found = [each for each in seen if each.category is getattr(errors, warning)]
    assert found
    for each in found:
        line = linecache.getline(each.filename, each.lineno).rstrip()
        assert (each.filename, line[-6:]) == (__file__, "# here"), f"{each.filename}:{each.lineno}: {line}"


def test_each_warning_is_tried() -> None:
    assert {name for name, _ in SCENARIOS} == CLASSES - {"MetaxyWarning"}
