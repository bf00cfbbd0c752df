import os
import sys
from collections.abc import Callable, Iterator
from importlib import invalidate_caches
from pathlib import Path
from textwrap import dedent

import pytest

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def graph() -> Iterator[FeatureGraph]:
    with FeatureGraph().use() as graph:
        yield graph


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder whose modules can be imported, and forget them afterwards."""
    for name in os.environ:
        if name.upper().startswith("METAXY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    MetaxyConfig.reset()
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        if any(str(place).startswith(str(tmp_path)) for place in places):
            del sys.modules[name]


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a file below the folder."""

    def write(name: str, text: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        invalidate_caches()
        return path

    return write


@pytest.fixture
def feature(write: Write) -> Callable[[str, str], None]:
    """Write a module that defines one feature."""

    def feature(module: str, key: str) -> None:
        write(
            f"{module.replace('.', '/')}.py",
            f"""
            import metaxy as mx

            class Feature(mx.BaseFeature, spec=mx.FeatureSpec(key="{key}", id_columns=["id"])):
                id: str
            """,
        )

    return feature
