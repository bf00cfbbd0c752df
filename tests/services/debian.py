"""Packages of Debian that tests need: installed where root may, by one process at a time, as apt refuses a second."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def can_install() -> bool:
    return os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(package: str) -> None:
    """Install a package, or leave it to the caller to find that it is missing."""
    alone = ["flock", str(Path(tempfile.gettempdir()) / "metaxy-tests-apt.lock"), "apt-get"]
    for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        subprocess.run([*alone, *command], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False)
