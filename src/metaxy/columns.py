"""The system columns: name, type, meaning.

This table is the only place that names them; `ALL_SYSTEM_COLUMNS` is what every feature table has.
"""

from typing import Final, Literal, NamedTuple

ColumnKind = Literal["text", "timestamp", "by_field"]


class SystemColumn(NamedTuple):
    """One system column of a feature table."""

    name: str
    kind: ColumnKind
    meaning: str


SYSTEM_COLUMN_PREFIX: Final = "metaxy_"
METAXY_PROVENANCE_BY_FIELD: Final = "metaxy_provenance_by_field"
METAXY_PROVENANCE: Final = "metaxy_provenance"
METAXY_DATA_VERSION_BY_FIELD: Final = "metaxy_data_version_by_field"
METAXY_DATA_VERSION: Final = "metaxy_data_version"
METAXY_FEATURE_VERSION: Final = "metaxy_feature_version"
METAXY_PROJECT_VERSION: Final = "metaxy_project_version"
METAXY_CREATED_AT: Final = "metaxy_created_at"
METAXY_UPDATED_AT: Final = "metaxy_updated_at"
METAXY_DELETED_AT: Final = "metaxy_deleted_at"
METAXY_MATERIALIZATION_ID: Final = "metaxy_materialization_id"
METAXY_DEFINITION_VERSION: Final = "metaxy_definition_version"  # system tables only
# What an update says of its samples beside their versions; never stored.
METAXY_CHANGED_FIELDS: Final = "metaxy_changed_fields"
METAXY_PREVIOUS: Final = "metaxy_previous"
METAXY_STATUS: Final = "metaxy_status"  # new or stale, where both are in one frame
METAXY_ERROR: Final = "metaxy_error"  # why nobody knows the versions of a sample now
INCREMENT_COLUMNS: Final = frozenset({METAXY_CHANGED_FIELDS, METAXY_PREVIOUS, METAXY_STATUS, METAXY_ERROR})
DEFAULT_CODE_VERSION: Final = "__metaxy_initial__"

SYSTEM_COLUMNS: Final = (
    SystemColumn(METAXY_PROVENANCE_BY_FIELD, "by_field", "hash of each field's inputs, computed by Metaxy"),
    SystemColumn(METAXY_PROVENANCE, "text", "hash over all fields; decides staleness"),
    SystemColumn(METAXY_DATA_VERSION_BY_FIELD, "by_field", "what children depend on; provenance unless overridden"),
    SystemColumn(METAXY_DATA_VERSION, "text", "hash over the data versions of all fields"),
    SystemColumn(METAXY_FEATURE_VERSION, "text", "version of the feature definition that wrote the row"),
    SystemColumn(METAXY_PROJECT_VERSION, "text", "version of the whole project at that time"),
    SystemColumn(METAXY_CREATED_AT, "timestamp", "first write of the row, kept when it is copied"),
    SystemColumn(METAXY_UPDATED_AT, "timestamp", "this write; the latest row of a sample wins"),
    SystemColumn(METAXY_DELETED_AT, "timestamp", "when the sample was deleted, NULL while it lives"),
    SystemColumn(METAXY_MATERIALIZATION_ID, "text", "id of the orchestration run that wrote the row"),
)
BY_FIELD_COLUMNS: Final = (METAXY_PROVENANCE_BY_FIELD, METAXY_DATA_VERSION_BY_FIELD)
VERSION_COLUMNS: Final = (
    METAXY_PROVENANCE_BY_FIELD,
    METAXY_PROVENANCE,
    METAXY_DATA_VERSION,
    METAXY_DATA_VERSION_BY_FIELD,
)
ALL_SYSTEM_COLUMNS: Final = frozenset(column.name for column in SYSTEM_COLUMNS)
SYSTEM_COLUMNS_WITH_LINEAGE: Final = frozenset(VERSION_COLUMNS)
DROPPABLE_SYSTEM_COLUMNS: Final = ALL_SYSTEM_COLUMNS - {METAXY_PROVENANCE, METAXY_PROVENANCE_BY_FIELD}
# Tables written by metaxy 0.1 may hold this leftover of a join: it is read but never passed on or written.
STRAY_COLUMNS: Final = frozenset({"metaxy_deleted_at_right"})
# Columns that stand beside those of users while something is computed begin like this, and those of users must not.
INTERNAL_PREFIX: Final = "__metaxy_"


def name_problem(name: str) -> str | None:
    """Say what is wrong with the name of a column, if not every store and library reads it as it is.

    >>> name_problem("a b"), name_problem("*")
    (None, 'has a name that Polars reads as a pattern')
    """
    if not name:
        return "has no name"
    if "\0" in name:
        return "has a NUL character in its name"
    return "has a name that Polars reads as a pattern" if name == "*" or (name[0], name[-1]) == ("^", "$") else None


def is_system_column(name: str) -> bool:
    """Return whether a column belongs to Metaxy.

    >>> is_system_column("metaxy_provenance"), is_system_column("path")
    (True, False)
    """
    return name in ALL_SYSTEM_COLUMNS
