"""DuckDB extensions: from installed wheels first, so that nothing is downloaded."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import duckdb

from metaxy.errors import InvalidConfigError, StoreConnectionError
from metaxy.ext.duckdb.dialect import DUCKDB


@dataclass(frozen=True)
class ExtensionSpec:
    """A DuckDB extension: its name, where it may be installed from, and statements to run once it is loaded."""

    name: str
    repository: str = "core"
    init_sql: Sequence[str] = field(default=(), repr=False)  # which may create secrets


def extension(given: str | ExtensionSpec) -> ExtensionSpec:
    """Return an extension that is given as a name, too.

    Raises:
        TypeError: for anything else.
        InvalidConfigError: if it cannot be a name.
    """
    if isinstance(given, ExtensionSpec):
        return given
    if not isinstance(given, str):
        raise TypeError(f"an extension is a name or an ExtensionSpec, not {type(given).__name__}")
    if not given.replace("_", "").isalnum():
        raise InvalidConfigError(f"{given!r} is no name of a DuckDB extension")
    return ExtensionSpec(given)


def load(connection: duckdb.DuckDBPyConnection, wanted: ExtensionSpec) -> None:
    """Load an extension from an installed wheel, else from where DuckDB keeps them, else install it."""
    name = DUCKDB.quote(wanted.name)
    try:
        connection.execute(_load_sql(wanted.name))
    except duckdb.Error:
        repository = "" if wanted.repository == "core" else f" FROM {DUCKDB.quote(wanted.repository)}"
        connection.execute(f"INSTALL {name}{repository}")
        connection.execute(f"LOAD {name}")
    for statement in wanted.init_sql:
        connection.execute(statement)


def load_installed(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension from an installed wheel, else from where DuckDB keeps them; never install it.

    Raises:
        StoreConnectionError: if it is in neither place.
    """
    try:
        connection.execute(_load_sql(name))
    except duckdb.Error as error:
        wheel = f"duckdb-extension-{name.replace('_', '-')}"
        raise StoreConnectionError(
            f"the extension {name!r} of DuckDB {duckdb.__version__} is not installed; its wheel is {wheel}, of just "
            "this version"
        ) from error


@cache
def is_genuine(name: str) -> bool:
    """Return whether the wheel of an extension is there and signed by DuckDB, which takes a while to find out."""
    if _wheel_file(name) is None:
        return False
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as scratch:
        try:
            scratch.execute(_load_sql(name))
        except duckdb.Error:
            return False
    return True


def _load_sql(name: str) -> str:
    wheel = _wheel_file(name)
    return f"LOAD {DUCKDB.literal(str(wheel))}" if wheel else f"LOAD {DUCKDB.quote(name)}"


@cache
def _wheel_file(name: str) -> Path | None:
    module = importlib.util.find_spec(f"duckdb_extension_{name}")
    if module is None or not module.submodule_search_locations:
        return None
    folder = Path(next(iter(module.submodule_search_locations)))
    return next(iter(folder.glob(f"extensions/v{duckdb.__version__}/{name}.duckdb_extension")), None)
