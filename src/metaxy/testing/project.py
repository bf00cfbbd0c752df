"""A project in a temporary folder: its configuration, modules with features, and the command line."""

import ast
import contextvars
import inspect
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import invalidate_caches
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import tomli_w
from pydantic_core import to_jsonable_python
from typing_extensions import Self

from metaxy import context
from metaxy.cli.app import main
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.project.entrypoints import load_entrypoints
from metaxy.store.store import MetadataStore
from metaxy.testing.environment import env_override, no_metaxy_variables

Features = Callable[[], object] | str
CONFIG_NAME: Final = "metaxy.toml"


@dataclass(frozen=True)
class CliResult:
    """What a command left behind."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class TempMetaxyProject:
    """A project in a folder: ``metaxy.toml``, and modules that define features.

    The variables of the environment that configure Metaxy play no part.

    Args:
        path: The folder, such as pytest's ``tmp_path``; created if it is missing.
        features: Code of the first module, see `with_features`.
        project: Name of the project, and of the package that its modules are in.
        stores: Stores by name, as in ``metaxy.toml``; a DuckDB file named ``dev`` by default.
        settings: More keys of ``metaxy.toml``.

    >>> def features():
    ...     import metaxy as mx
    ...
    ...     class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])):
    ...         id: str
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     TempMetaxyProject(folder, features).graph.list_features()
    [video]
    """

    def __init__(
        self,
        path: str | Path,
        features: Features | None = None,
        *,
        project: str = "test_project",
        stores: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.path = Path(path).resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        duckdb = {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(self.path / "store.duckdb")}
        self._settings: dict[str, Any] = {
            "project": project,
            "entrypoints": [],
            "auto_create_tables": True,
            **settings,
            "stores": {"dev": duckdb} if stores is None else stores,
        }
        self._package = project.replace("-", "_")
        self._write(f"{self._package}/__init__.py", f"__metaxy_project__ = {project!r}\n")
        self._write_config()
        if features is not None:
            self.with_features(features)

    def with_features(self, features: Features, module: str = "features") -> Self:
        """Write a module that defines features; writing it again replaces it, as an edit does.

        Args:
            features: A function whose body becomes the module, so it must import what it uses; or the text itself.
            module: Name of the module in the project's package.
        """
        name = f"{self._package}.{module}"
        self._write(f"{name.replace('.', '/')}.py", dedent(features) if isinstance(features, str) else _body(features))
        if name not in self._settings["entrypoints"]:
            self._settings["entrypoints"] = [*self._settings["entrypoints"], name]
            self._write_config()
        return self

    def _write_config(self) -> None:
        self._write(CONFIG_NAME, tomli_w.dumps(to_jsonable_python(self._settings)))

    def _write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    @property
    def config(self) -> MetaxyConfig:
        """The configuration, read from its file now; it does not become the active one."""
        with env_override(**no_metaxy_variables()), _keeping_global_config():
            return MetaxyConfig.load(self.path / CONFIG_NAME)

    @property
    def graph(self) -> FeatureGraph:
        """The features that the modules define now, in a graph of their own."""
        graph, config = FeatureGraph(), self.config
        with config.use(), self._importable():
            load_entrypoints(config.entrypoints, graph=graph)
        return graph

    def store(self, name: str | None = None, **options: Any) -> MetadataStore:
        """Build a store of the project; use it inside of `use`."""
        store: MetadataStore = self.config.get_store(name, **options)
        return store

    @contextmanager
    def use(self) -> Iterator[FeatureGraph]:
        """Make graph and configuration of the project the active ones until the block ends."""
        graph = self.graph
        with self.config.use(), graph.use():
            yield graph

    # -- command line --------------------------------------------------------------------------------------------------

    def run_cli(
        self,
        args: Sequence[str],
        check: bool = True,
        env: Mapping[str, str | None] | None = None,
        *,
        subprocess: bool = False,
    ) -> CliResult:
        """Run a `metaxy` command in the folder of the project.

        Args:
            check: Whether a command that fails raises AssertionError, with what it said.
            env: Variables to set, or None to remove one.
            subprocess: Whether to use a process of its own, which takes longer.
        """
        run = self._run_outside if subprocess else self._run_here
        with env_override(**(no_metaxy_variables() | dict(env or {}))):
            result = run(tuple(args))
        if check and result.returncode:
            raise AssertionError(f"mx {' '.join(args)} returned {result.returncode}:\n{result.stdout}{result.stderr}")
        return result

    def _run_here(self, args: tuple[str, ...]) -> CliResult:
        stdout, stderr, before = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(self.path)
        try:
            with redirect_stdout(stdout), redirect_stderr(stderr), self._importable(), _keeping_global_config():
                returncode = contextvars.Context().run(_main_in_new_graph, args)
        finally:
            os.chdir(before)
        return CliResult(args, returncode, stdout.getvalue(), stderr.getvalue())

    def _run_outside(self, args: tuple[str, ...]) -> CliResult:
        path = os.pathsep.join(filter(None, [str(self.path), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(  # noqa: S603 - it runs this package
            [sys.executable, "-m", "metaxy.cli.app", *args],
            cwd=self.path,
            env=os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        return CliResult(args, done.returncode, done.stdout, done.stderr)

    @contextmanager
    def _importable(self) -> Iterator[None]:
        """Import modules from the folder, and forget them afterwards, so that the next import reads the files again."""
        modules, path, bytecode = set(sys.modules), list(sys.path), sys.dont_write_bytecode
        sys.path.insert(0, str(self.path))
        sys.dont_write_bytecode = True  # bytecode is only checked by the second, and tests edit faster than that
        invalidate_caches()
        try:
            yield
        finally:
            sys.path[:], sys.dont_write_bytecode = path, bytecode
            # All are looked at before any goes: a namespace package finds its path through its parent.
            for name in [name for name in set(sys.modules) - modules if self._is_own(sys.modules[name])]:
                del sys.modules[name]

    def _is_own(self, module: object) -> bool:
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        return any(self.path in Path(place).parents for place in places if place)


def _body(function: Callable[[], object]) -> str:
    """Return the code inside of a function as that of a module."""
    definition = ast.parse(dedent(inspect.getsource(function))).body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise TypeError(f"features are given as text or as a function made by def, not as {function!r}")
    return "\n".join(map(ast.unparse, definition.body)) + "\n"


@contextmanager
def _keeping_global_config() -> Iterator[None]:
    before = contextvars.Context().run(context.active_settings)  # an empty context has no configuration of its own
    try:
        yield
    finally:
        context.set_global_settings(before)


def _main_in_new_graph(args: Sequence[str]) -> int:
    context.set_global_settings(None)
    with FeatureGraph().use():
        return main(args)
