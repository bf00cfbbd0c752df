import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metaxy.cli.app import DEBUG_VARIABLE, app
from metaxy.testing import TempMetaxyProject

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `metaxy` in a process of its own, in an empty folder."""

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("METAXY_")}
        return subprocess.run(
            [sys.executable, "-m", "metaxy.cli.app", *arguments],
            cwd=tmp_path,
            env=environment | {"COLUMNS": "120"} | variables,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Add a command named `try-it`; a test then runs it in this process with `main(["try-it"])`."""
    monkeypatch.chdir(tmp_path)
    for name in (DEBUG_VARIABLE, "METAXY_CONFIG"):  # set first, so that what `main` leaves behind is undone
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def add(function: Callable[[], object]) -> None:
        app.command(function, name="try-it")

    yield add
    del app["try-it"]


FEATURES = """
import metaxy as mx


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video/raw", id_columns=["id"], fields=["audio", "frames"])):
    id: str


class Crop(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="video/crop", id_columns=["id"], deps=[Video], fields=[mx.FieldSpec(key="frames", code_version="1")]
    ),
):
    id: str
"""


@pytest.fixture
def project(tmp_path: Path) -> TempMetaxyProject:
    """A project with two features and a DuckDB store, whose commands run in this process."""
    return TempMetaxyProject(tmp_path, FEATURES, project="vision")
