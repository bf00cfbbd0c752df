"""Names that no column or member of a struct may have, as some store or library takes them for something else."""

from collections.abc import Mapping

import narwhals as nw

from metaxy.columns import INTERNAL_PREFIX
from metaxy.definitions.names import differing_by_case
from metaxy.errors import MetadataSchemaError
from metaxy.storage.nested_types import parts_of

NUL = "\0"


def refuse_names(schema: Mapping[str, nw.dtypes.DType], what: str) -> None:
    """Refuse columns that would be taken for ours, and names that not every store and library reads as they are.

    Raises:
        MetadataSchemaError: naming the first such column or member of a struct.
    """
    for column, dtype in schema.items():
        if column.lower().startswith(INTERNAL_PREFIX):
            raise _refused(what, f"column {column!r}", f"begins with {INTERNAL_PREFIX!r}, as only ours may")
        if reason := _problem(column):
            raise _refused(what, f"column {column!r}", reason)
        for part in parts_of(dtype):
            if isinstance(part, nw.Struct):
                _refuse_members([member.name for member in part.fields], what, f"of column {column!r}")


def _refuse_members(names: list[str], what: str, column: str) -> None:
    for name in names:
        if reason := _problem(name):
            raise _refused(what, f"member {name!r} {column}", reason)
    if alike := differing_by_case(names):
        raise _refused(what, f"members {' and '.join(map(repr, alike))} {column}", "differ only by case")


def _problem(name: str) -> str | None:
    if not name:
        return "has no name"
    if NUL in name:
        return "has a NUL character in its name"
    return "has a name that Polars reads as a pattern" if name == "*" or (name[0], name[-1]) == ("^", "$") else None


def _refused(what: str, name: str, reason: str) -> MetadataSchemaError:
    return MetadataSchemaError(f"{what}: {name} {reason}; rename it")
