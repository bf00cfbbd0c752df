"""Which process holds a DuckDB file: DuckDB knows its number, the platform its command."""

import re
from pathlib import Path, PureWindowsPath

# On Linux, macOS and Windows; the program may have been renamed since.
HOLDER = re.compile(r"(?:held|already open) in\s+(?P<program>[^\n]+?) \(PID (?P<pid>\d+)\)")


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
