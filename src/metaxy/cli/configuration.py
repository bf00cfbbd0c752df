"""`mx config`: what the configuration says, all sources taken together."""

from typing import Annotated, Any, Literal

import tomli_w
from cyclopts import App, Parameter

from metaxy.cli.output import print_json, print_text, say
from metaxy.cli.workspace import workspace
from metaxy.config import MetaxyConfig
from metaxy.config.entries import without_none
from metaxy.masking import mask, mask_address

app = App(name="config", help="Show the configuration.")


@app.command(name="print")
def show(*, format: Annotated[Literal["toml", "json"], Parameter(alias="-f")] = "toml") -> None:
    """Show the configuration in effect: file, variables and defaults; secrets are hidden.

    Args:
        format: How to print it.
    """
    config = workspace().config
    if config.config_file is None:
        say("No configuration file was found: this is what variables and defaults say.")
    values = masked(config)
    if format == "json":
        print_json(values)
    else:
        print_text(tomli_w.dumps(without_none(values)).rstrip())


def masked(config: MetaxyConfig) -> dict[str, Any]:
    """Return a configuration as plain data, without its secrets: those of stores and integrations."""
    values = config.model_dump(mode="json")
    for store in values["stores"].values():
        store["config"] = mask(store["config"])
    values["ext"] = {name: mask(plugin) for name, plugin in values["ext"].items()}
    return {name: mask_address(value) if isinstance(value, str) else value for name, value in values.items()}
