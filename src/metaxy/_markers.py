"""Marks on public objects that documentation builds read; they change nothing else."""

from typing import TypeVar

Marked = TypeVar("Marked")


def public(marked: Marked) -> Marked:
    """Mark a class or function as part of the public interface.

    >>> @public
    ... def answer() -> int:
    ...     return 42
    >>> answer.__metaxy_public__
    True
    """
    marked.__metaxy_public__ = True  # type: ignore[attr-defined]  # any class or function takes attributes
    return marked


def experimental(marked: Marked) -> Marked:
    """Mark a class or function that may still change in small releases.

    >>> @experimental
    ... def guess() -> int:
    ...     return 41
    >>> guess.__metaxy_experimental__
    True
    """
    marked.__metaxy_experimental__ = True  # type: ignore[attr-defined]  # any class or function takes attributes
    return marked
