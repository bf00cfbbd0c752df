"""The system tables: key, columns and types.

To add a table, add a `SystemTable` to `SYSTEM_TABLES`; `append_rows` and `scan_rows` of the module `rows` then write
and read it on every store.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from metaxy.columns import METAXY_DEFINITION_VERSION, METAXY_FEATURE_VERSION, METAXY_PROJECT_VERSION, METAXY_PROVENANCE
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, MetadataStoreError
from metaxy.storage import sql_claims
from metaxy.wording import did_you_mean, first_line

METAXY_SYSTEM_KEY_PREFIX: Final = "metaxy-system"
TIMESTAMP: Final = pl.Datetime("us")  # UTC, without a zone, as metaxy 0.1 has it

COL_PROJECT: Final = "project"
COL_FEATURE_KEY: Final = "feature_key"
COL_RECORDED_AT: Final = "recorded_at"
COL_TAGS: Final = "tags"
COL_EXECUTION_ID: Final = "execution_id"
COL_EVENT_TYPE: Final = "event_type"
COL_TIMESTAMP: Final = "timestamp"
COL_PAYLOAD: Final = "payload"
COL_IDS: Final = "ids"
COL_ATTEMPT: Final = "attempt"
COL_ERROR_TYPE: Final = "error_type"
COL_ERROR_MESSAGE: Final = "error_message"
COL_RUN_ID: Final = "run_id"
COL_FORMER_KEY: Final = "former_key"

FEATURE_VERSIONS_SCHEMA: Final = pl.Schema(
    {
        COL_PROJECT: pl.String(),
        COL_FEATURE_KEY: pl.String(),
        METAXY_FEATURE_VERSION: pl.String(),
        METAXY_DEFINITION_VERSION: pl.String(),
        COL_RECORDED_AT: TIMESTAMP,
        "feature_spec": pl.String(),
        "feature_schema": pl.String(),
        "feature_class_path": pl.String(),
        METAXY_PROJECT_VERSION: pl.String(),
        COL_TAGS: pl.String(),
        "deleted_at": TIMESTAMP,
    }
)
EVENTS_SCHEMA: Final = pl.Schema(
    {
        COL_PROJECT: pl.String(),
        COL_EXECUTION_ID: pl.String(),
        COL_EVENT_TYPE: pl.String(),
        COL_TIMESTAMP: TIMESTAMP,
        COL_FEATURE_KEY: pl.String(),
        COL_PAYLOAD: pl.String(),
    }
)
# A row without IDs forgets the errors of its feature that were recorded before it.
ROW_ERRORS_SCHEMA: Final = pl.Schema(
    {
        COL_FEATURE_KEY: pl.String(),
        COL_IDS: pl.String(),
        METAXY_FEATURE_VERSION: pl.String(),
        METAXY_PROVENANCE: pl.String(),
        COL_ATTEMPT: pl.Int64(),
        COL_ERROR_TYPE: pl.String(),
        COL_ERROR_MESSAGE: pl.String(),
        COL_RECORDED_AT: TIMESTAMP,
        COL_RUN_ID: pl.String(),
    }
)
# Features that depend on a renamed one have no former key.
RENAMES_SCHEMA: Final = pl.Schema(
    {
        COL_FEATURE_KEY: pl.String(),
        COL_FORMER_KEY: pl.String(),
        METAXY_FEATURE_VERSION: pl.String(),
        COL_RECORDED_AT: TIMESTAMP,
    }
)
KINDS: Final = {"VARCHAR": pl.String(), "BIGINT": pl.Int64(), "TIMESTAMP": TIMESTAMP}
CLAIMS_SCHEMA: Final = pl.Schema({name: KINDS[kind] for name, kind in sql_claims.COLUMNS.items()})


@dataclass(frozen=True)
class SystemTable:
    """A table that Metaxy keeps for itself in every store; ``written_by`` tells people how it comes to be."""

    key: FeatureKey
    schema: pl.Schema
    written_by: str

    def fit(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give rows the columns and types of the table; columns that they lack are NULL.

        Raises:
            MetadataSchemaError: if there are other columns, or values of another type.
        """
        for name in rows.columns:
            if name not in self.schema:
                raise MetadataSchemaError(
                    f"system table {self.key} has no column {name!r}.{did_you_mean(name, self.schema)} "
                    f"It has: {', '.join(self.schema)}"
                )
        missing = [pl.lit(None).alias(name) for name in self.schema if name not in rows.columns]
        try:
            return rows.with_columns(missing).select(list(self.schema)).cast(self.schema)
        except pl.exceptions.PolarsError as error:
            reason = first_line(error)
            raise MetadataSchemaError(f"system table {self.key}: the rows do not fit: {reason}") from error

    def empty(self) -> pl.DataFrame:
        """Return the table without rows."""
        return pl.DataFrame(schema=self.schema)


FEATURE_VERSIONS_KEY: Final = FeatureKey([METAXY_SYSTEM_KEY_PREFIX, "feature_versions"])
EVENTS_KEY: Final = FeatureKey([METAXY_SYSTEM_KEY_PREFIX, "events"])
FEATURE_VERSIONS: Final = SystemTable(
    FEATURE_VERSIONS_KEY, FEATURE_VERSIONS_SCHEMA, "`mx push` or SystemTableStorage(store).push_graph_snapshot()"
)
EVENTS: Final = SystemTable(EVENTS_KEY, EVENTS_SCHEMA, "SystemTableStorage(store).write_event(…)")
ROW_ERRORS: Final = SystemTable(
    FeatureKey([METAXY_SYSTEM_KEY_PREFIX, "row_errors"]), ROW_ERRORS_SCHEMA, "store.record_errors(feature, frame)"
)
CLAIMS: Final = SystemTable(FeatureKey([METAXY_SYSTEM_KEY_PREFIX, "claims"]), CLAIMS_SCHEMA, "store.claim(feature)")
RENAMES: Final = SystemTable(
    FeatureKey([METAXY_SYSTEM_KEY_PREFIX, "renames"]), RENAMES_SCHEMA, "store.rename_feature(old, new)"
)
SYSTEM_TABLES: Final = {table.key: table for table in (FEATURE_VERSIONS, EVENTS, ROW_ERRORS, CLAIMS, RENAMES)}


def is_system_key(key: FeatureKey) -> bool:
    """Return whether a key names a system table.

    >>> is_system_key(FEATURE_VERSIONS_KEY), is_system_key(FeatureKey("video"))
    (True, False)
    """
    return key.parts[0] == METAXY_SYSTEM_KEY_PREFIX


def refuse_system_key(key: FeatureKey, verb: str) -> None:
    """Refuse to do to a system table what only feature tables allow."""
    if is_system_key(key):
        raise MetadataStoreError(f"cannot {verb} {key}: system tables are the memory of the store and only grow")
