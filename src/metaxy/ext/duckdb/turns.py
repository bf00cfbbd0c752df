"""A queue of processes for a database file that one of them can open at a time, in the order in which they came.

DuckDB only refuses a file that another process has open. Whoever closes a file and opens it again at once would come
before all who look every few milliseconds, and again, so some would never have a turn. Those who wait stand in a hidden
folder beside the file, which is there only while somebody waits; who is killed leaves the queue at that moment.
"""

import re
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path, PureWindowsPath

from typing_extensions import Self

from metaxy.storage.leases import Lease

# On Linux, macOS and Windows; the program may have been renamed since.
HOLDER = re.compile(r"(?:held|already open) in\s+(?P<program>[^\n]+?) \(PID (?P<pid>\d+)\)")
POLL_SECONDS = 0.02
ATTEMPTS = 10  # to stand in a queue that the last one leaves at this moment
_OPEN: Counter[str] = Counter()  # files that this process has open: it lets itself in, whoever waits
_READ: Counter[str] = Counter()  # how often of these it has them open for reading only
_COUNTING = threading.Lock()


class Turns:
    """The queue for one file; without a file, as for databases in memory, nobody ever waits."""

    def __init__(self, file: Path | None) -> None:
        self._file = str(file.absolute()) if file else ""
        self._folder = file.absolute().with_name(f".{file.name}.queue") if file else None
        self._ticket: Lease | None = None
        self._has_it = False
        self._reads = False

    def __enter__(self) -> Self:
        """Want the file; a place in the queue is taken by the first `wait`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the queue, with or without the file."""
        if self._ticket and self._folder:
            self._ticket.release()
            self._ticket = None
            with suppress(OSError):
                self._folder.rmdir()  # unless others wait

    @property
    def is_open(self) -> bool:
        """Whether this process has the file open."""
        return _OPEN[self._file] > 0

    def opened(self, *, reads: bool = False) -> None:
        """Note that this process has the file open, maybe for reading only."""
        if not self._has_it:
            self._has_it, self._reads = True, reads
            self._count(1)

    def closed(self) -> None:
        """Note that it is closed again, if it was open."""
        if self._has_it:
            self._has_it = False
            self._count(-1)

    def _count(self, change: int) -> None:
        with _COUNTING:
            _OPEN[self._file] += change
            _READ[self._file] += change * self._reads

    def has_come(self, *, polite: bool = False) -> bool:
        """Return whether nobody waits who came earlier; otherwise, or if the file is not free yet, `wait`.

        The ``polite`` do not go on reading, one thread of this process after the other, what somebody else waits for.
        """
        with _COUNTING:
            is_read = 0 < _OPEN[self._file] == _READ[self._file]
        if self._folder is None or (_OPEN[self._file] > 0 and not (polite and is_read)):
            return True
        try:
            names = [ticket.name for ticket in self._folder.iterdir()]
        except OSError:
            return True  # nobody waits
        earlier = [name for name in names if self._ticket is None or name < self._ticket.path.name]
        return not any(_is_taken(self._folder / name) for name in sorted(earlier))

    def wait(self) -> None:
        """Stand in the queue for a moment."""
        self._queue()
        time.sleep(POLL_SECONDS)

    def _queue(self) -> None:
        """Take the last place, if there is none yet; where none can be had, chance decides."""
        for _ in range(ATTEMPTS):
            if self._ticket or self._folder is None:
                return
            with suppress(OSError):
                self._folder.mkdir(exist_ok=True)
                last = max((int(ticket.name.partition("-")[0]) for ticket in self._folder.iterdir()), default=0)
                self._ticket = Lease.take(self._folder / f"{last + 1:012d}-{uuid.uuid4().hex}")


def _is_taken(ticket: Path) -> bool:
    """Return whether somebody stands there, and remove what a killed process left."""
    try:
        left = Lease.take(ticket, create=False)
    except OSError:
        return False  # it is gone, or of a user whose files cannot be looked at: nobody waits for ever
    if left:
        left.release()
    return left is None and ticket.exists()


def holder_of(message: str) -> str:
    r"""Return the process that an error of DuckDB names, with its command where the platform tells.

    >>> holder_of("Conflicting lock is held in /usr/bin/duckdb (PID 4194999).")
    'process 4194999 (duckdb)'
    >>> holder_of("File is already open in \nC:\\Python\\python.exe (PID 12)")
    'process 12 (python.exe)'
    >>> holder_of("Could not set lock on file")
    'another process'
    """
    found = HOLDER.search(message)
    if found is None:
        return "another process"
    pid, program = found["pid"], _name(found["program"])
    return f"process {pid} ({_command(pid) or program})"


def _command(pid: str) -> str:
    """Return the program of a process and what it runs; further arguments may be secret, and so may code."""
    try:
        line = Path("/proc", pid, "cmdline").read_text(errors="replace")
    except OSError:
        return ""  # another platform, or a process of somebody else
    program, *arguments = line.rstrip("\0").split("\0")
    shown = [_name(program)]
    for number, argument in enumerate(arguments):
        if argument in ("-m", "-c"):
            return " ".join([*shown, argument, *(arguments[number + 1 : number + 2] if argument == "-m" else ["…"])])
        if not argument.startswith("-"):
            return " ".join([*shown, _name(argument)])
    return " ".join(shown)


def _name(path: str) -> str:
    return PureWindowsPath(path).name or path
