"""What users import: the public names, and the import paths of metaxy 0.1."""

import ast
import importlib
import pickle
import subprocess
import sys
from types import ModuleType

import pytest
from tests.architecture.tree import modules

import metaxy as mx
from metaxy import _lazy, _moved
from metaxy.errors import MovedMetadataStoreWarning

# Old path → a name that users take from it, and where that is now.
OLD_NAMES = {
    "metaxy._exceptions": ("ExternalFeatureVersionMismatchError", "metaxy.errors"),
    "metaxy._hashing": ("HashAlgorithm", "metaxy.hashing"),
    "metaxy._packaging": ("detect_project_from_package", "metaxy.feature"),
    "metaxy._version": ("__version__", "metaxy"),
    "metaxy._warnings": ("MovedMetadataStoreWarning", "metaxy.errors"),
    "metaxy.entrypoints": ("load_env_entrypoints", "metaxy.project.entrypoints"),
    "metaxy.ext.dagster.utils": ("build_metaxy_partition_filter", "metaxy.ext.dagster.partitions"),
    "metaxy.ext.ibis.metadata_store": ("IbisMetadataStoreConfig", "metaxy.ext.ibis"),
    "metaxy.metadata_store.ibis": ("IbisMetadataStore", "metaxy.ext.ibis"),
    "metaxy.ext.metadata_stores.delta": ("DeltaMetadataStore", "metaxy.ext.delta"),
    "metaxy.ext.metadata_stores.clickhouse": ("ClickHouseMetadataStore", "metaxy.ext.clickhouse"),
    "metaxy.ext.metadata_stores.iceberg": ("TableIdentifier", "metaxy.ext.iceberg"),
    "metaxy.ext.metadata_stores.lancedb": ("LanceDBMetadataStoreConfig", "metaxy.ext.lancedb"),
    "metaxy.ext.metadata_stores.postgresql": ("PostgreSQLMetadataStore", "metaxy.ext.postgresql"),
    "metaxy.ext.metadata_stores.duckdb": ("ExtensionSpec", "metaxy.ext.duckdb"),
    "metaxy.ext.metadata_stores.ducklake": ("DuckLakeConfig", "metaxy.ext.ducklake"),
    "metaxy.ext.polars": ("DeltaMetadataStoreConfig", "metaxy.ext.delta"),
    "metaxy.ext.polars.handlers.delta": ("DeltaMetadataStore", "metaxy.ext.delta"),
    "metaxy.ext.polars.handlers.iceberg": ("IcebergMetadataStore", "metaxy.ext.iceberg"),
    "metaxy.graph.describe": ("describe_graph", "metaxy.dag.describe"),
    "metaxy.graph.diff": ("GraphDiffer", "metaxy.compat.snapshots"),
    "metaxy.graph.diff.diff_models": ("NodeChange", "metaxy.compat.diffs"),
    "metaxy.graph.diff.differ": ("SnapshotResolver", "metaxy.compat.snapshots"),
    "metaxy.graph.diff.rendering": ("CardsRenderer", "metaxy.dag.render.cards"),
    "metaxy.graph.diff.rendering.formatter": ("DiffFormatter", "metaxy.compat.diffs"),
    "metaxy.graph.status": ("get_feature_metadata_status", "metaxy.store.status"),
    "metaxy.graph.utils": ("sanitize_mermaid_id", "metaxy.dag.render.labels"),
    "metaxy.metadata_store": ("FeatureNotFoundError", "metaxy.errors"),
    "metaxy.metadata_store.base": ("VersioningEngineOptions", "metaxy.store.config"),
    "metaxy.metadata_store.exceptions": ("VersioningEngineMismatchError", "metaxy.errors"),
    "metaxy.metadata_store.fallback": ("FallbackStoreList", "metaxy.store.fallback"),
    "metaxy.metadata_store.system": ("SystemTableStorage", "metaxy"),
    "metaxy.metadata_store.system.storage": ("SystemTableStorage", "metaxy"),
    "metaxy.metadata_store.types": ("AccessMode", "metaxy"),
    "metaxy.metadata_store.utils": ("narwhals_expr_to_sql_predicate", "metaxy.compat.ibis"),
    "metaxy.metadata_store.warnings": ("PolarsMaterializationWarning", "metaxy.errors"),
    "metaxy.models.bases": ("VersioningEngineMismatchError", "metaxy.errors"),
    "metaxy.models.constants": ("METAXY_PROVENANCE", "metaxy.columns"),
    "metaxy.models.feature": ("MetaxyMeta", "metaxy.feature"),
    "metaxy.models.feature_definition": ("FeatureDefinition", "metaxy"),
    "metaxy.models.feature_selection": ("FeatureSelection", "metaxy"),
    "metaxy.models.feature_spec": ("FeatureDep", "metaxy"),
    "metaxy.models.field": ("FieldSpec", "metaxy"),
    "metaxy.models.fields_mapping": ("SpecificFieldsMapping", "metaxy.definitions.mapping"),
    "metaxy.models.filter_expression": ("parse_filter_string", "metaxy.definitions.filters"),
    "metaxy.models.lineage": ("AggregationRelationship", "metaxy.definitions.lineage"),
    "metaxy.models.plan": ("FQFieldKey", "metaxy.dag.plan"),
    "metaxy.models.types": ("FeatureKey", "metaxy"),
    "metaxy.utils": ("collect_to_polars", "metaxy.versioning.frames"),
    "metaxy.utils.exceptions": ("MetaxyError", "metaxy.errors"),
    "metaxy.utils.external_features": ("sync_external_features", "metaxy"),
    "metaxy.utils.lock_file": ("generate_lock_file", "metaxy.project.lock"),
    "metaxy.versioning.types": ("PolarsIncrement", "metaxy"),
}
# What the old module beside the default graph has.
GRAPH_NAMES = [
    ("BaseRenderer", "metaxy.dag.render.renderer"),
    ("CardsRenderer", "metaxy.dag.render.cards"),
    ("GraphData", "metaxy.dag.view"),
    ("GraphvizRenderer", "metaxy.dag.render.graphviz"),
    ("MermaidRenderer", "metaxy.dag.render.mermaid"),
    ("RenderConfig", "metaxy.dag.render.config"),
    ("TerminalRenderer", "metaxy.dag.render.terminal"),
    ("describe_graph", "metaxy.dag.describe"),
    ("get_feature_dependencies", "metaxy.compat.functions"),
    ("get_feature_dependents", "metaxy.compat.functions"),
]
# More names of paths with several targets.
MORE = [
    ("metaxy.entrypoints", "EntrypointLoadError", "metaxy.errors"),
    ("metaxy.metadata_store", "AccessMode", "metaxy"),
    ("metaxy.metadata_store", "FEATURE_VERSIONS_KEY", "metaxy.store.system.tables"),
    ("metaxy.metadata_store", "MetadataStore", "metaxy"),
    ("metaxy.metadata_store.base", "MetadataStore", "metaxy"),
    ("metaxy.metadata_store.base", "MetadataStoreConfig", "metaxy.store.config"),
    ("metaxy.metadata_store.system", "FEATURE_VERSIONS_KEY", "metaxy.store.system.tables"),
    ("metaxy.metadata_store.system", "FeatureVersionsModel", "metaxy.store.system.records"),
    ("metaxy.models.feature", "FeatureGraph", "metaxy"),
    ("metaxy.models.feature", "SerializedFeature", "metaxy.dag.snapshot"),
    ("metaxy.models.feature", "graph", "metaxy.dag.graph"),
    ("metaxy.models.feature_spec", "FeatureSpec", "metaxy"),
    ("metaxy.models.feature_spec", "IDColumns", "metaxy"),
    ("metaxy.models.filter_expression", "FilterParseError", "metaxy.errors"),
    ("metaxy.models.types", "KEY_SEPARATOR", "metaxy.definitions.keys"),
    ("metaxy.models.types", "PushResult", "metaxy.dag.snapshot"),
    *[("metaxy.graph", name, home) for name, home in GRAPH_NAMES],
    *[("metaxy.graph.diff", name, "metaxy.dag.view") for name in ("EdgeData", "FieldNode", "GraphData", "GraphNode")],
    ("metaxy.graph.diff", "NodeStatus", "metaxy.dag.view"),
    ("metaxy.graph.diff", "GraphWalker", "metaxy.dag.focus"),
    *[
        ("metaxy.graph.diff.diff_models", name, "metaxy.compat.diffs")
        for name in ("AddedNode", "FieldChange", "GraphDiff")
    ],
    ("metaxy.graph.diff.rendering", "Theme", "metaxy.dag.render.config"),
    ("metaxy.graph.diff.rendering", "render_field_deps_mermaid", "metaxy.compat.functions"),
    ("metaxy.graph.status", "count_lazy_rows", "metaxy.versioning.frames"),
    ("metaxy.graph.status", "format_sample_previews", "metaxy.store.status"),
    ("metaxy.graph.utils", "format_hash", "metaxy.dag.render.labels"),
    *[("metaxy.graph.utils", f"format_{what}", "metaxy.compat.functions") for what in ("feature_key", "field_key")],
    *[("metaxy._hashing", name, "metaxy.compat.functions") for name in ("ensure_hash_compatibility", "truncate_hash")],
    ("metaxy.models.constants", "is_droppable_system_column", "metaxy.compat.functions"),
    ("metaxy.utils", "BufferedMetadataWriter", "metaxy"),
    ("metaxy.utils", "collect_to_arrow", "metaxy.versioning.frames"),
    ("metaxy.versioning.types", "HashAlgorithm", "metaxy"),
]


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    return result.stdout


