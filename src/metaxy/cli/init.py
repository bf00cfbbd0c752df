"""`mx init`: a new project."""

from pathlib import Path

from metaxy.cli.options import current_options
from metaxy.cli.output import done, print_text, say
from metaxy.project.scaffold import write_project
from metaxy.wording import short_path


def init(path: Path = Path()) -> None:
    """Write a small project that works at once: configuration, features, and the functions that compute them.

    Nothing that is there already is changed. The project is called like its folder, or as --project says.

    Args:
        path: The folder of the project; created if it is missing.
    """
    for file in write_project(path, current_options().project):
        print_text(short_path(file.resolve()))
    done("A new project. Look around:")
    if path.resolve() != Path.cwd():
        say(f"  cd {path}")
    for command, meaning in STEPS:
        say(f"  {command:28}  {meaning}")


STEPS = (
    ("mx list features", "what there is to compute"),
    ("mx run", "compute it; run it again, and nothing is left to do"),
    ("mx metadata status", "what must be computed again"),
    ("mx push", "remember these features; then change a code_version in features.py"),
    ("mx graph-diff render latest", "what that change does"),
)
