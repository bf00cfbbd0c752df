"""Servers that tests share: the first process that asks starts one, and it stops when the test run ends.

A run has a folder, named by an environment variable, so that the workers of pytest-xdist and the children of tests find
the same servers. The process that began the run listens on a port for as long as it lives, and each server keeps a
connection to it: whichever way that process ends, the connection breaks and the server stops.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VARIABLE = "TEST_SERVICES"
PATIENCE = 120.0
_owned: list[tuple[Path, socket.socket]] = []
_started: list["subprocess.Popen[bytes]"] = []  # kept, as the servers outlive the worker that started them

Address = dict[str, Any]


class ServiceError(Exception):
    """A server that tests need does not start."""


# -- the run -----------------------------------------------------------------------------------------------------------


def begin() -> None:
    """Begin a run, unless this process belongs to one."""
    if VARIABLE in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="metaxy-services-"))
    folder.chmod(0o755)  # servers that refuse to be root run as somebody else
    alive = socket.create_server(("127.0.0.1", 0), backlog=64)
    (folder / "owner").write_text(str(alive.getsockname()[1]))
    os.environ[VARIABLE] = str(folder)
    _owned.append((folder, alive))


def end() -> None:
    """End the run that this process began: all servers stop before it returns."""
    while _owned:
        folder, alive = _owned.pop()
        alive.close()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and list(folder.glob("*/running")):
            time.sleep(0.02)
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ[VARIABLE]
    for process in _started:
        process.wait(PATIENCE)


# -- the side of the tests ---------------------------------------------------------------------------------------------


def address(service: str) -> Address:
    """Return how to reach a server of the module `tests.services.<service>`; it is started where it is not running.

    Raises:
        ServiceError: with what it printed, if it does not start.
    """
    folder = Path(os.environ[VARIABLE]) / service
    with suppress(FileExistsError):
        folder.mkdir()  # only one process succeeds
        _start(service, folder)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not (folder / "failed").exists():
        with suppress(FileNotFoundError):
            found: Address = json.loads((folder / "address.json").read_text())
            return found
        time.sleep(0.02)
    raise ServiceError(f"{service} does not start:\n{(folder / 'log').read_text()}")


def _start(service: str, folder: Path) -> None:
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", f"tests.services.{service}", str(folder)]
        _started.append(
            subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True
            )
        )


# -- the side of the server --------------------------------------------------------------------------------------------


def serve(run: Callable[[Path], AbstractContextManager[Address]]) -> None:
    """Run a server in this process until the test run ends."""
    folder = Path(sys.argv[1])
    running = folder / "running"
    running.touch()
    try:
        owner = int((folder.parent / "owner").read_text())
        with socket.create_connection(("127.0.0.1", owner)) as alive, run(folder) as address:
            written = folder / "address.tmp"
            written.write_text(json.dumps(address))
            written.replace(folder / "address.json")
            with suppress(ConnectionError):
                alive.recv(1)
    except BaseException:
        traceback.print_exc()
        (folder / "failed").touch()
        raise
    finally:
        running.unlink()


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
