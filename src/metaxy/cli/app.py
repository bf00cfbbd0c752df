"""The `metaxy` and `mx` commands: parse, run one command, turn any error into one line and an exit code.

Must stay quick to load: help, version and usage errors import no dataframe library and no user code, since the module
of a command is imported when the command runs.

How to add a command
--------------------
1. Write a function into the module of its group, `cli/<group>.py`, and decorate it with `@app.command` there; a command
   without a group is a function in a module of its own. Its docstring is its help, with one line per parameter.
2. Add a row to `COMMANDS` for a new group or a command without one. Nothing else imports the module.
3. *Parse* by the types of the parameters: `OutputFormat` (`output`), `Features`, `AllFeatures`, `named_features`
   (`selection`). What stands before `*` may be given by position. Each option can also be set by a variable,
   METAXY_<GROUP>_<COMMAND>_<OPTION>, without further work.
4. *Call*: ask `metaxy.service` about `workspace()`, the project. A command computes nothing, and knows no stores and no
   graphs; `tests/architecture` forbids that.
5. *Print* what was asked for by `print_table`, `print_text` or `print_json` (stdout), everything else by `say`, `done`,
   `warn` and `progress` (stderr); see `output`.
6. Raise `usage_error` (`failures`) for what the layers below do not know, such as options that do not go together.
   Errors need no handling: `main` prints them, as JSON where the command has --format json. A command that found
   something, such as features that are not up to date, returns its exit code.
"""

import gc
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.config import Env
from cyclopts.validators import Number

from metaxy.cli.failures import EXITS, FAILURE, INTERRUPTED, message_of, plain_text, usage_error, usage_text
from metaxy.cli.options import GlobalOptions, current_options, set_options
from metaxy.cli.output import LogLines, complain, print_text, warn
from metaxy.errors import (
    ConfigFileNotFoundError,
    MetaxyColumnMissingWarning,
    MetaxyWarning,
    PolarsMaterializationWarning,
)
from metaxy.printable import json_text
from metaxy.service.failures import Failure, configured_secrets

DEBUG_VARIABLE: Final = "METAXY_DEBUG"
LEVEL_VARIABLE: Final = "METAXY_LOG_LEVEL"
GLOBAL: Final = Group("Global", sort_key=100)

# Name, where its function or app is (imported when it runs), and what `mx --help` says; in the order of that page.
COMMANDS: Final = (
    ("init", "metaxy.cli.init:init", "Write a small new project that works at once."),
    ("demo", "metaxy.cli.demo:demo", "See Metaxy work on small real files."),
    ("list", "metaxy.cli.listing:app", "Show features or stores."),
    ("describe", "metaxy.cli.describe:app", "Show everything about features, or about the graph."),
    ("run", "metaxy.cli.run:run", "Compute what is new and stale, by the functions of the project."),
    ("graph", "metaxy.cli.graph:app", "Draw the features of the project, or what is around one."),
    ("graph-diff", "metaxy.cli.graph_diff:app", "Show what changed between two versions of the project."),
    ("ui", "metaxy.cli.ui:ui", "Look at the project in a browser."),
    ("history", "metaxy.cli.history:history", "Show what was pushed, and which versions a feature had."),
    ("push", "metaxy.cli.push:push", "Record the features of the project in a store."),
    ("lock", "metaxy.cli.lock:lock", "Write down the features of other projects that this one depends on."),
    ("metadata", "metaxy.cli.metadata:app", "Show, count, copy, rebase, rename and delete the rows of features."),
    ("preview", "metaxy.cli.preview:app", "Remove stores that were made for a branch."),
    ("dagster", "metaxy.cli.dagster:app", "Write a code location, by which Dagster loads the features."),
    ("config", "metaxy.cli.configuration:app", "Show the configuration."),
    ("doctor", "metaxy.cli.doctor:doctor", "Check configuration, features and stores."),
    ("shell", "metaxy.cli.shell:shell", "Run commands one after the other, without loading everything again."),
    ("completion", "metaxy.cli.completion:completion", "Let your shell complete commands and options."),
)


class Variables(Env):
    """Options from METAXY_<GROUP>_<COMMAND>_<OPTION>; a name with a dash could not be exported by a shell."""

    def _prefix(self, commands: tuple[str, ...]) -> str:
        return super()._prefix(commands).replace("-", "_")


def _global(variable: str) -> Parameter:
    """Return what global options have in common; an empty variable says nothing, as in the configuration."""
    return Parameter(env_var=variable, env_var_split=_unless_empty, group=GLOBAL)


def _unless_empty(_: Any, text: str, **__: Any) -> list[str]:
    return [text] if text else []


def installed_version() -> str:
    """Return the number that `--version` prints."""
    from importlib.metadata import version  # takes longer to import than this module

    return version("metaxy")


