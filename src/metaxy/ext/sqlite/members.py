"""Members of structs that SQLite keeps as JSON, as values of SQL."""

import re
from typing import Any

import sqlglot.expressions as sge

from metaxy.ext.sqlite.dialect import SQLITE

IN_PATHS = re.compile(r'[^"\\\x00-\x1f]+')  # other names have escapes in JSON, which paths of SQLite do not know


def read_member(document: Any, name: str) -> Any:
    """Write what reads a member, as JSON has it."""
    if IN_PATHS.fullmatch(name):
        return sge.Anonymous(this="json_extract", expressions=[document, sge.convert(SQLITE.json_path.format(name))])
    members = sge.Anonymous(this="json_each", expressions=[document])
    named = sge.column("key").eq(sge.convert(name))
    return sge.Subquery(this=sge.select("value").from_(members).where(named))
