"""The `metaxy` and `mx` commands: parse, run one command, turn any error into one line and an exit code.

Must stay quick to load: help, version and usage errors import no dataframe library and no user code, since the module
of a command is imported when the command runs.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, CycloptsError, Group, Parameter

from metaxy.cli.failures import FAILURE, INTERRUPTED, USAGE, exit_code, one_line, usage_line
from metaxy.errors import ConfigFileNotFoundError

DEBUG_VARIABLE: Final = "METAXY_DEBUG"
GLOBAL: Final = Group("Global", sort_key=100)

# Name, where its function or app is (imported when it runs), and what `mx --help` says; in the order of that page.
COMMANDS: Final = (("demo", "metaxy.cli.demo:demo", "See Metaxy work on small real files."),)


def installed_version() -> str:
    """Return the number that `--version` prints."""
    from importlib.metadata import version  # takes longer to import than this module

    return version("metaxy")


app = App(
    name="metaxy",
    help="Know exactly which samples of which feature must be computed again, and why.",
    help_format="plaintext",  # markdown would double the time that help takes
    version=installed_version,
    group_commands=Group("Commands", sort_key=1),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
)
for _name, _target, _summary in COMMANDS:
    app.command(_target, name=_name, help=_summary)
app["--help"].group = app["--version"].group = GLOBAL


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config_file: Annotated[Path | None, Parameter(env_var="METAXY_CONFIG_FILE", group=GLOBAL)] = None,
    debug: Annotated[bool, Parameter(negative=(), group=GLOBAL)] = False,
) -> Any:
    """Run one command with the global options, which may stand anywhere on the line.

    Args:
        tokens: The command and its arguments.
        config_file: The configuration file to use, instead of the nearest `metaxy.toml` or `pyproject.toml`.
        debug: Show the Python traceback of an error, as METAXY_DEBUG=1 does.
    """
    if config_file:
        if not config_file.is_file():
            raise ConfigFileNotFoundError(f"{config_file} of --config-file does not exist")
        os.environ["METAXY_CONFIG"] = str(config_file.resolve())
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    return app(tokens)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of this process, and return its exit code."""
    try:
        load_dotenv(Path(".env"))
        result = app.meta(sys.argv[1:] if tokens is None else tokens)
        sys.stdout.flush()
    except CycloptsError as error:
        print(usage_line(error, [name for name, _, _ in COMMANDS]), file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # whatever it is: a user must not see a traceback without --debug
        return report(error)
    return result if isinstance(result, int) else 0


def load_dotenv(path: Path) -> None:
    """Put the variables of a `.env` file into the environment; variables that are set already win."""
    if path.is_file():
        from dotenv import load_dotenv as load  # most projects have no such file, and need not pay for this

        load(path, encoding="utf-8")


def report(error: Exception) -> int:
    """Say in one line on stderr what went wrong, with the traceback where that is asked for; return the exit code."""
    if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error)
    else:
        print(one_line(error), file=sys.stderr)
    return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
