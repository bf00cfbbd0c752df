"""Filters as users give them to the store's verbs: one or several, as Narwhals expressions or as filter strings."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import narwhals as nw

from metaxy.definitions.filters import parse_filter_string

Filter: TypeAlias = nw.Expr | str
Filters: TypeAlias = Filter | Iterable[Filter] | None


def as_filters(filters: Filters) -> tuple[nw.Expr, ...]:
    """Return filters as expressions, none for None.

    Raises:
        FilterParseError: if a text is no filter.
        TypeError: if one is neither text nor expression.

    >>> len(as_filters("size > 3")), len(as_filters([nw.col("size") > 3, "size < 9"]))
    (1, 2)
    """
    if filters is None:
        return ()
    if isinstance(filters, (str, Mapping, nw.Expr)) or not isinstance(filters, Iterable):
        return (_as_filter(filters),)
    return tuple(map(_as_filter, filters))


def _as_filter(given: object) -> nw.Expr:
    if isinstance(given, str):
        return parse_filter_string(given)
    if isinstance(given, nw.Expr):
        return given
    kind = type(given)
    raise TypeError(
        "a filter is a Narwhals expression such as nw.col('size') > 3, or a text such as 'size > 3', not a "
        f"{kind.__module__}.{kind.__qualname__}"
    )
