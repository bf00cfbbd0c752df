"""Tables of SQL databases: their names, and what happens where two writers create the same one."""

import re
from collections.abc import Container, Mapping
from dataclasses import replace

from metaxy.errors import InvalidConfigError, MetadataSchemaError
from metaxy.storage.port import Append

PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def checked_prefix(prefix: str) -> str:
    """Return the prefix of all table names, which may be empty.

    Raises:
        InvalidConfigError: if it has other signs than letters, digits and underscores.
    """
    if prefix and not PREFIX.fullmatch(prefix):
        raise InvalidConfigError(
            f"table_prefix {prefix!r} must consist of letters, digits and underscores, and not start with a digit"
        )
    return prefix


def fit_to_new_table(
    write: Append, types: Mapping[str, str], found: Mapping[str, str], same: Container[str] = ()
) -> Append:
    """Let rows for a new table go into one that another writer has created meanwhile.

    Args:
        types: the SQL types that their columns would get.
        found: those of the table.
        same: columns that are known to fit.

    Raises:
        MetadataSchemaError: if a column has another type there.
    """
    for name in types.keys() & found.keys():
        if name not in same and types[name].lower() != found[name].lower():
            raise MetadataSchemaError(
                f"feature {write.key}: its table was created by another writer, where column {name!r} is "
                f"{found[name]}, not {types[name]}; write again"
            )
    return replace(write, create=False, new_columns=tuple(name for name in types if name not in found))
