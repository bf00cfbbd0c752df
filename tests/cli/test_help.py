from importlib import import_module
from importlib.metadata import entry_points, version

import pytest
from tests.cli.conftest import Run

from metaxy.cli.app import COMMANDS


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_is_data_on_stdout(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: metaxy COMMAND")
    for name, _, summary in COMMANDS:
        assert any(name in line and summary in line for line in result.stdout.splitlines())
    assert all(option in result.stdout for option in ("--config-file", "--debug", "--version"))


def test_help_of_a_command_shows_its_options_and_the_global_ones(run: Run) -> None:
    result = run("demo", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: metaxy demo")
    assert result.stdout.index("Parameters") < result.stdout.index("--fresh") < result.stdout.index("Global")


def test_version_is_a_bare_number_on_stdout(run: Run) -> None:
    result = run("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, version("metaxy") + "\n", "")


def test_both_scripts_run_the_same_function() -> None:
    scripts = {point.name: point.value for point in entry_points(group="console_scripts") if point.dist}
    assert scripts["mx"] == scripts["metaxy"] == "metaxy.cli.app:main"


@pytest.mark.parametrize(("name", "target"), [(name, target) for name, target, _ in COMMANDS])
def test_commands_exist(name: str, target: str) -> None:
    module, attribute = target.split(":")
    assert callable(getattr(import_module(module), attribute)), name
