"""Pieces of DuckDB statements about secrets and attached databases: all names checked or quoted, all values escaped."""

import re
from collections.abc import Mapping
from typing import Any

from metaxy.errors import InvalidConfigError

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


def quoted(name: str) -> str:
    """Write a name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """Write a value."""
    if isinstance(value, (bool, int, float)):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


def _checked(name: str, what: str) -> str:
    if not re.fullmatch(NAME.strip("^$"), name):
        raise InvalidConfigError(f"{what} {name!r} must consist of letters, digits and underscores")
    return name


def build_secret_sql(secret_name: str, secret_type: str, parameters: Mapping[str, Any], *, place: str = "") -> str:
    """Write the statement that creates a secret; parameters that are None are left out.

    Args:
        place: where it is kept, such as ``MOTHERDUCK``; the connection if empty.

    Raises:
        InvalidConfigError: if a name has other characters than letters, digits and underscores.

    >>> print(build_secret_sql("lake", "S3", {"key_id": "me", "secret": "it's", "region": None}))
    CREATE OR REPLACE SECRET "lake" (TYPE S3, KEY_ID 'me', SECRET 'it''s')
    """
    given = [
        f"{_checked(name, 'secret parameter').upper()} {literal(value)}"
        for name, value in parameters.items()
        if value is not None
    ]
    kind = f"TYPE {_checked(secret_type, 'secret type')}"
    where = f" IN {_checked(place, 'place')}" if place else ""
    name = quoted(_checked(secret_name, "secret"))
    return f"CREATE OR REPLACE SECRET {name}{where} ({', '.join([kind, *given])})"


def format_attach_options(options: Mapping[str, Any]) -> str:
    """Write options of ATTACH, sorted, without those that are None; nothing if there are none.

    Raises:
        InvalidConfigError: if a name has other characters than letters, digits and underscores.

    >>> format_attach_options({"data_inlining_row_limit": 0, "encrypted": True, "read_only": None})
    ' (DATA_INLINING_ROW_LIMIT 0, ENCRYPTED true)'
    """
    checked = {_checked(name, "attach option").upper(): value for name, value in options.items()}
    given = [f"{name} {literal(value)}" for name, value in sorted(checked.items()) if value is not None]
    return f" ({', '.join(given)})" if given else ""
