r"""Regular expressions in the words that all engines understand alike, with the meaning that they have in Polars.

Engines agree about letters, groups, alternatives and repetitions. About the rest each has an idea of its own: which
characters `\d`, `\w` and `.` are, which letters differ by case only, how deep one may look ahead. So each class of
characters is written out as the ranges that it has in Polars, and what has no common form is refused.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import polars as pl

from metaxy.definitions.letters import in_all_cases
from metaxy.versioning.portable import UnportableError

MOST: Final = 255  # repetitions; PostgreSQL does not count further
_FLAGS: Final = re.compile(r"\(\?([is]+)\)")
_TOKEN: Final = re.compile(
    r"""(?P<group>\((?:\?:)?(?!\?))
    | (?P<close>\)) | (?P<bar>\|)
    | (?P<start>\^|\\A) | (?P<end>\$|\\z)
    | (?P<repeat>(?:[*+?]|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}))(?P<lazy>\??)
    | (?P<dot>\.)
    | (?P<bracket>\[)
    | (?P<class>\\[dDwWsS]|\\[pP](?:\{[^}]*\}|[A-Za-z]))
    | \\(?:x\{(?P<long>[0-9A-Fa-f]+)\}|x(?P<two>[0-9A-Fa-f]{2})|u(?P<four>[0-9A-Fa-f]{4})|U(?P<eight>[0-9A-Fa-f]{8}))
    | \\(?P<control>[afnrtv]) | \\(?P<escaped>[^0-9A-Za-z<>])
    | (?P<plain>[^\\(\[{])""",
    re.DOTALL | re.VERBOSE,
)
_OPENING: Final = re.compile(r"\[\^?\]?(?!:)")
_CONTROLS: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
# A class that is written alike everywhere: characters and ranges of them, none of which means anything else.
_SIMPLE: Final = re.compile(r"\[\^?(?:[^\[\]\\^&~-](?:-[^\[\]\\^&~-])?)+\]")
_SPECIAL: Final = frozenset(r"\.^$*+?()[]{}|")
_SPECIAL_IN_CLASS: Final = frozenset(r"\[]^-&~")


class PatternError(UnportableError):
    """A regular expression that engines understand differently, or not at all."""


def common_pattern(pattern: Any, *, exact: bool = False) -> str:
    r"""Return a regular expression that every engine finds in the texts in which Polars finds a given one.

    ``exact``: it matters where it ends there.

    Raises:
        PatternError: if there is none.

    >>> common_pattern(r"(?i)\.mp[3-4]*?\z") == r"(?s)\.[Mm][Pp][3-4]*$"
    True
    """
    if not isinstance(pattern, str):
        raise PatternError("looks for a regular expression that is no text; use a text, or literal=True")
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        reason = "".join(re.findall(r"(?m)^ *error: (.*)$", str(error))) or "Polars cannot read it"
        raise PatternError(f"has the regular expression {pattern!r}, which is wrong: {reason}") from None
    flags = _FLAGS.match(pattern)
    return _Writer(pattern, flags[1] if flags else "", exact).written(flags.end() if flags else 0)


def replaceable_pattern(pattern: Any, new: Any) -> str:
    """Return the common form of a pattern whose occurrences are the same everywhere, for a text that replaces them.

    Raises:
        PatternError: if engines might find shorter or longer ones, or read the new text in their own way.
    """
    common = common_pattern(pattern, exact=True)
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", common.removeprefix("(?s)"), flags=re.DOTALL)
    choices = len(re.findall(r"[|*+?{]", bare.replace("(?:", "(")))
    if choices > 1 or "|" in bare or pl.Series([""]).str.contains(common)[0]:
        raise PatternError(
            f"replaces the regular expression {pattern!r}, of which engines find shorter or longer occurrences; "
            "use one with at most one repetition and without alternatives, or str.contains"
        )
    if not isinstance(new, str) or set(new) & set("$\\"):
        raise PatternError(f"replaces {pattern!r} by something else than a text without $ and \\; use such a text")
    return common


@dataclass(frozen=True)
class _Writer:
    """Writes a pattern anew."""

    pattern: str
    flags: str
    exact: bool

    def written(self, start: int) -> str:
        """Write what stands behind the flags; the one that is written makes `.` any character."""
        parts, repeatable = ["(?s)"], False
        while start < len(self.pattern):
            token = _TOKEN.match(self.pattern, start)
            if token is None:
                raise self._refused(start)
            end = self._end_of_class(start) if token["bracket"] else token.end()
            if token["repeat"]:
                if not repeatable:
                    raise self._refused(start)
                parts.append(self._repetition(token))
            else:
                parts.append(self._atom(token, self.pattern[start:end]))
            repeatable = not any(token[kind] for kind in ("group", "bar", "start", "end", "repeat"))
            start = end
        return "".join(parts)

    def _refused(self, start: int) -> PatternError:
        return PatternError(
            f"has the regular expression {self.pattern!r}, which stores understand differently from "
            f"{self.pattern[start : start + 4]!r} on; common to all are letters, classes, groups, alternatives, "
            f"repetitions up to {MOST} and ^ $, behind flags (?is)"
        )

    def _end_of_class(self, start: int) -> int:
        """Return where a class ends; classes nest, and a bracket that closes nothing yet is a character."""
        depth, at = 0, start
        while at < len(self.pattern):
            opening = _OPENING.match(self.pattern, at)
            if opening:
                depth, at = depth + 1, opening.end()
                continue
            depth += {"[": 1, "]": -1}.get(self.pattern[at], 0)
            at += 2 if self.pattern[at] == "\\" else 1
            if depth == 0:
                return at
        raise self._refused(start)

    def _repetition(self, token: re.Match[str]) -> str:
        if (token["lazy"] and self.exact) or max(int(token["least"] or 0), int(token["most"] or 0)) > MOST:
            raise self._refused(token.start())
        return token["repeat"]

    def _atom(self, token: re.Match[str], text: str) -> str:
        if token["dot"]:
            return "." if "s" in self.flags else "[^\n]"
        if token["start"] or token["end"]:
            return "^" if token["start"] else "$"
        if token["group"] or token["close"] or token["bar"]:
            return text
        if token["class"] or token["bracket"]:
            simple = "i" not in self.flags and _SIMPLE.fullmatch(text)
            return text if simple else self._class(text, token.start())
        return self._letter(token)

    def _class(self, text: str, start: int) -> str:
        found = _class_of(text, "i" in self.flags)
        if not found:
            raise self._refused(start)
        return found

    def _letter(self, token: re.Match[str]) -> str:
        code = token["long"] or token["two"] or token["four"] or token["eight"]
        letter = (
            chr(int(code, 16)) if code else _CONTROLS.get(token["control"] or "") or token["escaped"] or token["plain"]
        )
        letters = in_all_cases(letter) if "i" in self.flags else letter
        if len(letters) > 1:
            return f"[{letters}]"
        return f"\\{letter}" if letter in _SPECIAL else letter


@cache
def _characters() -> pl.Series:
    points = pl.select(point=pl.int_range(0x110000, dtype=pl.UInt32)).to_series()
    points = points.filter((points < 0xD800) | (points > 0xDFFF))
    return pl.Series(list(map(chr, points.to_list())), dtype=pl.String)


@cache
def _class_of(text: str, ignore_case: bool) -> str:
    """Write the characters of a class as ranges, those that are not in it if it has the last of all."""
    has = _characters().str.contains(f"(?s{'i' * ignore_case})^{text}$")
    if has.all() or not has.any():
        return "." if has.all() else ""
    negated = bool(has[-1])
    listed = has.not_() if negated else has
    edges = (listed != listed.shift(1, fill_value=False)).arg_true().to_list()
    characters = _characters()
    ends = [edge - 1 for edge in edges[1::2]]
    ranges = (_range(characters[first], characters[last]) for first, last in zip(edges[::2], ends, strict=True))
    return f"[{'^' * negated}{''.join(ranges)}]"


def _range(first: str, last: str) -> str:
    ends = [f"\\{letter}" if letter in _SPECIAL_IN_CLASS else letter for letter in (first, last)]
    return ends[0] if first == last else "-".join(ends)
