"""The folder of the demo: a small working Metaxy project, written once, continued afterwards."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from metaxy.errors import MetaxyError

StoreType = Literal["duckdb", "delta"]

CONFIG: Final = """\
# Written by `mx demo`, which continues with what it finds here; `mx demo --fresh` starts over.
project = "demo"
entrypoints = ["features"]
auto_create_tables = true
store = "dev"

[stores.dev]
type = "{type}"

[stores.dev.config]
{where}
"""
MARK: Final = CONFIG.splitlines()[0]
STORES: Final[dict[StoreType, dict[str, str]]] = {
    "duckdb": {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "where": 'database = "store.duckdb"'},
    "delta": {"type": "metaxy.ext.delta.DeltaMetadataStore", "where": 'root_path = "store"'},
}
PACKAGES: Final[dict[StoreType, tuple[str, ...]]] = {"duckdb": ("PIL", "duckdb"), "delta": ("PIL", "deltalake")}
TEMPLATE: Final = Path(__file__).with_name("template") / "features.py"
CODE_VERSION: Final = re.compile(r'^CROP_VERSION = "(\d+)"', re.MULTILINE)


def check_packages(store: StoreType) -> None:
    """Refuse to start where a package of the extra `demo` is missing."""
    missing = [package for package in PACKAGES[store] if find_spec(package) is None]
    if missing:
        raise MetaxyError(f'the demo needs {" and ".join(missing)}: pip install "metaxy[demo]"')


def prepare(folder: Path, store: StoreType, *, fresh: bool) -> None:
    """Write the project into an empty folder, or leave a demo folder as it is; empty it first if ``fresh``.

    Raises:
        MetaxyError: if the folder holds something else or cannot be written.
    """
    try:
        _prepare(folder, store, fresh)
    except OSError as error:
        raise MetaxyError(f"cannot write the demo to {folder}: {error.strerror}; give another PATH") from error


def _prepare(folder: Path, store: StoreType, fresh: bool) -> None:
    config = folder / "metaxy.toml"
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (config.is_file() and config.read_text(encoding="utf-8").startswith(MARK)):
        raise MetaxyError(f"{folder} was not written by `mx demo`, so it stays as it is; give another PATH")
    if fresh:
        _empty(folder)
    if not config.exists():
        config.write_text(CONFIG.format(**STORES[store]), encoding="utf-8")
    if not (folder / "features.py").exists():
        shutil.copyfile(TEMPLATE, folder / "features.py")


def _empty(folder: Path) -> None:
    # The configuration goes last: as long as it is there, an interrupted --fresh can be repeated.
    for child in sorted(folder.iterdir(), key=lambda child: child.name == "metaxy.toml"):
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def uses(folder: Path, store: StoreType) -> bool:
    """Return whether the demo in a folder keeps its metadata in this kind of store."""
    return STORES[store]["type"] in (folder / "metaxy.toml").read_text(encoding="utf-8")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work inside the folder, as a user who typed `cd`: paths are relative to it and its modules can be imported."""
    before = Path.cwd(), list(sys.path), sys.dont_write_bytecode
    os.chdir(folder)
    sys.path.insert(0, str(Path.cwd()))
    sys.dont_write_bytecode = True  # bytecode is only checked by the second, and the demo edits faster than that
    try:
        yield
    finally:
        os.chdir(before[0])
        sys.path[:], sys.dont_write_bytecode = before[1:]


def forget_features() -> None:
    """Let the next import of the features read the file again."""
    sys.modules.pop("features", None)
    invalidate_caches()


def raise_code_version(file: Path) -> tuple[str, str]:
    """Count the code version in the features file up by one; return the old and the new one."""
    text = file.read_text(encoding="utf-8")
    found = CODE_VERSION.search(text)
    if not found:
        raise MetaxyError(f'{file} has no line CROP_VERSION = "1" any more; put it back, or start over with --fresh')
    new = str(int(found[1]) + 1)
    file.write_text(f"{text[: found.start(1)]}{new}{text[found.end(1) :]}", encoding="utf-8")
    return found[1], new
