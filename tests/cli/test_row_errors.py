"""`mx metadata errors`, and what the status says of samples that failed."""

import json
from typing import Any

import polars as pl
import pytest
from tests.cli.test_metadata import fill, refused
from tests.factory import rows

from metaxy.testing import TempMetaxyProject


@pytest.fixture
def failing(project: TempMetaxyProject) -> TempMetaxyProject:
    """A project with two new samples of video/crop, one of which failed twice."""
    fill(project)
    with project.use(), project.store().open("w") as store:
        store.write("video/raw", rows({"audio": "1", "frames": "1"}, id=["d", "e"]))
        new = store.resolve_update("video/crop").new.to_polars()
        failed = new.filter(pl.col("id") == "d").with_columns(error_type=pl.lit("OSError"), run_id=pl.lit("run-7"))
        for message in ("no such file", "still no such file"):
            store.record_errors("video/crop", failed.with_columns(error_message=pl.lit(message)))
    return project


def run(project: TempMetaxyProject, *arguments: str) -> Any:
    return json.loads(project.run_cli(["metadata", *arguments, "--format", "json"]).stdout)


def test_errors_are_shown_and_forgotten(failing: TempMetaxyProject) -> None:
    found = run(failing, "errors")
    [error] = found["features"]["video/crop"]
    assert (found["errors"], error["ids"], error["attempt"], error["run_id"]) == (1, {"id": "d"}, 2, "run-7")
    assert error["recorded_at"].endswith("+00:00")
    assert run(failing, "errors", "video/crop", "--all-attempts")["errors"] == 2
    table = failing.run_cli(["metadata", "errors", "video/crop"]).stdout
    assert "id=d" in table
    assert "OSError: still no such file" in table
    assert "video/crop: 1 error(s)" in table
    status = run(failing, "status", "--all-features")["features"]
    assert (status["video/crop"]["missing"], status["video/crop"]["failed"]) == (2, 1)
    assert "failed" not in status["video/raw"]
    assert "1 sample(s) failed before: `mx metadata errors`" in failing.run_cli(["metadata", "status"]).stdout
    assert "say which features" in refused(failing, "errors", "--forget", code=2).stderr
    assert run(failing, "errors", "video/crop", "--forget") == {"forgotten": ["video/crop"]}
    assert "No errors of samples" in failing.run_cli(["metadata", "errors"]).stderr
