"""The released metaxy 0.1.11, as a black box in an environment of its own."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REQUIREMENTS = (
    "deltalake>=1.6",
    "duckdb==1.5.5",
    "ibis-framework[duckdb,postgres]",
    "packaging",
    "psycopg[binary]",
    "pyarrow",
    "sqlglot<30.18",
)


def environment(name: str, *requirements: str) -> Path:
    """Return the interpreter of an environment that has the released package; it is made once and kept.

    It lies outside this repository, where no search through our code meets it.
    """
    folder = Path(tempfile.gettempdir()) / name
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    marker = folder / "installed"
    wanted = "\n".join((*REQUIREMENTS, *requirements))
    if not marker.exists() or marker.read_text() != wanted:
        uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".venv-tools" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        command = [uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS, *requirements]
        subprocess.run(command, check=True, cwd=folder)
        marker.write_text(wanted)
    return python


@pytest.fixture(scope="session")
def released_python() -> Path:
    """The released package with the newest libraries that it works with."""
    return environment("metaxy-released", "metaxy==0.1.11", "polars<2.2")


@pytest.fixture(scope="session")
def released_python_with_maps() -> Path:
    """The released package with libraries under which it can keep maps: those before maps were built in."""
    return environment("metaxy-released-maps", "metaxy[map]==0.1.11", "polars==1.40.*", "narwhals==2.20.*")
