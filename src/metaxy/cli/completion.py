"""`mx completion`: let a shell complete commands and options."""

from typing import Annotated, Literal

from cyclopts import Parameter

from metaxy.cli.app import app
from metaxy.cli.output import done, print_text


def completion(
    shell: Literal["bash", "zsh", "fish"] | None = None,
    *,
    install: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Print the script that lets a shell complete commands and options, or install it.

    Args:
        shell: Which shell; the one that runs this command by default.
        install: Write the script to where the shell finds it.
    """
    if install:
        done(f"Written to {app.install_completion(shell=shell)}; open a new shell to use it")
    else:
        print_text("\n\n".join(app.generate_completion(prog_name=name, shell=shell) for name in ("metaxy", "mx")))
