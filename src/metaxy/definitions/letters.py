"""Letters that differ by case only: what the simple case folding of Unicode takes for the same, one letter for one.

Engines disagree about other letters than those of English, so patterns that ignore case name each letter in all cases.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

_CASED: Final = range(0x20000)  # no letter with case lies behind these
# What the cases of letters do not say: the small dotless i has a capital only in Turkish, and three are written twice.
_FOLDED: Final = {"\u0131": "\u0131", "\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb05": "\ufb06"}


def in_all_cases(letter: str) -> str:
    """Return a letter and all that differ from it by case only.

    >>> in_all_cases("a"), in_all_cases("ς"), in_all_cases("ß"), in_all_cases("7")
    ('Aa', 'Σςσ', 'ßẞ', '7')
    """
    return _families().get(_folded(letter), letter)


@cache
def _families() -> Mapping[str, str]:
    """Return the letters that are folded to each letter, where they are several."""
    families: dict[str, str] = {}
    for letter in map(chr, _CASED):
        folded = _folded(letter)
        if folded != letter:
            families[folded] = families.get(folded, folded) + letter
    return {folded: "".join(sorted(family)) for folded, family in families.items()}


def _folded(letter: str) -> str:
    if letter in _FOLDED:
        return _FOLDED[letter]
    capital = letter.upper()
    small = (capital if len(capital) == 1 else letter).lower()
    return small if len(small) == 1 else letter