# -- public names ------------------------------------------------------------------------------------------------------


def test_all_is_sorted() -> None:
    assert mx.__all__ == sorted(mx.__all__)


@pytest.mark.parametrize("name", mx.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(mx, name)
    assert value is getattr(mx, name)
    assert name in dir(mx)


def test_type_checkers_see_the_same_names() -> None:
    tree = next(module.tree for module in modules() if module.name == "metaxy")
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    homes = vars(mx)["_HOMES"]
    assert {name: resolved_in(home) for name, home in homes.items()} == {
        name: resolved_in(str(home)) for name, home in seen.items()
    }
    assert set(seen) - {"public"} == set(mx.__all__) - {"__version__"}


def resolved_in(home: str) -> ModuleType:
    return importlib.import_module(home)


def test_the_version_is_that_of_the_package() -> None:
    assert mx.__version__ == importlib.import_module("importlib.metadata").version("metaxy")


def test_unknown_names_are_attribute_errors() -> None:
    name = "FeatureSpce"
    with pytest.raises(AttributeError, match="module 'metaxy' has no attribute 'FeatureSpce'"):
        getattr(mx, name)


def test_everything_can_be_imported_at_once() -> None:
    assert run("from metaxy import *; print(BaseFeature.__name__, graph is current_graph())") == "BaseFeature True\n"


def test_marks() -> None:
    assert vars(mx.experimental(type("A", (), {})))["__metaxy_experimental__"] is True
    assert vars(vars(mx)["_load"]("public")(type("B", (), {})))["__metaxy_public__"] is True


# -- old paths ---------------------------------------------------------------------------------------------------------


def test_every_old_path_is_tested() -> None:
    empty = {path for path, targets in _moved.MOVED.items() if not targets}
    assert OLD_NAMES.keys() | empty | {"metaxy.graph"} == _moved.MOVED.keys()
    assert list(_moved.MOVED) == sorted(_moved.MOVED)


def test_old_paths_are_no_files() -> None:
    assert {module.name for module in modules()} & _moved.MOVED.keys() == set()


def test_all_targets_exist() -> None:
    assert {target for targets in _moved.MOVED.values() for target in targets if not _lazy.resolve(target)} == set()


@pytest.mark.filterwarnings("ignore::metaxy.errors.MovedMetadataStoreWarning")
@pytest.mark.parametrize(("path", "name", "home"), [(path, *place) for path, place in OLD_NAMES.items()] + MORE)
def test_old_names_are_the_same_objects(path: str, name: str, home: str) -> None:
    module = importlib.import_module(path)
    assert module.__name__ == path
    assert getattr(module, name) is getattr(importlib.import_module(home), name)
    assert name in dir(module)


@pytest.mark.parametrize("path", _moved.MOVED)
def test_unknown_names_in_old_paths(path: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{path}' has no attribute 'nonsense'"):
        _ = importlib.import_module(path).nonsense


def test_old_modules_need_no_import_of_their_own() -> None:
    code = "import metaxy as mx; print(mx.metadata_store.warnings.PolarsMaterializationWarning.__module__)"
    assert run(code) == "metaxy.errors\n"


def test_unknown_old_paths() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("metaxy.models.nonsense")


@pytest.mark.parametrize(
    "statement",
    [
        "import metaxy.graph",
        "from metaxy.graph import list_features",
        "import metaxy.models.feature",
        "import metaxy.dag.graph",
    ],
)
def test_the_default_graph_stays_what_it_is(statement: str) -> None:
    code = f"{statement}\nimport metaxy as mx\nfrom metaxy.dag.graph import graph\nprint(mx.graph is graph)"
    assert run(code) == "True\n"


def test_the_old_graph_module_forwards_to_the_graph() -> None:
    assert importlib.import_module("metaxy.graph").list_features == mx.graph.list_features


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, (name, _) in OLD_NAMES.items() if path in _moved.DEPRECATED]
)
def test_deprecated_paths_warn_where_they_are_used(path: str, name: str) -> None:
    module = importlib.import_module(path)
    with pytest.warns(MovedMetadataStoreWarning, match=rf"{path}.{name} has moved; import it from metaxy.ext") as seen:
        getattr(module, name)
    assert seen[0].filename == __file__


def test_pickles_that_name_old_paths_can_be_read() -> None:
    for path, name in (("metaxy.models.types", "FeatureKey"), ("metaxy._hashing", "HashAlgorithm")):
        assert pickle.loads(f"c{path}\n{name}\n.".encode()) is getattr(mx, name)


def test_old_paths_load_nothing_until_a_name_is_used() -> None:
    loaded = run("import metaxy.metadata_store.base, sys; print('polars' in sys.modules, 'pydantic' in sys.modules)")
    assert loaded == "False False\n"


def test_install_adds_one_finder() -> None:
    _moved.install()
    assert sum(isinstance(finder, _moved.MovedFinder) for finder in sys.meta_path) == 1
