"""Commands over a DuckDB file that another process has locked."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import polars as pl
import pytest

from metaxy import columns as c
from metaxy.cli.app import main
from metaxy.testing import TempMetaxyProject

HOLDER = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.readline()"


@pytest.fixture
def holder(project: TempMetaxyProject) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the file of the store open for writing, until it reads a line."""
    with project.use(), project.store().open("w") as store:
        versions = [{"audio": "1", "frames": "1"}]
        store.write("video/raw", pl.DataFrame({"id": ["a"], c.METAXY_PROVENANCE_BY_FIELD: versions}))
    (file,) = project.path.rglob("*.duckdb")
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        if process.poll() is None:
            process.communicate("leave\n")


def test_who_has_the_file_is_named(project: TempMetaxyProject, holder: "subprocess.Popen[str]") -> None:
    found = project.run_cli(["--wait", "0", "metadata", "status"], check=False)
    assert found.returncode == 3
    assert f"is locked by process {holder.pid} (python" in found.stderr
    assert "waited 0 s" in found.stderr
    assert "sys.argv" not in found.stderr  # code and arguments may be secret
    found = project.run_cli(["metadata", "status", "--format", "json"], check=False, env={"METAXY_WAIT": "0.01"})
    assert json.loads(found.stdout)["error"] == "STORE_LOCKED"
    assert "waited 0.01 s" in found.stdout


@pytest.mark.parametrize("command", ["metadata status", "metadata show video/raw", "history"])
def test_reading_commands_wait_as_long_as_asked(
    project: TempMetaxyProject, holder: "subprocess.Popen[str]", command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[float] = []

    def leave(seconds: float) -> None:
        met.append(seconds)
        holder.communicate("leave\n")

    monkeypatch.setattr(time, "sleep", leave)  # the command met the lock: instead of waiting, let the writer leave
    project.run_cli(["--wait", "600", *command.split()])
    assert len(met) == 1


def test_nobody_waits_less_than_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--wait", "-1", "list", "stores"]) == 2
    assert "--wait" in capsys.readouterr().err
