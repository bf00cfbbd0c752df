from importlib import import_module
from importlib.metadata import entry_points, version
from inspect import Parameter

import pytest
from tests.cli.conftest import Run

from metaxy.cli.app import COMMANDS, app


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


# What each command of metaxy 0.1 takes: names and short names, `!` for options that must be given, in capitals what can
# be given by position.
OPTIONS = {
    "list features": "--verbose -v --format -f",
    "list stores": "--format -f",
    "history": "STORE --store LIMIT --limit",
    "push": "STORE --store --tags -t",
    "lock": "STORE --store --output -o",
    "metadata delete": "FEATURES --features --all-features --store --filter --soft --hard --with-feature-history --yes "
    "--dry-run",
    "metadata rebase": "FEATURE --from! --to --same-inputs --store --dry-run",
    "metadata copy": "FEATURES --features --all-features --from! --to! --filter --with-feature-history "
    "--no-with-feature-history --with-sample-history --no-with-sample-history",
    "config print": "--format -f",
    "shell": "",
}


@pytest.mark.parametrize("command", OPTIONS)
def test_options_of_metaxy_0_1(command: str) -> None:
    of = app
    for name in command.split():
        of = of[name]
    found = set()
    for argument in of.assemble_argument_collection():
        mark = "!" if argument.required else ""
        found |= {f"{name}{mark}" for name in argument.names}
        if argument.field_info.kind is Parameter.POSITIONAL_OR_KEYWORD:
            found.add(argument.name.lstrip("-").upper())
    assert set(OPTIONS[command].split()) <= found
