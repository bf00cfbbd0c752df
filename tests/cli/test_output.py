"""What was asked for is on stdout, the rest on stderr; machines get text that no library touched."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.cli.conftest import FEATURES

from metaxy.cli.app import main
from metaxy.cli.output import OutputFormat, confirm, print_table, progress
from metaxy.errors import RequestError
from metaxy.testing import TempMetaxyProject

Command = Callable[[Callable[..., object]], None]
LONG = "x" * 300


def test_tables_in_files_are_neither_wrapped_nor_coloured(tmp_path: Path) -> None:
    project = TempMetaxyProject(tmp_path, FEATURES.replace("video/crop", f"video/{LONG}"))
    out = project.run_cli(["list", "features"], env={"COLUMNS": "40", "FORCE_COLOR": "1"}).stdout
    assert f"video/{LONG}" in out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_tables_are_aligned(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("日本", "x\ny", 1), ("a", "longer", 1000)]
    command(lambda: print_table("Title", ["Name", "Text", "Count"], rows, numbers=1))
    assert main(["try-it"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "         Title",
        "",
        " Name   Text     Count",
        " ─────────────────────",
        " 日本   x y          1",
        " a      longer    1000",
        "",
    ]


def test_errors_are_json_where_json_was_asked_for(project: TempMetaxyProject) -> None:
    for args, env in ((["-f", "json"], {}), (["--format=json"], {}), ([], {"METAXY_HISTORY_FORMAT": "json"})):
        result = project.run_cli(["history", "--store", "dve", *args], check=False, env=env)
        assert (result.returncode, result.stderr) == (2, "")
        error = json.loads(result.stdout)
        assert error["error"] == "INVALID_CONFIG"
        assert "'dve'" in error["message"]
        assert "Did you mean 'dev'?" in error["message"]


def test_wrong_usage_is_json_too(project: TempMetaxyProject) -> None:
    result = project.run_cli(["history", "--format", "json", "--nope"], check=False)
    assert (result.returncode, result.stderr) == (2, "")
    assert json.loads(result.stdout)["error"] == "USAGE_ERROR"


def test_debug_adds_the_traceback_to_json(project: TempMetaxyProject) -> None:
    result = project.run_cli(["history", "--store", "x", "-f", "json"], check=False, env={"METAXY_DEBUG": "1"})
    assert result.stderr.startswith("Traceback")
    assert json.loads(result.stdout)["error"] == "INVALID_CONFIG"


def failing(format: OutputFormat = "plain") -> None:  # noqa: A002 - called like the option
    raise RequestError("NO_FEATURES", "nothing\nis left", hint="add some", features=["a"])


def test_hints_and_details(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(failing)
    assert main(["try-it"]) == 1
    assert capsys.readouterr() == ("", "Error: nothing is left\nHint: add some\n")
    assert main(["try-it", "-f", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "error": "NO_FEATURES",
        "message": "nothing is left",
        "hint": "add some",
        "features": ["a"],
    }


def test_progress_is_silent_without_a_terminal(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with progress() as bar:
            bar.advance(bar.add_task("work", total=2))

    command(work)
    assert main(["try-it"]) == 0
    assert capsys.readouterr() == ("", "")


def test_questions_need_a_terminal(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(lambda: confirm("Delete everything", yes=True))
    assert main(["try-it"]) == 0


ASKS = """
from metaxy.cli.app import app, main
from metaxy.cli.output import confirm, done, progress
def ask():
    confirm("Delete everything", yes=False)
    with progress() as bar:
        task = bar.add_task("delete", total=1234)
        bar.advance(task, 1234)
        bar.refresh()
    done("deleted")
app.command(ask, name="ask")
raise SystemExit(main(["ask"]))
"""


def test_without_a_terminal_nobody_is_asked() -> None:
    result = subprocess.run([sys.executable, "-c", ASKS], input="y\n", capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert "Delete everything needs a confirmation" in result.stderr
    assert "--yes" in result.stderr


def on_a_terminal(code: str, typed: str = "", **variables: str) -> tuple[int, str]:
    """Run Python code in a process with a terminal; return its exit code and what can be seen there."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | variables
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    seen = b""
    with suppress(OSError):  # how Linux says that the other side is closed
        while part := os.read(ours, 4096):
            seen += part
    os.close(ours)
    return process.wait(), seen.decode()


NO_TERMINALS = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo terminals")


@NO_TERMINALS
def test_names_stay_whole_in_a_narrow_table() -> None:
    cells = "['a/long/name/of/a/feature', *(['1'] * 6)]"
    show = (
        f"from metaxy.cli.output import print_table; print_table('', ['Feature', *(['Materialized'] * 6)], [{cells}])"
    )
    _, text = on_a_terminal(show, COLUMNS="60", TERM="xterm")
    assert "a/long/name/of/a/feature" in text


@NO_TERMINALS
def test_a_warning_does_not_stand_in_the_line_of_a_progress_bar() -> None:
    show = (
        "from metaxy.cli.output import progress, warn\nwith progress() as bar:\n    bar.add_task('work', total=1)\n"
        "    bar.refresh()\n    warn('look here')\n    bar.refresh()"
    )
    _, text = on_a_terminal(show, TERM="xterm")
    before = text.partition("Warning: look here")[0]
    assert re.search(r"work[^\r\n]*\r\x1b\[2K(\x1b\[\d+m)?$", before)


@NO_TERMINALS
def test_a_table_fits_a_terminal() -> None:
    show = "from metaxy.cli.output import print_table; print_table('Title', ['A', 'B'], [('x' * 50, 'y' * 50)])"
    code, text = on_a_terminal(show, COLUMNS="40", TERM="xterm")
    assert code == 0
    assert "\x1b" in text
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) == 40
    assert text.count("x") >= 50


@NO_TERMINALS
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("YES", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_the_user_is_asked(answer: str, code: int) -> None:
    exited, text = on_a_terminal(ASKS, f"{answer}\n", TERM="xterm")
    assert exited == code
    assert "Delete everything? [y/N]" in text
    assert ("deleted" in text) is (code == 0)
    assert ("1234/1234\x1b[0m rows" in text) is (code == 0)
    assert ("\x1b" in text) is (code == 0)


def test_warnings_are_one_line(project: TempMetaxyProject) -> None:
    result = project.run_cli(["list", "stores"], env={"METAXY_STORES__TEST__CONFIG__DATABASE": "x"})
    assert result.stderr.startswith("Warning: store 'test' is ignored")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("level", "said"), [("bogus", "METAXY_LOG_LEVEL=bogus is no log level"), ("error", "")])
def test_log_level(project: TempMetaxyProject, level: str, said: str) -> None:
    result = project.run_cli(["list", "stores"], env={"METAXY_LOG_LEVEL": level}, subprocess=True)
    assert said in result.stderr
    assert bool(result.stderr) is bool(said)
