"""One row of a system table: a recorded feature, or an event."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from metaxy.dag.snapshot import SerializedFeature
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import InvalidStoredFeatureWarning, warn_user
from metaxy.wording import first_line


class FeatureVersionsModel(BaseModel):
    """A row of ``metaxy-system/feature_versions``: one feature as it was when a graph was pushed."""

    model_config = ConfigDict(frozen=True)

    project: str
    feature_key: str
    metaxy_feature_version: str
    metaxy_definition_version: str
    recorded_at: datetime
    feature_spec: str
    feature_schema: str
    feature_class_path: str | None
    metaxy_project_version: str
    tags: str
    deleted_at: datetime | None = None

    @classmethod
    def from_snapshot(
        cls, key: str, feature: SerializedFeature, project_version: str, recorded_at: datetime, tags: Mapping[str, str]
    ) -> Self:
        """Build the row of one feature of a snapshot."""
        texts = {name: json.dumps(feature[name]) for name in ("feature_spec", "feature_schema")}
        return cls.model_validate(
            {
                **feature,
                **texts,
                "feature_key": key,
                "metaxy_project_version": project_version,
                "recorded_at": recorded_at,
                "tags": json.dumps(dict(tags)),
            }
        )

    def definition(self, source: str | None = None) -> FeatureDefinition:
        """Return the recorded definition; nothing is imported."""
        return FeatureDefinition.from_stored_data(
            feature_spec=self.feature_spec,
            feature_schema=self.feature_schema,
            feature_class_path=self.feature_class_path,
            project=self.project,
            source=source,
        )


def decoded(rows: pl.DataFrame, source: str) -> Iterator[FeatureDefinition]:
    """Yield the definitions of rows; those that cannot be decoded are skipped with a warning."""
    for row in rows.iter_rows(named=True):
        try:
            yield FeatureVersionsModel.model_validate(row).definition(source)
        except (ValueError, TypeError, LookupError) as error:  # errors of JSON, of Pydantic, and of definitions
            reason = first_line(error)
            message = (
                f"{source}: the recorded definition of feature {row['feature_key']!r} (project {row['project']!r}, "
                f"recorded {row['recorded_at']}) cannot be read and is skipped: {reason}; push the project again"
            )
            warn_user(message, InvalidStoredFeatureWarning)


class PayloadType(str, Enum):
    """What the payload of an event says."""

    EMPTY = "empty"
    ERROR = "error"
    ROWS_AFFECTED = "rows_affected"


class EventType(str, Enum):
    """Types of events; Metaxy itself records none yet, and an event may have any text as its type."""


class Event(BaseModel):
    """Something that happened while a feature was computed; the payload holds ``type`` and what belongs to it.

    >>> payload = {"type": PayloadType.ROWS_AFFECTED, "rows_affected": 3}
    >>> event = Event(project="vision", execution_id="run-1", event_type="written", payload=payload)
    >>> event.row(datetime(2026, 1, 1))["payload"]
    '{"type": "rows_affected", "rows_affected": 3}'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    execution_id: str
    event_type: EventType | str
    timestamp: datetime | None = None
    feature_key: str | None = None
    payload: dict[str, Any] = {"type": PayloadType.EMPTY}

    def row(self, now: datetime) -> dict[str, Any]:
        """Return the event as a row, with a time if it has none."""
        return {**self.model_dump(mode="json"), "timestamp": self.timestamp or now, "payload": json.dumps(self.payload)}
