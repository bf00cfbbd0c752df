"""Files that say that who made them lives: the system locks them until that process ends, however it ends.

On disks without locks nobody can hold such a file, and nobody can tell that it was left.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from typing_extensions import Self

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Lease:
    """A file that this process holds."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        HELD.add(self)

    @classmethod
    def take(cls, path: Path, *, create: bool = True) -> Self | None:
        """Hold a file that is new or was left; None if somebody holds it.

        Args:
            path: of a name that nobody uses again.

        Raises:
            OSError: if it cannot be made, or this disk has no locks.
        """
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        try:
            if _lock(descriptor) and _is_still_there(path, descriptor):
                lease = cls(path, descriptor)
                descriptor = -1
                return lease
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def release(self) -> None:
        """Remove the file, and hold it no more."""
        with suppress(OSError):
            self.path.unlink()
        self.forget()
        with suppress(OSError):
            self.path.unlink()  # Windows removes no open file

    def forget(self) -> None:
        """Hold the file no more, in this process."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _is_still_there(path: Path, descriptor: int) -> bool:
    """Return whether a file was not taken for left, and removed, between being opened and being locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


HELD: WeakSet[Lease] = WeakSet()


def _forget_all() -> None:
    for lease in list(HELD):
        lease.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)  # else a child would hold what its killed parent held
