"""`mx dagster`: features as assets of Dagster."""

from pathlib import Path

from cyclopts import App

from metaxy.cli.output import done, print_text, say
from metaxy.cli.workspace import workspace
from metaxy.service.code_location import write_code_location
from metaxy.wording import short_path

app = App(name="dagster", help="Have the features of the project as assets of Dagster.")


@app.command
def scaffold(path: Path | None = None, *, name: str | None = None) -> None:
    """Write a small code location: what `dagster` and `dg` need to load the features of the project as assets.

    Nothing that is there already is changed.

    Args:
        path: The folder of the code location, created if it is missing; beside the configuration file by default.
        name: Name of its Python package; by default that of the project and _assets.
    """
    project = workspace()
    files = write_code_location(project, path, name)
    for file in files:
        print_text(short_path(file))
    done("A code location of Dagster. Look at its assets, then in a browser:")
    if (folder := files[0].parent) != Path.cwd():
        say(f"  cd {short_path(folder)}")
    for command, meaning in STEPS:
        say(f"  {command:16}  {meaning}")
    config = project.config.config_file
    if config and config.resolve().parent != folder:
        say(f"Relative paths in {config.name} begin where a process starts: start Dagster where they are right.")


STEPS = (
    ("dg list defs", "what Dagster finds; pip install dagster-dg-cli"),
    ("dagster dev", "run it in a browser; pip install dagster-webserver"),
)
