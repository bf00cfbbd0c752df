"""Claims in an SQLite file: who writes has it alone, and its time is that of the machine."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from metaxy.ext.ibis.claims import IbisClaims
from metaxy.ext.sqlite.times import micros, naive


class SQLiteClaims(IbisClaims):
    """Claims in one file."""

    texts = "SELECT value AS ids FROM json_each(?)"

    def given(self, samples: Sequence[str]) -> Any:
        """Return texts as one parameter."""
        return json.dumps(list(samples))

    def moment(self, time: datetime) -> Any:
        """Return a time as a parameter."""
        return micros(time)

    def time(self, value: Any) -> datetime:
        """Return a stored time."""
        return naive(value)
