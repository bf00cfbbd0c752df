"""Errors of samples in the reference: what was recorded, which of it counts, and what an update gives that minds it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.agreement.reference import Answer, Reference, Row, event

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROVENANCE
from metaxy.definitions.keys import FeatureKey
from metaxy.store.request import ErrorHandling

Texts = Callable[[Row], str]  # writes equal rows as equal texts


@dataclass
class Failures:
    """All errors that were recorded: feature, version, sample with its provenance, time."""

    reference: Reference
    text: Texts
    records: list[tuple[FeatureKey, str, str, datetime]] = field(default_factory=list)

    def record(self, key: FeatureKey, answer: Answer, rows: Sequence[Row], now: datetime) -> None:
        """Remember rows of an answer as failed, after what was written of their samples."""
        for row in rows:
            written = max(self._written(key, answer, row), default=now - timedelta(microseconds=1))
            moment = max(now, written + timedelta(microseconds=1))
            self.records.append((key, self.reference.version(key), self._sample(answer, row), moment))

    def counts(self, key: FeatureKey, answer: Answer, row: Row) -> bool:
        """Say whether an error of a row counts that should be there."""
        mine = key, self.reference.version(key), self._sample(answer, row)
        times = [moment for *record, moment in self.records if tuple(record) == mine]
        return bool(times) and all(max(times) > written for written in self._written(key, answer, row))

    def minded(self, key: FeatureKey, answer: Answer, errors: ErrorHandling) -> Answer:
        """Return what is left of an answer."""
        keep = errors == "only"
        new, stale = (
            [row for row in rows if self.counts(key, answer, row) == keep] for rows in (answer.new, answer.stale)
        )
        if keep:  # which says nothing of others
            return replace(answer, new=new, stale=stale, orphaned=[], drifted=[], drifted_columns=None)
        return replace(answer, new=new, stale=stale)

    def _sample(self, answer: Answer, row: Row) -> str:
        return self.text({name: row[name] for name in (*answer.match, METAXY_PROVENANCE)})

    def _written(self, key: FeatureKey, answer: Answer, row: Row) -> Iterator[datetime]:
        """Yield when rows of the same sample were written or deleted, in this version of the feature."""
        table = self.reference.tables.get(key)
        same = self.text({name: row[name] for name in answer.match})
        for stored in table.rows if table else ():
            is_row = stored[METAXY_FEATURE_VERSION] == self.reference.version(key) and stored[METAXY_PROVENANCE]
            if is_row and self.text({name: stored[name] for name in answer.match}) == same:
                yield event(stored)
