"""Hash functions that subclasses of metaxy 0.1 give as Ibis expressions, as templates of SQL."""

from collections.abc import Callable, Mapping
from typing import Any

import ibis
import sqlglot.expressions as sge

from metaxy.hashing import HashAlgorithm

PLACE = "MX_TEXT"


def templates(functions: Mapping[HashAlgorithm, Callable[[Any], Any]], backend: Any) -> dict[HashAlgorithm, str]:
    """Write what the functions do with a text as SQL with a place for the text."""
    return {algorithm: _template(function, backend) for algorithm, function in functions.items()}


def _template(function: Callable[[Any], Any], backend: Any) -> str:
    table: Any = ibis.table({"text": "string"}, name="t")
    query = backend.compiler.to_sqlglot(table.select(hashed=function(table["text"])))
    value = query.expressions[0].unalias()
    for column in list(value.find_all(sge.Column)):
        column.replace(sge.Var(this=PLACE))
    text: str = value.sql(dialect=backend.dialect)
    return text.replace("{", "{{").replace("}", "}}").replace(PLACE, "{0}")
