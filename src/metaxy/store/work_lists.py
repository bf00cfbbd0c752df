"""Lists of what is to do: made once, and then used for some minutes by all threads of a process."""

import threading
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from metaxy.columns import is_system_column
from metaxy.store.system.id_texts import texts_of_ids
from metaxy.wording import did_you_mean


@dataclass
class WorkList:
    """The samples that were to do at some time, in the order in which they are handed out.

    ``since`` is the time that it shows, by the clock of who keeps the claims. ``place`` is the next one, and
    ``elsewhere`` counts those before it that other workers held.
    """

    ids: pl.DataFrame
    since: datetime
    place: int = 0
    elsewhere: int = 0
    made: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        """How many samples were not looked at yet."""
        return self.ids.height - self.place

    def window(self, size: int) -> list[str]:
        """Return the next samples as texts."""
        rows = self.ids.slice(self.place, size)
        return texts_of_ids(rows, rows.columns).to_list()


@dataclass
class WorkLists:
    """The lists of a store, by what was asked; whoever takes from them holds the lock."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    _known: dict[Hashable, tuple[Mapping[str, Any], WorkList]] = field(default_factory=dict)

    def find(self, key: Hashable, options: Mapping[str, Any], oldest: timedelta) -> WorkList | None:
        """Return the list for the same question that has samples left, if it is not too old."""
        asked, found = self._known.get(key, ({}, None))
        if found is None or not found.left or time.monotonic() - found.made > oldest.total_seconds():
            return None
        return found if is_same(asked, options) else None

    def remember(self, key: Hashable, options: Mapping[str, Any], found: WorkList) -> None:
        """Keep a list, in place of the one before it."""
        self._known[key] = options, found


def refuse_unknown_order(names: Iterable[str], known: Sequence[str]) -> None:
    """Refuse to order samples by columns that they do not have.

    Raises:
        ValueError: naming the column.
    """
    for name in names:
        if name not in known:
            shown = ", ".join(column for column in known if not is_system_column(column))
            raise ValueError(
                f"order_by: samples have no column {name!r}.{did_you_mean(name, known)} They have: {shown}"
            )


def is_same(left: Any, right: Any) -> bool:
    """Return whether two options are equal, as far as that is known: expressions and frames are if they are one.

    >>> is_same({"a": ["x > 1"]}, {"a": ["x > 1"]}), is_same(["x > 1"], ["x > 2"])
    (True, False)
    """
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(is_same(left[name], right[name]) for name in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(is_same, left, right))
    return isinstance(left, (str, int, float, datetime)) and bool(left == right)
