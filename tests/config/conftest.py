import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metaxy.config import MetaxyConfig

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, without variables and without an active configuration."""
    for name in os.environ:
        if name.upper().startswith("METAXY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    MetaxyConfig.reset()


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a file below the folder."""

    def write(text: str, name: str = "metaxy.toml") -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write
