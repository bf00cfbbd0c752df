"""The environment of the released metaxy 0.1.11: made once, in the system's folder for temporary files, and kept."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = (
    "metaxy==0.1.11",
    "polars<2.2",
    "polars-hash",
    "deltalake>=1.6",
    "duckdb==1.5.5",
    "ibis-framework[clickhouse,duckdb,postgres]",
    "packaging",
    "psycopg[binary]",
    "pyarrow",
    "sqlglot<30.18",
)


def environment(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment with these packages, which is made if it is not there."""
    folder = Path(tempfile.gettempdir()) / name
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    marker = folder / "installed"
    wanted = "\n".join(requirements)
    if not marker.exists() or marker.read_text() != wanted:
        uv = shutil.which("uv") or str(Path(__file__).parents[1] / ".venv-tools" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *requirements]
        subprocess.run(install, check=True, cwd=folder)
        marker.write_text(wanted)
    return python


def interpreter() -> Path:
    """Return the interpreter of the environment of metaxy 0.1.11."""
    return environment("metaxy-released-bench", REQUIREMENTS)
