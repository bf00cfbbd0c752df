"""Files of other stores, attached to the database of one, so that it reads their tables itself.

POSIX systems forget the locks that a process has on a file as soon as it closes any of its handles of it. So a process
has one handle of each file: what it has open is not attached, and what is attached is not opened beside, but read
through the database that has it.
"""

import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from metaxy.ext.duckdb.dialect import DUCKDB
from metaxy.ext.duckdb.results import first_row

ALONE = threading.RLock()  # for whoever opens, attaches or closes files
_ATTACHED: dict[str, "Attached"] = {}


@dataclass
class Attached:
    """A file in the database of others.

    ``owners`` are the connections of the stores that read it there, ``lodgers`` how many connections to the file itself
    go through that database. ``left`` are those of owners that have gone before lodgers, whose connections they carry.
    """

    name: str
    owners: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    left: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    lodgers: int = 0


def attached_name(file: Path) -> str:
    """Return how a file is called in databases of others."""
    return f"mx_{hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:16]}"


def attach(owner: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Attach a file, or use one that the same database has attached; `leave` it in the end.

    Raises:
        duckdb.Error: if another process has it locked, or another database of this process has it attached.
    """
    known = _ATTACHED.get(str(file.absolute()), Attached(attached_name(file)))
    if not is_in(owner, known.name):
        owner.execute(f"ATTACH {DUCKDB.literal(str(file))} AS {DUCKDB.quote(known.name)} (READ_ONLY)")
    known.owners.append(owner)
    _ATTACHED[str(file.absolute())] = known


def is_in(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Return whether a database has another one of this name attached."""
    query = "SELECT 1 FROM duckdb_databases() WHERE database_name = ?"
    return first_row(connection.execute(query, [name])) is not None


def is_attached(file: Path) -> bool:
    """Return whether a database of this process has a file attached."""
    return str(file.absolute()) in _ATTACHED


def leave(owner: duckdb.DuckDBPyConnection, file: Path) -> bool:
    """Read a file no longer; returns whether the owner may be closed, else the last lodger closes it."""
    known = _ATTACHED[str(file.absolute())]
    known.owners.remove(owner)
    if known.lodgers:
        known.left.append(owner)
        return False
    if not known.owners:
        _forget(file, owner)
    return True


def lodge(file: Path) -> duckdb.DuckDBPyConnection | None:
    """Return a connection to a file through the database that has it attached, if one has; `unlodge` in the end."""
    known = _ATTACHED.get(str(file.absolute()))
    if known is None:
        return None
    known.lodgers += 1
    return [*known.owners, *known.left][0].cursor()


def unlodge(file: Path) -> None:
    """Say that a connection that `lodge` returned is closed."""
    known = _ATTACHED[str(file.absolute())]
    known.lodgers -= 1
    if known.lodgers:
        return
    left, known.left = known.left, []
    if not known.owners:
        _forget(file, left[0])
    for owner in left:
        if not any(owner in other.left for other in _ATTACHED.values()):
            owner.close()


def _forget(file: Path, owner: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.Error):  # it goes with its database
        owner.execute(f"DETACH {DUCKDB.quote(attached_name(file))}")
    del _ATTACHED[str(file.absolute())]
