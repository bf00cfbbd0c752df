"""Who may import whom. `docs/architecture.md` explains the same table to people."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

from tests.architecture.tree import functions, imported_modules, imported_names, imports, modules

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"

# Lowest first. A module may import its own layer and those above it in this list.
LAYERS = (
    (
        "errors",
        "columns",
        "hashing",
        "environment",
        "settings",
        "context",
        "masking",
        "notebook",
        "printable",
        "progress",
        "wording",
        "_lazy",
        "_markers",
        "_old_names",
    ),
    ("definitions",),
    ("dag",),
    ("versioning",),
    ("storage",),
    ("workers",),
    ("content",),
    ("feature",),
    ("store",),
    ("config",),
    ("process",),
    ("project",),
    ("service",),
    ("metaxy", "_moved"),
    ("ext",),
    ("compat",),
    ("demo",),
    ("ui",),
    ("cli",),
    ("testing",),
)
RANK = {folder: rank for rank, layer in enumerate(LAYERS) for folder in layer}

# Faces parse, ask the service, and show; how rows, graphs and tables work is none of their business.
FACES = ("metaxy.cli", "metaxy.ui", "metaxy.ext.dagster", "metaxy.ext.mcp")
BEHIND_THE_SERVICE = {"dag", "versioning", "storage", "workers", "store"}

# Versions from bytes know nothing of features, and what versions features has no need of bytes.
USERS_OF_CONTENT = {"service", "metaxy", "demo", "cli"}

# Clients of databases and platforms: optional, so only adapters may import them.
BACKENDS = {
    *("chdb", "clickhouse_connect", "dagster", "deltalake", "duckdb", "fastmcp", "google", "ibis", "lancedb", "mcp"),
    *("psycopg", "pyiceberg", "pyspark", "ray", "sqlalchemy", "sqlglot", "sqlmodel"),
}


def test_every_module_has_a_layer() -> None:
    assert {module.folder for module in modules()} <= RANK.keys()


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module.at(node)}: {module.folder} imports {target}"
        for module in modules()
        for target, node in imported_modules(module)
        if RANK[folder_of(target)] > RANK[module.folder]
    ]
    assert wrong == []


def test_content_is_a_side_branch() -> None:
    assert [
        f"{module.at(node)}: {module.folder} imports {target}"
        for module in modules()
        for target, node in imported_modules(module)
        if folder_of(target) != module.folder
        if (module.folder == "content" and RANK[folder_of(target)])
        or (folder_of(target) == "content" and module.folder not in USERS_OF_CONTENT)
    ] == []


def test_faces_ask_the_service() -> None:
    wrong = [
        f"{module.at(node)}: {target}"
        for module in modules()
        if f"{module.name}.".startswith(tuple(f"{face}." for face in FACES))
        for target, node in imported_modules(module)
        if folder_of(target) in BEHIND_THE_SERVICE
    ]
    assert wrong == []


def test_the_service_prints_nothing_and_asks_nobody() -> None:
    forbidden = {"print", "input", "sys.stdout", "sys.stderr", "sys.stdin", "sys.exit"}
    assert [
        module.at(node)
        for module in modules()
        if module.folder == "service"
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in forbidden
    ] == []


def test_imports_have_no_cycles() -> None:
    graph = {module.name: {target for target, _ in imported_modules(module)} - {module.name} for module in modules()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


# What users call without naming a hash length, a graph or a project: in these layers all else has them as arguments.
FACADE = {
    *("code_version", "feature_spec_version", "feature_definition_version"),
    *("get_active", "set_active", "use", "project_version", "list_features", "_length"),
}


def test_only_the_facade_asks_what_is_active() -> None:
    asking = {
        (module.folder, function.name)
        for module in modules()
        if module.folder in ("definitions", "dag", "versioning", "storage")
        for function in functions(module)
        for node in ast.walk(function)
        if ast.unparse(node).startswith("context.")
    }
    assert {name for _, name in asking} == FACADE
    assert {folder for folder, _ in asking} == {"definitions", "dag"}


def test_imports_are_absolute() -> None:
    assert [
        module.at(node) for module in modules() for target, node in imports(module.tree) if target.startswith(".")
    ] == []


def test_no_import_of_the_package_inside_a_function() -> None:
    assert [
        module.at(node)
        for module in modules()
        for function in functions(module)
        for node in ast.walk(function)
        if imports_metaxy(node)
    ] == []


def test_only_adapters_import_backends() -> None:
    wrong = [
        f"{module.at(node)}: {target}"
        for module in modules()
        for target, node in imports(module.tree)
        if target.split(".")[0] in BACKENDS and module.folder not in ("ext", "compat", "demo")
    ]
    assert wrong == []


def test_document_shows_these_layers() -> None:
    rows = re.findall(r"^\| \d+ \| (.+?) \|", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(tuple(re.findall(r"`(\w+)`", row)) for row in rows) == LAYERS


def folder_of(target: str) -> str:
    return ".".join(target.split(".")[1:2]) or "metaxy"


def imports_metaxy(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        return any(isinstance(argument, ast.Constant) and "metaxy" in str(argument.value) for argument in node.args)
    return any(name.split(".")[0] == "metaxy" for name in imported_names(node))
