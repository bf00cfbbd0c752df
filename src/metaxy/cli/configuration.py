"""`mx config`: what the configuration says, all sources taken together."""

from typing import Annotated, Literal

import tomli_w
from cyclopts import App, Parameter

from metaxy.cli.output import print_json, print_text, say
from metaxy.cli.workspace import workspace
from metaxy.config.entries import without_none

app = App(name="config", help="Show the configuration.")


@app.command(name="print")
def show(*, format: Annotated[Literal["toml", "json"], Parameter(alias="-f")] = "toml") -> None:
    """Show the configuration in effect: file, variables and defaults; secrets are hidden.

    Args:
        format: How to print it.
    """
    project = workspace()
    if project.config.config_file is None:
        say("No configuration file was found: this is what variables and defaults say.")
    if format == "json":
        print_json(project.configuration())
    else:
        print_text(tomli_w.dumps(without_none(project.configuration())).rstrip())