app = App(
    name="metaxy",
    help="Know exactly which samples of which feature must be computed again, and why.",
    help_format="plaintext",  # markdown would double the time that help takes
    version=installed_version,
    config=Variables("METAXY_"),
    group_commands=Group("Commands", sort_key=1),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
for _name, _target, _summary in COMMANDS:
    app.command(_target, name=_name, help=_summary)
app["--help"].group = app["--version"].group = GLOBAL
app.meta.config = ()  # global options have variables of their own
app.meta.suppress_keyboard_interrupt = False  # it may say how to go on


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config_file: Annotated[Path | None, _global("METAXY_CONFIG_FILE")] = None,
    project: Annotated[str | None, _global("METAXY_PROJECT")] = None,
    all_projects: Annotated[bool, _global("METAXY_ALL_PROJECTS")] = False,
    sync: Annotated[bool, _global("METAXY_SYNC")] = False,
    locked: Annotated[bool, _global("METAXY_LOCKED")] = False,
    wait: Annotated[float | None, _global("METAXY_WAIT"), Parameter(validator=Number(gte=0))] = None,
    debug: Annotated[bool, Parameter(negative=(), group=GLOBAL)] = False,
) -> Any:
    """Run one command with the global options, which may stand anywhere on the line.

    Args:
        tokens: The command and its arguments.
        config_file: The configuration file to use, instead of the nearest `metaxy.toml` or `pyproject.toml`.
        project: The project to work on, instead of the configured one.
        all_projects: Work on the features of all projects.
        sync: First replace external features by those that the default store has.
        locked: Treat another version of an external feature as an error.
        wait: How many seconds to wait for a store whose file another process locks, instead of its `lock_timeout`.
        debug: Show the Python traceback of an error, as METAXY_DEBUG=1 does.
    """
    if config_file:
        if not config_file.is_file():
            raise ConfigFileNotFoundError(f"{config_file} of --config-file does not exist")
        os.environ["METAXY_CONFIG"] = str(config_file.resolve())  # for processes that the command starts
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    set_options(GlobalOptions(config_file, project, all_projects, sync, locked, wait))
    return run(tokens)


def run(tokens: Sequence[str]) -> Any:
    """Run a command with the global options of this call, and return what it returns."""
    options = current_options()
    options.format = "json" if _wants_json(tokens) else "plain"
    command, bound, _ = app.parse_args(tokens)
    options.format = str(bound.arguments.get("format", options.format))  # a variable may say so as well
    return command(*bound.args, **bound.kwargs)


def _wants_json(tokens: Sequence[str]) -> bool:
    """Return whether a command line that cannot be parsed asks for JSON."""
    pairs = pairwise(tokens)
    return "--format=json" in tokens or any(name in ("--format", "-f") and value == "json" for name, value in pairs)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of this process, and return its exit code."""
    set_options(GlobalOptions())
    with warnings.catch_warnings():
        _prepare_process()
        return guarded(lambda: app.meta(sys.argv[1:] if tokens is None else tokens), load_environment=True)


def guarded(call: Any, *, load_environment: bool = False) -> int:
    """Call something, report what goes wrong, and return the exit code."""
    try:
        if load_environment:
            load_dotenv(Path(".env"))
            set_log_level()
        result = call()
        sys.stdout.flush()
    except CycloptsError as error:
        text = usage_text(error, [name for name, _, _ in COMMANDS])
        return report(usage_error(text))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except KeyboardInterrupt as error:  # it may say how far it came
        if str(error):
            complain(f"interrupted: {error}")
        return INTERRUPTED
    except Exception as error:  # whatever it is: a user must not see a traceback without --debug
        return report(error)
    return result if isinstance(result, int) else 0


def _prepare_process() -> None:
    """Let warnings be one line, and characters that a stream cannot show no error; collect garbage seldom."""
    gc.set_threshold(100_000, 20, 100)  # features are many objects that stay: looking at them again takes longer
    if not sys.warnoptions:
        for category in (MetaxyWarning, PolarsMaterializationWarning, MetaxyColumnMissingWarning):
            warnings.simplefilter("default", category)
    warnings.showwarning = lambda message, *_, **__: warn(str(message))
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


def load_dotenv(path: Path) -> None:
    """Put the variables of a `.env` file into the environment; variables that are set already win."""
    if path.is_file():
        from dotenv import load_dotenv as load  # most projects have no such file, and need not pay for this

        load(path, encoding="utf-8")


def set_log_level() -> None:
    """Show log messages on stderr from the level that METAXY_LOG_LEVEL names; without it, only warnings."""
    if name := os.environ.get(LEVEL_VARIABLE):
        level = logging.getLevelName(name.upper())
        if isinstance(level, int):
            handler = logging.StreamHandler()
            handler.setFormatter(LogLines("%(levelname)s %(name)s: %(message)s"))
            logging.basicConfig(level=level, handlers=[handler])
        else:
            warn(f"{LEVEL_VARIABLE}={name} is no log level, such as DEBUG or INFO")


def report(error: Exception) -> int:
    """Say what went wrong, with the traceback where that is asked for; return the exit code."""
    is_debug = os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")
    if is_debug:
        complain(configured_secrets().hide("".join(traceback.format_exception(error)).rstrip()))
    failure = Failure.of(error)
    if current_options().format == "json":
        print_text(json_text(failure.data() | {"message": message_of(failure)}))
    elif not is_debug:
        complain(plain_text(failure))
    return EXITS[failure.kind]


if __name__ == "__main__":
    sys.exit(main())
