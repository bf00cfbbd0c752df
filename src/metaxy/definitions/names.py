"""Lists of column names, as users give them."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator

IDColumns: TypeAlias = Sequence[str]


def as_items(value: Any) -> tuple[Any, ...]:
    """Return the items of a list; refuse text and everything else whose items nobody means.

    Sets are sorted, because the order ends up in versions.

    >>> as_items(["a", "b"]), as_items({"b", "a"})
    (('a', 'b'), ('a', 'b'))
    """
    if isinstance(value, str):
        raise ValueError(f"expected a list, got the text {value!r}: write [{value!r}]")
    if isinstance(value, (bytes, Mapping, BaseModel, type)) or not isinstance(value, Iterable):
        raise ValueError(f"expected a list, got {reprlib.repr(value)}")
    return tuple(sorted(value, key=str)) if isinstance(value, (set, frozenset)) else tuple(value)


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once.

    >>> repeated(["a", "b", "a"])
    ['a']
    """
    seen = list(names)
    return sorted({name for name in seen if seen.count(name) > 1})


def differing_by_case(names: Iterable[str]) -> list[str]:
    """Return different names that some databases take for the same one.

    >>> differing_by_case(["id", "ID", "path"])
    ['ID', 'id']
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(name.lower(), set()).add(name)
    return sorted(name for group in groups.values() if len(group) > 1 for name in group)


ColumnNames = Annotated[tuple[str, ...], BeforeValidator(as_items)]
