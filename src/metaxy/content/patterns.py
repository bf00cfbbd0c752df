"""Patterns of paths that say which files are one sample, such as ``{id}/frames/*.png``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

# What a pattern is made of: an ID, any folders, any letters, one letter, a choice of letters; all else is itself.
_PIECES: Final = re.compile(r"\{([^\W\d]\w*)\}|(\*\*/?)|(\*)|(\?)|(\[!?[^\]/]+\])|([^{}*?\[\]]+|.)", re.DOTALL)
_WILDCARDS: Final = re.compile(r"[*?\[]")


def has_wildcards(text: str) -> bool:
    """Return whether a path may be a pattern."""
    return bool(_WILDCARDS.search(text))


def _letters(choice: str) -> str:
    r"""Return a choice of letters as a regular expression; only ``!`` and ``-`` mean something in it.

    >>> _letters("[!a-f]"), _letters("[^x]")
    ('(?!/)[^a-f]', '(?!/)[\\^x]')
    """
    inside = choice[1:-1]
    others = "^" if inside.startswith("!") else ""
    letters = "-".join(map(re.escape, inside[bool(others) :].split("-")))
    return f"(?!/)[{others}{letters}]"


@dataclass(frozen=True)
class Pattern:
    """A pattern of paths: which IDs a file has, and which of the files of its sample it is.

    ``{name}`` is an ID, at least one letter of a part of a path, as many as fit from the left; ``*`` any letters of a
    part, ``?`` one, ``[a-f]`` one of these, ``**/`` any folders. Large and small letters differ.

    >>> Pattern("{id}/frames/*.png").match("a/frames/1.png"), Pattern("{id}.wav").match("a/frames/1.png")
    ((('a',), ('1',)), None)
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse a pattern that cannot be one.

        Raises:
            ValueError: if it is no path from a folder, or has an ID twice.
        """
        if self.text.startswith("/") or "\\" in self.text or ".." in self.text.split("/") or not self.text:
            raise ValueError(f"pattern {self.text!r} is no path from the folder that is scanned, by slashes")
        try:
            self._regex  # noqa: B018  # a choice of letters may be none
        except re.error as error:
            raise ValueError(f"pattern {self.text!r} cannot be read: {error.msg}") from None
        if len(set(self.ids)) < len(self.ids):
            raise ValueError(f"pattern {self.text!r} names an ID twice")

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The IDs, from left to right."""
        return tuple(piece[1] for piece in _PIECES.finditer(self.text) if piece[1])

    @cached_property
    def is_one_file(self) -> bool:
        """Whether a sample has only one such file."""
        return not any(any(piece.group(2, 3, 4, 5)) for piece in _PIECES.finditer(self.text))

    @cached_property
    def _regex(self) -> "re.Pattern[str]":
        return re.compile("".join(self._pieces()), re.DOTALL)

    def _pieces(self) -> Iterator[str]:
        for name, folders, letters, letter, choice, plain in _PIECES.findall(self.text):
            if name:
                yield f"(?P<{name}>[^/]+)"
            elif folders:
                yield "((?:[^/]+/)*)" if folders.endswith("/") else "(.*)"
            elif letters or letter:
                yield "([^/]*)" if letters else "([^/])"
            elif choice:
                yield f"({_letters(choice)})"
            else:
                yield re.escape(plain)

    def match(self, name: str) -> "tuple[tuple[str, ...], tuple[str, ...]] | None":
        """Return the IDs of a file and what the wildcards stand for, None if it is no such file."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        named = {self._regex.groupindex[each] for each in self.ids}
        others = tuple(text for number, text in enumerate(found.groups(), start=1) if number not in named)
        return tuple(found[each] for each in self.ids), others
