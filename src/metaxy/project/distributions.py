"""The installed packages of a project: its own and those that it needs."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final

SEPARATORS: Final = re.compile(r"[-_.]+")


def canonical_name(name: str) -> str:
    """Return the one spelling of the name of a package.

    >>> canonical_name("My_Project.x")
    'my-project-x'
    """
    return SEPARATORS.sub("-", name).lower()


def dependency_closure(project: str) -> set[str] | None:
    """Return the packages that a project needs, directly or not, with itself; None if it is not installed.

    Args:
        project: Name of the project's package.
    """
    found = _installed(project)
    if found is None:
        return None
    closure: set[str] = set()
    todo = [found]
    while todo:
        package = todo.pop()
        name = canonical_name(package.name)
        if name not in closure:
            closure.add(name)
            todo += [needed for needed in map(_installed, _needs(package)) if needed is not None]
    return closure


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _needs(package: Distribution) -> list[str]:
    """Return the names of what a package needs here, without its extras."""
    from packaging.requirements import Requirement  # slow to import, and only isolated loading needs it

    requirements = [Requirement(line) for line in package.requires or ()]
    return [need.name for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
