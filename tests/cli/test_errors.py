import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from pydantic import BaseModel
from tests.cli.conftest import Run

from metaxy.cli.app import main
from metaxy.errors import (
    FilterParseError,
    InvalidConfigError,
    MetaxyError,
    StoreConnectionError,
    StoreLockedError,
    UnknownFeatureError,
)

Command = Callable[[Callable[[], object]], None]


class Shape(BaseModel):
    width: int
    height: int


def invalid_model() -> None:
    Shape.model_validate({"width": "x", "height": []})


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MetaxyError("no such thing"), 1, "Error: no such thing"),
        (MetaxyError("two\nlines"), 1, "Error: two lines"),
        (UnknownFeatureError.from_key("a", []), 1, "Error: feature 'a' is not in the graph. The graph is empty"),
        (InvalidConfigError("unknown key", config_file="metaxy.toml"), 2, "Error: metaxy.toml: unknown key"),
        (FilterParseError("no operand"), 2, "Error: no operand"),
        (StoreConnectionError("no such bucket"), 3, "Error: no such bucket"),
        (StoreLockedError("locked by 12"), 3, "Error: locked by 12"),
        (FileNotFoundError(2, "No such file", "x.toml"), 1, "Error: [Errno 2] No such file: 'x.toml'"),
        (RuntimeError("oh"), 1, "Error: unexpected RuntimeError: oh (run it again with --debug"),
    ],
)
def test_an_error_is_one_line(
    command: Command, capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    command(raising(error))
    assert main(["try-it"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_errors_of_others_may_hold_secrets(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(RuntimeError("cannot connect to postgresql://me:hunter2@host/db, password=hunter3")))
    assert main(["try-it"]) == 1
    err = capsys.readouterr().err
    assert "postgresql://me:***@host/db" in err
    assert "hunter" not in err


def test_wrong_input_is_one_line(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(invalid_model)
    assert main(["try-it"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: Shape.width: Input should be a valid integer")
    assert err.endswith("(and 1 more)\n")


@pytest.mark.parametrize("arguments", [["--debug", "try-it"], ["try-it", "--debug"]])
def test_debug_shows_the_traceback(command: Command, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    command(raising(MetaxyError("no such thing")))
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("MetaxyError: no such thing\n")


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_debug_variable(
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    shown: bool,
) -> None:
    monkeypatch.setenv("METAXY_DEBUG", value)
    command(raising(MetaxyError("no such thing")))
    assert main(["try-it"]) == 1
    assert ("Traceback" in capsys.readouterr().err) is shown


def test_interrupt_is_silent(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(KeyboardInterrupt()))
    assert main(["try-it"]) == 130
    assert capsys.readouterr() == ("", "")


def test_exit_code_of_a_command_is_passed_on(command: Command) -> None:
    command(lambda: 4)
    assert main(["try-it"]) == 4


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["demmo"], "Error: unknown command 'demmo'. Did you mean 'demo'? See --help.\n"),
        (["--nope"], "Error: unknown option '--nope'. See --help.\n"),
        (["demo", "--frsh"], "Error: Unknown option: --frsh. Did you mean --fresh? See --help.\n"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, arguments: list[str], line: str) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", line)


PRINTS = "from metaxy.cli.app import app, main; app.command(lambda: print('rows'), name='try-it'); main(['try-it'])"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no broken pipes, but plain write errors")
@pytest.mark.parametrize("arguments", [["-m", "metaxy.cli.app", "--help"], ["-c", PRINTS]])
def test_reader_that_stops_early_hears_nothing(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run([sys.executable, *arguments], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert result.stderr == ""
