"""`mx graph render --stats`: pictures with what a store has."""

import json
import re

import duckdb
import pytest
from tests.cli.conftest import FEATURES
from tests.factory import rows

from metaxy.testing import TempMetaxyProject


@pytest.fixture
def filled(project: TempMetaxyProject) -> TempMetaxyProject:
    """Three videos, and the crops of two of them."""
    with project.use(), project.store().open("w") as store:
        store.write("video/raw", rows({"audio": "1", "frames": "1"}, id=["a", "b", "c"], size=[1, 2, 3]))
        store.write("video/crop", store.resolve_update("video/crop").new.head(2))
    return project


def stats(project: TempMetaxyProject, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Return what is printed, without the time that it is, and what is warned of."""
    result = project.run_cli(["graph", "render", "--stats", *arguments], check=False)
    assert result.returncode == code, result.stderr
    return re.sub(r"written \d{4}-\d\d-\d\d \d\d:\d\d UTC(, [\d.]+ \w+)?", "written then", result.stdout), result.stderr


def test_trees_and_cards_say_what_the_store_has(filled: TempMetaxyProject) -> None:
    tree = (
        "📊 Graph (snapshot: HASH)\n"
        "├── video/raw\n"
        "│   └── 📦 3 rows, written then\n"
        "└── video/crop\n"
        "    ├── 📦 2 rows, 1 missing, written then\n"
        "    └── ⬅️  depends on\n"
        "        └── video/raw\n"
    )
    hidden = [f"--no-show-{what}" for what in ("fields", "feature-versions", "projects")]
    text, told = stats(filled, *hidden)
    assert (re.sub(r": \w{8}\)", ": HASH)", text), told) == (tree, "")
    assert "│ 2 rows, 1 missing" in stats(filled, "--type", "cards", "--store", "dev")[0]


def test_a_snapshot_is_counted_as_it_was_pushed(filled: TempMetaxyProject) -> None:
    filled.run_cli(["push"])
    filled.with_features(FEATURES.replace('code_version="1"', 'code_version="2"'))
    assert "0 rows, 3 missing" in stats(filled)[0]
    pushed = json.loads(stats(filled, "--snapshot", "latest", "--format", "json")[0])
    assert {node["key"]: node["stats"]["rows"] for node in pushed["nodes"]} == {"video/raw": 3, "video/crop": 2}


def test_what_cannot_be_counted_is_said(filled: TempMetaxyProject) -> None:
    told = stats(filled, "--type", "fields", code=2)[1]
    assert "--stats counts rows of features, which --type fields shows as svg only" in told
    picture = stats(filled, "--type", "fields", "--format", "svg", "--color-scheme", "dark")[0]
    assert ">2 rows, 1 missing</text>" in picture
    assert "prefers-color-scheme" not in picture
    assert "there is no store 'nowhere'" in stats(filled, "--store", "nowhere", code=2)[1]
    [database] = filled.path.rglob("*.duckdb")
    with duckdb.connect(database) as connection:
        connection.execute("CREATE OR REPLACE TABLE video__crop AS SELECT 1 AS other")
    text, told = stats(filled)
    assert "📦 3 rows" in text
    assert "📦 could not be counted: " in text
    assert "video/crop could not be counted: " in told
