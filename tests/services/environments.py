"""Environments for what cannot be installed beside this package: metaxy 0.1.11, and peers in benchmarks.

They lie in the system's folder for temporary files, where no search through our code meets them, and are kept.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def interpreter(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment with these packages, which is made if there is none.

    Two processes that ask at once may make one each: the file that names it is only written when it is complete.
    """
    temporary = Path(tempfile.gettempdir())
    wanted = hashlib.sha256("\n".join((sys.executable, *requirements)).encode()).hexdigest()[:16]
    known = temporary / f"{name}-{wanted}.txt"
    if known.exists() and Path(known.read_text()).exists():
        return Path(known.read_text())
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".venv-tools" / "bin" / "uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), *requirements]
    subprocess.run(install, check=True, cwd=folder)
    written = folder / "interpreter.txt"
    written.write_text(str(python))
    written.replace(known)
    return python
