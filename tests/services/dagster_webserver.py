"""The house of Dagster in a browser: `dagster-webserver` on a code location, offline."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.running import PATIENCE, free_port

SETTINGS = "telemetry:\n  enabled: false\n"


def variables(home: Path) -> dict[str, str]:
    """Return the variables of a process of Dagster that keeps its runs in a folder, and tells nobody of them."""
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(SETTINGS)
    (home / ".nux").mkdir(exist_ok=True)
    (home / ".nux" / "nux.yaml").write_text("seen: 1\n")  # nor is anybody welcomed
    others = {name: value for name, value in os.environ.items() if not name.startswith(("METAXY_", "DAGSTER_"))}
    return {**others, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONUTF8": "1"}


@contextmanager
def webserver(location: Path, home: Path) -> Iterator[str]:
    """Serve the workspace in a folder, and yield the address; it serves when it says so.

    Raises:
        RuntimeError: with what it printed, if it does not start.
    """
    port = free_port()
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=location, env=variables(home), **output) as process:  # type: ignore[call-overload]
        lines: list[str] = []
        serves = threading.Event()

        def read() -> None:
            for line in process.stdout:
                lines.append(line)
                if "Serving dagster-webserver" in line:
                    serves.set()
            serves.set()  # it ended, or nobody reads any more

        reader = threading.Thread(target=read)
        reader.start()
        try:
            if not serves.wait(PATIENCE) or process.poll() is not None:
                raise RuntimeError(f"dagster-webserver does not start:\n{''.join(lines)}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)
            reader.join(PATIENCE)
