"""Claims in a PostgreSQL database: rows are locked, and the time is that of the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from metaxy.ext.ibis.claims import IbisClaims


class PostgreSQLClaims(IbisClaims):
    """Claims in one database."""

    texts = "SELECT unnest(CAST(? AS text[])) AS ids"
    locking = " FOR UPDATE SKIP LOCKED"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run statements together or not at all; each sees what others have stored before it."""
        with super().transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            yield

    def written(self, statement: str) -> Any:
        """Write a statement as the driver takes it."""
        return statement.replace("%", "%%").replace("?", "%s").encode()

    def clock(self) -> datetime:
        """Return the time of the server."""
        [[now]] = self.rows("SELECT clock_timestamp() AT TIME ZONE 'UTC'", [])
        found: datetime = now
        return found
