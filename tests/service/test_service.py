"""What a face gets: plain values, errors by kind, and silence."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from tests.cli.conftest import FEATURES

from metaxy import FeatureGraph, errors
from metaxy.errors import FeatureNotFoundError, FilterParseError, MetaxyError, RequestError, UnknownFeatureError
from metaxy.service import features, graph, health, history, maintenance, rows, status, stores
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.service.selecting import select
from metaxy.testing import TempMetaxyProject

DUCKDB, DELTA = "metaxy.ext.duckdb.DuckDBMetadataStore", "metaxy.ext.delta.DeltaMetadataStore"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with three samples of a root and of what depends on it; in its other store there is nothing."""
    given = {"dev": {"type": DUCKDB, "database": str(tmp_path / "dev.duckdb")}}
    lake = {"lake": {"type": DELTA, "root_path": str(tmp_path / "lake")}}
    written = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores=given | lake)
    with written.use() as loaded, written._importable():
        with written.store().open("w") as store:
            versions = [{"audio": "1", "frames": "1"}] * 3
            store.write("video/raw", pl.DataFrame({"id": list("abc"), "metaxy_provenance_by_field": versions}))
            store.write("video/crop", store.resolve_update("video/crop").new)
        yield Project(tmp_path / "metaxy.toml").with_graph(loaded)


def test_a_given_store_stays_whatever_else_is_changed(project: Project) -> None:
    lake = project.store("lake")
    changed = project.with_store(lake).with_graph(FeatureGraph())
    assert (changed.store(), changed.keys()) == (lake, [])
    assert changed.store("dev") is not lake


def test_features_of_another_project_are_told_of(project: Project) -> None:
    other = replace(project, named="hearing").with_graph(project.graph)
    with pytest.raises(
        RequestError, match=r"no feature of project hearing matches '\*'\. \(there are: . in project vis"
    ):
        select(other, ["*"])


def plain(value: Any) -> Any:
    return json.loads(json.dumps(to_jsonable_python(value)))


def test_answers_are_plain_and_nothing_is_printed(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    pushed = history.push(project, tags={"git": "abc"})
    view = graph.graph(project)
    answers = plain(
        {
            "features": features.features(project),
            "descriptions": features.descriptions(project, ["video/crop"]),
            "graph": view,
            "numbers": graph.description(project, view),
            "lineage": graph.lineage(project, "video/crop").data(),
            "comparison": graph.compare(project, "latest"),
            "push": pushed,
            "history": history.history(project),
            "versions": history.feature_history(project, "video/crop"),
            "status": status.status(project),
            "then": status.status(project, snapshot="latest", samples=True),
            "rows": rows.rows(project, "video/crop", filters=["id = 'b'"]).data(),
            "statistics": rows.statistics(project),
            "stores": stores.stores(project),
            "health": health.examine(project),
            "configuration": project.configuration(),
            "failure": Failure.of(RuntimeError("oh")),
        }
    )
    assert capfd.readouterr() == ("", "")
    assert [each["key"] for each in answers["features"]] == ["video/raw", "video/crop"]
    assert answers["features"][1]["fields"][0]["deps"] == {"video/raw": ["frames"]}
    assert answers["history"][0]["project_version"] == pushed.project_version
    assert answers["rows"] == [{"id": "b"}]
    assert answers["comparison"]["changes"]["nodes"] == {}
    assert [each["status"] for each in answers["status"]["features"]] == ["root_feature", "up_to_date"]
    assert answers["then"]["project_version"] == pushed.project_version
    assert [each["samples"] for each in answers["statistics"]] == [3, 3]


def test_maintenance_counts_and_can_be_tried(project: Project) -> None:
    copied = maintenance.copy(project, ["video/raw"], source="dev", target="lake", dry_run=True)
    assert (copied.features, copied.rows, copied.left_out) == (1, 3, [])
    with pytest.raises(RequestError, match="none of the features"):  # a trial created nothing
        list(maintenance.optimize(project, store="lake"))
    maintenance.copy(project, ["video/raw"], source="dev", target="lake")
    for dry_run in (True, False):
        outcomes = list(maintenance.optimize(project, store="lake", dry_run=dry_run))
        assert outcomes == [maintenance.Outcome("video/raw", 3)]
    for work in (maintenance.delete, maintenance.drop):
        tried, done = list(work(project, ["video/crop"], dry_run=True)), list(work(project, ["video/crop"]))
        assert tried == done == [maintenance.Outcome("video/crop", 3 if work is maintenance.delete else 6)]
    [missing] = maintenance.delete(project, ["video/crop"])
    assert missing.failure is not None
    assert (missing.failure.code, missing.failure.kind) == ("FEATURES_NOT_FOUND", "failure")


class Shape(BaseModel):
    width: int


def test_errors_are_classified_once() -> None:
    try:
        Shape.model_validate({"width": "x"})
    except ValueError as error:
        wrong = Failure.of(error)
    assert (wrong.code, wrong.kind, wrong.is_unexpected) == ("USAGE_ERROR", "request", False)
    assert Failure.of(UnknownFeatureError.from_key("a", [])).details == {"features": ["a"]}
    assert Failure.of(FeatureNotFoundError("gone", keys=["b"])).data()["features"] == ["b"]
    assert Failure.of(RequestError("X", "no", hint="do", a=1)).data() == {
        "error": "X",
        "message": "no",
        "hint": "do",
        "a": 1,
    }
    assert Failure.of(FilterParseError("a\n ^")).message == "a\n ^"
    assert Failure.of(MetaxyError("two\nlines")).message == "two lines"
    assert Failure.of(OSError("no disk")).is_unexpected is False
    assert Failure.of(KeyError("k")).is_unexpected is True
    kinds = {
        name: kind.kind
        for name in errors.__all__
        if isinstance(kind := getattr(errors, name), type) and issubclass(kind, MetaxyError)
    }
    assert {name for name, kind in kinds.items() if kind == "unreachable"} == {
        "StoreConnectionError",
        "StoreLockedError",
    }
    assert {name for name, kind in kinds.items() if kind == "request"} == {
        "ConfigFileNotFoundError",
        "FilterParseError",
        "InvalidConfigError",
        "StoreImportError",
    }


def test_making_a_project_loads_nothing(tmp_path: Path) -> None:
    before = set(sys.path)
    Project(tmp_path / "nowhere.toml")
    assert set(sys.path) == before
