"""A code location of Dagster: a few small files by which `dagster` and `dg` load the features of a project."""

import keyword
import os
import re
import sys
from pathlib import Path
from typing import Final

from metaxy.errors import MetaxyError, RequestError
from metaxy.project.scaffold import project_name, write_files
from metaxy.service.project import Project
from metaxy.wording import short_path

DG: Final = """\
# What `dg` loads: dg list defs, dg check defs, dg launch --assets '*'
directory_type = "project"

[project]
root_module = "{module}"
code_location_name = "{module}"
"""
WORKSPACE: Final = """\
# What `dagster dev` loads.
load_from:
  - python_module:
      module_name: {module}.definitions
      location_name: {module}
      working_directory: .
"""
INIT: Final = '"""Features of Metaxy as assets of Dagster."""\n'
DEFINITIONS: Final = '''\
"""All definitions in the folder defs: those of defs.yaml files, and those of Python modules that you add."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Load them."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
'''
COMPONENT: Final = """\
# The features of a project as assets; `dg docs serve` says what else stands here.
type: metaxy.ext.dagster.MetaxyComponent

attributes:
  project: {config}
  features: "*"
"""


def files_of(module: str, config: str) -> dict[str, str]:
    """Return the files of a code location, by their paths below its folder."""
    return {
        "dg.toml": DG.format(module=module),
        "workspace.yaml": WORKSPACE.format(module=module),
        f"{module}/__init__.py": INIT,
        f"{module}/definitions.py": DEFINITIONS,
        f"{module}/defs/features/defs.yaml": COMPONENT.format(config=config),
    }


def write_code_location(project: Project, folder: Path | None = None, name: str | None = None) -> list[Path]:
    """Write the files of a code location, and return them; nothing that is there is changed.

    Args:
        folder: Where; beside the configuration file by default.
        name: Name of its Python package; by default that of the project, and ``_assets``.

    Raises:
        RequestError: if there is no configuration file, or a package cannot have that name.
        MetaxyError: if one of the files exists, or they cannot be written.
    """
    config = _config_file(project)
    folder = (folder or config.parent).resolve()
    module = _module(project, name, folder)
    defs = folder / module / "defs" / "features"
    files = {folder / file: text for file, text in files_of(module, _relative(config, defs)).items()}
    if taken := [short_path(path) for path in files if path.exists()]:
        which = f"{taken[0]} exists" if len(taken) == 1 else f"{taken[0]} and {len(taken) - 1} more exist"
        raise MetaxyError(f"{which} already; give another PATH: mx dagster scaffold orchestration")
    return write_files(files, f"to {folder}")


def _config_file(project: Project) -> Path:
    project.refuse_no_config()
    if (found := project.config.config_file) is None:
        message = "a code location needs a configuration file: Dagster starts processes that read it"
        hint = "write a metaxy.toml; `mx config print` shows what it would hold"
        raise RequestError("CONFIG_NOT_FOUND", message, hint=hint, kind="request")
    return found.resolve()


def _module(project: Project, name: str | None, folder: Path) -> str:
    """Return the name of the package, which must not hide a module that the project imports."""
    default = re.sub(r"\W", "_", f"{project_name(project.name or 'metaxy')}_assets").lower()
    default = f"_{default}" if default[0].isdigit() else default
    module = name or default
    problem = None
    if not module.isidentifier() or keyword.iskeyword(module):
        problem = f"{module!r} of --name is no name that a package can have"
    elif module in sys.stdlib_module_names or (folder / f"{module}.py").exists():
        problem = f"{module!r} of --name is the name of another module"
    if problem:
        raise RequestError("INVALID_NAME", problem, hint=f"such as {default!r}", kind="request", name=module)
    return module


def _relative(config: Path, folder: Path) -> str:
    """Return the path of the configuration from a folder, or all of it where they are on different drives."""
    try:
        return Path(os.path.relpath(config, folder)).as_posix()
    except ValueError:
        return config.as_posix()
