"""The released metaxy 0.1.11, as a black box in an environment of its own."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REQUIREMENTS = ("metaxy==0.1.11", "deltalake>=1.6", "duckdb==1.5.5", "ibis-framework[duckdb]", "packaging", "pyarrow")
PINS = ("polars<2.2", "sqlglot<30.18")


@pytest.fixture(scope="session")
def released_python() -> Path:
    """Return the interpreter of an environment that has the released package; it is made once and kept.

    It lies outside this repository, where no search through our code meets it.
    """
    folder = Path(tempfile.gettempdir()) / "metaxy-released"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    marker = folder / "installed"
    if not marker.exists():
        uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".venv-tools" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        command = [uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS, *PINS]
        subprocess.run(command, check=True, cwd=folder)
        marker.touch()
    return python
