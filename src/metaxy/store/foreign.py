"""Tables of someone else, under the name of a feature: said in one line, before an engine stumbles over them."""

from collections.abc import Mapping
from typing import Final

import narwhals as nw

from metaxy import columns as c
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError
from metaxy.storage.port import Scan

# What rows cannot be told apart or compared without; a table may lack the other system columns until it is written to.
REQUIRED: Final = (
    c.METAXY_FEATURE_VERSION,
    c.METAXY_PROVENANCE,
    c.METAXY_PROVENANCE_BY_FIELD,
    c.METAXY_UPDATED_AT,
)
ADVICE: Final = "move that table away, or keep features under another prefix, namespace or folder"


def refuse_foreign_table(key: FeatureKey, scan: Scan, store: object) -> None:
    """Refuse a table without the system columns, or with such columns of other types.

    Raises:
        MetadataSchemaError: naming the feature, the store and the columns.
    """
    lacking = [name for name in REQUIRED if name not in scan.schema]
    if lacking:
        raise MetadataSchemaError(
            f"feature {key}: its table in {store!r} is no feature table, it lacks {', '.join(lacking)}; {ADVICE}"
        )
    for name, dtype in _unusable(scan.schema, scan):
        raise MetadataSchemaError(
            f"feature {key}: its table in {store!r} is no feature table, its column {name} is {dtype}; {ADVICE}"
        )


def _unusable(schema: Mapping[str, nw.dtypes.DType], scan: Scan) -> list[tuple[str, nw.dtypes.DType]]:
    """List the system columns that no reader understands."""
    readable = {"text": (nw.String, nw.Categorical, nw.Enum), "timestamp": (nw.Datetime,)}
    found = []
    for name, kind, _ in c.SYSTEM_COLUMNS:
        dtype = schema.get(name, nw.Unknown())
        understood = name in scan.by_field if kind == "by_field" else isinstance(dtype, readable[kind])
        if not understood and not isinstance(dtype, nw.Unknown):  # of no type: only NULLs
            found.append((name, dtype))
    return found
