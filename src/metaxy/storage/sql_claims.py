"""Claims as rows of a table, in any SQL database that has transactions.

One row of the table belongs to no feature: it counts tokens, and who takes samples changes it first, so takers take
turns. A finished sample stays for a while, so that who listed what is to do before that does not take it again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from metaxy.errors import TableNotFoundError
from metaxy.storage.port import Claimant, Taken

OF_FEATURE: Final = "feature_key = ? AND metaxy_feature_version = ?"
KEPT: Final = timedelta(minutes=10)  # how long finished samples are remembered, and lists of samples may be used
COUNTER: Final = ""  # the feature of the row that counts tokens
COLUMNS: Final = {
    "feature_key": "VARCHAR",
    "metaxy_feature_version": "VARCHAR",
    "ids": "VARCHAR",
    "token": "BIGINT",
    "claim": "VARCHAR",
    "worker": "VARCHAR",
    "taken_at": "TIMESTAMP",
    "expires_at": "TIMESTAMP",
    "finished_at": "TIMESTAMP",
}


class SqlClaims:
    """Implements `Claims`; a database says how to run statements, and how to write what differs.

    Args:
        place: where the table is, for messages.
        table: the quoted name of the table.
        may_create: whether it is created if it is missing.
    """

    texts: str  # a query that gives the texts of one parameter, in a column ``ids``
    locking = ""  # what lets a query lock rows, and leave out those that others have locked

    def __init__(self, place: str, table: str, *, may_create: bool) -> None:
        self.place = place
        self.table = table
        self.may_create = may_create

    # -- what a database says ------------------------------------------------------------------------------------------

    def transaction(self) -> AbstractContextManager[None]:
        """Run statements together or not at all."""
        raise NotImplementedError

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement; each ? stands for a parameter."""
        raise NotImplementedError

    def rows(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows."""
        raise NotImplementedError

    def exists(self) -> bool:
        """Return whether the table exists."""
        raise NotImplementedError

    def take_turns(self) -> None:
        """Let those that create the table take turns, until the transaction ends, where that is not so anyway."""

    def repeat(self, work: Callable[[], None]) -> None:
        """Do work that stores all or nothing, again where another writer was in its way."""
        work()

    def clock(self) -> datetime:
        """Return the time; databases that are no servers have that of this machine."""
        return datetime.now(timezone.utc).replace(tzinfo=None)

    def moment(self, time: datetime) -> Any:
        """Return a time as a parameter."""
        return time

    def time(self, value: Any) -> datetime:
        """Return a stored time."""
        found: datetime = value
        return found

    def given(self, samples: Sequence[str]) -> Any:
        """Return texts as one parameter."""
        return list(samples)

    # -- what users of claims ask --------------------------------------------------------------------------------------

    def prepare(self) -> datetime:
        """Create the table if it is missing, forget what was finished or expired long ago, and return the time.

        Raises:
            TableNotFoundError: if the table is missing, and the store may not create it.
        """
        if not self._is_ready():
            self.repeat(self._create)
        self.repeat(self._forget)
        return self.clock()

    def _forget(self) -> None:
        with self.transaction():
            self._delete(self._locked("COALESCE(finished_at, expires_at) < ?", [self.moment(self.clock() - KEPT)]))

    def take(
        self, claimant: Claimant, samples: Sequence[str], *, since: datetime, limit: int, rest: int, lease: timedelta
    ) -> Taken:
        """Claim the first of these samples that no live claim holds, and that were not finished since a time."""
        taken: list[Taken] = []
        self.repeat(lambda: taken.append(self._take(claimant, samples, since, limit, rest, lease)))
        return taken[-1]

    def _take(
        self, by: Claimant, samples: Sequence[str], since: datetime, limit: int, rest: int, lease: timedelta
    ) -> Taken:
        with self.transaction():
            count = f"UPDATE {self.table} SET token = token + 1 WHERE feature_key = ? RETURNING token"
            [[token]] = self.rows(count, [COUNTER])
            now = self.clock()
            known = self._known(by, samples)
            busy = {s for s, (ends, finished) in known.items() if (finished >= since if finished else ends > now)}
            over = self._taken_over(by, [s for s in samples if s in known and s not in busy], now, since)
            free = [n for n, sample in enumerate(samples) if sample not in known or sample in over]
            places = free[: min(limit, self._share(by, now, len(free) + rest))]
            chosen = [samples[n] for n in places]
            self._delete([(by.feature, by.version, sample) for sample in over.intersection(chosen)])
            self._insert(by, token, chosen, now, now + lease)
        seen = places[-1] + 1 if len(places) < len(free) else len(samples)
        held = sum(known[sample][1] is None for sample in samples[:seen] if sample in known and sample not in over)
        return Taken(token, now + lease, places, seen, held)

    def renew(self, claim: str, lease: timedelta) -> Mapping[str, datetime]:
        """Let a claim live on; return the samples that it still holds, and when they expire."""
        found: dict[str, datetime] = {}

        def work() -> None:
            with self.transaction():
                until = self.clock() + lease
                held = self.rows(
                    f"UPDATE {self.table} SET expires_at = ? WHERE claim = ? AND finished_at IS NULL RETURNING ids",
                    [self.moment(until), claim],
                )
            found.update((sample, until) for (sample,) in held)

        self.repeat(work)
        return found

    def finish(self, claim: str, samples: Sequence[str], work: Callable[[], None]) -> Sequence[str]:
        """Do some work for samples while nobody can take them over, and remember with it that they are finished."""
        lost: list[str] = []

        def attempt() -> None:
            lost.clear()
            try:
                with self.transaction():
                    lost.extend(self._not_finished(claim, samples))
                    if lost:
                        raise _Lost
                    work()
            except _Lost:
                pass

        self.repeat(attempt)
        return lost

    def _not_finished(self, claim: str, samples: Sequence[str]) -> list[str]:
        """Mark samples as finished, which locks their rows; return those that a claim does not hold."""
        held = self.rows(
            f"UPDATE {self.table} SET finished_at = ? WHERE claim = ? AND finished_at IS NULL "
            f"AND ids IN ({self.texts}) RETURNING ids",
            [self.moment(self.clock()), claim, self.given(samples)],
        )
        return sorted(set(samples) - {sample for (sample,) in held})

    def release(self, claim: str) -> None:
        """Let go of what a claim holds and has not finished."""

        def work() -> None:
            with self.transaction():
                self.run(f"DELETE FROM {self.table} WHERE claim = ? AND finished_at IS NULL", [claim])

        self.repeat(work)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _is_ready(self) -> bool:
        return self.exists() and bool(self.rows(f"SELECT 1 FROM {self.table} WHERE feature_key = ?", [COUNTER]))

    def _create(self) -> None:
        with self.transaction():
            self.take_turns()
            if not self.exists():
                self._create_table()
            if not self._is_ready():
                self.run(f"INSERT INTO {self.table} (feature_key, token) VALUES (?, 0)", [COUNTER])

    def _create_table(self) -> None:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        statement = f"CREATE TABLE {self.table} ({columns})"
        if not self.may_create:
            raise TableNotFoundError(
                f"{self.place} has no table for claims, and may not create it; set auto_create_tables = true in "
                f"metaxy.toml (or pass auto_create_tables=True), or create it yourself: {statement}"
            )
        self.run(statement)
        self.created()

    def created(self) -> None:
        """Do what a new table needs."""

    def _known(self, by: Claimant, samples: Sequence[str]) -> dict[str, tuple[datetime, datetime | None]]:
        """Return when samples that have a row expire, and when they were finished."""
        found = self.rows(
            f"SELECT ids, expires_at, finished_at FROM {self.table} WHERE {OF_FEATURE} AND ids IN ({self.texts})",
            [by.feature, by.version, self.given(samples)],
        )
        return {sample: (self.time(e), None if f is None else self.time(f)) for sample, e, f in found}

    def _taken_over(self, by: Claimant, samples: Sequence[str], now: datetime, since: datetime) -> set[str]:
        """Return which of these samples can be taken over: whose rows are not locked by a holder that is writing."""
        if not samples:
            return set()
        state = "(finished_at IS NULL AND expires_at <= ? OR finished_at < ?)"
        where = f"{OF_FEATURE} AND {state} AND ids IN ({self.texts})"
        times = [self.moment(now), self.moment(since)]
        return {row[2] for row in self._locked(where, [by.feature, by.version, *times, self.given(samples)])}

    def _locked(self, where: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        query = f"SELECT feature_key, metaxy_feature_version, ids FROM {self.table} WHERE {where}{self.locking}"
        return self.rows(query, parameters)

    def _delete(self, rows: Sequence[tuple[str, str, str]]) -> None:
        for feature, version in {(feature, version) for feature, version, _ in rows}:
            samples = [row[2] for row in rows if row[:2] == (feature, version)]
            self.run(
                f"DELETE FROM {self.table} WHERE {OF_FEATURE} AND ids IN ({self.texts})",
                [feature, version, self.given(samples)],
            )

    def _share(self, by: Claimant, now: datetime, left: int) -> int:
        """Return how many samples one worker may take, if all that work on this feature are to have as many."""
        [(others,)] = self.rows(
            f"SELECT COUNT(DISTINCT worker) FROM {self.table} WHERE {OF_FEATURE} "
            "AND finished_at IS NULL AND expires_at > ? AND worker <> ?",
            [by.feature, by.version, self.moment(now), by.worker],
        )
        return math.ceil(left / (int(others) + 1))

    def _insert(self, by: Claimant, token: int, samples: Sequence[str], now: datetime, until: datetime) -> None:
        values = [by.feature, by.version, token, by.claim, by.worker, self.moment(now), self.moment(until)]
        self.run(
            f"INSERT INTO {self.table} (ids, feature_key, metaxy_feature_version, token, claim, worker, taken_at, "
            f"expires_at) SELECT ids, {', '.join('?' * len(values))} FROM ({self.texts}) AS mx_texts",
            [*values, self.given(samples)],
        )


class _Lost(Exception):
    """Ends a transaction in which samples were found to be lost."""
