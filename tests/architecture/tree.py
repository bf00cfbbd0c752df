"""The source of the package as syntax trees, for the tests of this folder."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Module:
    name: str
    """Dotted, such as `metaxy.storage.codec`."""
    path: Path
    text: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        """The module or package right below `metaxy`, `metaxy` for the root."""
        return ".".join(self.name.split(".")[1:2]) or "metaxy"

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted((SOURCE / "metaxy").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Module(name, path, text, ast.parse(text)))
    return tuple(found)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def imported_names(node: ast.AST) -> list[str]:
    """Return what an import statement imports, dotted: modules, or names in modules."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def imports(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield what is imported below a node when the code runs; what only type checkers see is left out."""
    for child in ast.iter_child_nodes(node):
        yield from ((name, child) for name in imported_names(child))
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (found for other in child.orelse for found in imports(other))
        else:
            yield from imports(child)


def imported_modules(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield the modules of the package that a module imports, or that only its types need."""
    names = {other.name for other in modules()}
    for node in ast.walk(module.tree):
        for target in imported_names(node):
            if target == "metaxy" or target.startswith("metaxy."):
                yield target if target in names else target.rpartition(".")[0], node
