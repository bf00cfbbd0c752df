"""Which features have tables, as far as the names of the tables tell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from metaxy.definitions.keys import FeatureKey


def keys_of(names: Iterable[str], prefix: str = "") -> list[FeatureKey]:
    """Return keys of features whose tables have these names, sorted; names that no feature has are left out.

    A name does not tell hyphens from underscores: where both may be meant, the key has underscores.

    >>> keys_of(["mx_video__crop_2", "mx_Videos", "other"], "mx_")
    [video/crop_2]
    """
    return sorted(key for name in names if name.startswith(prefix) and (key := key_of(name.removeprefix(prefix))))


def key_of(name: str) -> FeatureKey | None:
    """Return a key whose table has this name, None if no feature has such a table."""
    key = _key(name.split("__"))
    return key if key and key.table_name == name else None


Folders: TypeAlias = Callable[[str], Iterable[str]]
"""Returns the names of the folders in one that is named by its path below a root."""


def keys_below(folders: Folders, suffix: str, *, nested: bool = False) -> list[FeatureKey]:
    """Return keys of features whose tables are folders with names that end like this, sorted.

    Args:
        suffix: how names of tables end.
        nested: whether each part of a key but the last one is a folder.
    """
    names = (name.removesuffix(suffix) for name in folders("") if name.endswith(suffix))
    keys = _keys_in(folders, suffix, ()) if nested else map(key_of, names)
    return sorted(key for key in keys if key is not None)


def _keys_in(folders: Folders, suffix: str, parts: tuple[str, ...]) -> Iterator[FeatureKey | None]:
    for name in folders("/".join(parts)):
        if name.endswith(suffix):
            yield _key([*parts, name.removesuffix(suffix)])
        elif _key([*parts, name]):  # no table can be below others
            yield from _keys_in(folders, suffix, (*parts, name))


def _key(parts: Sequence[str]) -> FeatureKey | None:
    try:
        return FeatureKey(parts)
    except ValueError:
        return None


def folders_in(root: str, path: str) -> Iterator[str]:
    """Yield the names of the folders in a folder of this machine; one that does not exist has none."""
    folder = Path(root, path)
    yield from (each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else ()
