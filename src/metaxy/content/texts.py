"""Versions of texts: by their characters, or equal for texts that mean the same."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import polars as pl

from metaxy.content.clusters import (
    EXACT,
    FINGERPRINT,
    Known,
    check_threshold,
    clustered,
    fingerprint_of_vector,
)
from metaxy.content.embedding import Model, model_of
from metaxy.content.frames import (
    ERROR,
    VERSION,
    OnError,
    Outcome,
    check_on_error,
    check_option,
    listed,
    refuse_errors,
    result_frame,
)
from metaxy.errors import ContentError

TextMethod: TypeAlias = Literal["exact", "semantic"]
"""``exact`` gives equal texts equal versions, ``semantic`` also texts that mean the same."""
UnicodeForm: TypeAlias = Literal["NFC", "NFKC"]
"""Which ways to write a character are one: those that look the same, or also such as ``ﬁ`` and ``fi``."""

RECIPE: Final = "text"
SEMANTIC: Final = "semantic"
FACTS: Final[Mapping[str, Any]] = {"characters": pl.Int64}
SLICE: Final = 4096  # texts whose vectors are in memory at once
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Normalization:
    """What about a text does not count."""

    unicode: UnicodeForm | None = "NFC"
    whitespace: bool = False
    case: bool = False

    def __post_init__(self) -> None:
        if self.unicode not in ("NFC", "NFKC", None):
            raise ValueError(f"unicode={self.unicode!r} is none of 'NFC', 'NFKC' and None")

    @property
    def recipe(self) -> str:
        """What versions begin with: the rules, too, so that texts of different ones are never equal."""
        return "-".join([RECIPE, *self.names])

    @property
    def names(self) -> list[str]:
        """The rules in short."""
        return [*filter(None, [(self.unicode or "").lower(), "spaces" * self.whitespace, "fold" * self.case])]

    def apply(self, text: str) -> str:
        r"""Return a text without what does not count.

        >>> Normalization(whitespace=True, case=True).apply("  Straße\tund Cafe\u0301 ")
        'strasse und café'
        """
        for step in (self._compose, str.casefold if self.case else str, self._compose):
            text = step(text)
        return " ".join(text.split()) if self.whitespace else text

    def _compose(self, text: str) -> str:
        return unicodedata.normalize(self.unicode, text) if self.unicode else text


def hash_texts(
    texts: Iterable[Any],
    method: TextMethod = "exact",
    *,
    unicode: UnicodeForm | None = "NFC",
    whitespace: bool = False,
    case: bool = False,
    threshold: float = 0.95,
    model: "str | os.PathLike[str] | None" = None,
    known: Any = None,
    on_error: OnError = "record",
) -> pl.DataFrame:
    r"""Hash texts: by what is written, or so that texts which mean the same have equal versions.

    Frames: texts → characters, version, error; one row per text, in their order. With ``method="semantic"``:
    characters, exact, fingerprint, similarity, version, error

    Texts with different numbers in digits never have one version, however similar they are. A text that means the same
    as an earlier one gets its version, and keeps it for ever if what this returns is stored, and given back as
    ``known``. Without ``known``, versions depend on which texts are in the call, not on their order.

    Args:
        texts: A list, a Series or any other iterable of text; bytes are UTF-8.
        method: ``"exact"`` or ``"semantic"``.
        unicode: ``"NFC"``: it does not count how an accent is written; ``"NFKC"``: nor do ligatures, widths and the
            like; None: everything counts.
        whitespace: Whether runs of whitespace are one space, and none at the ends.
        case: Whether upper and lower case are one.
        threshold: How similar a text is to the first one of its version, at least; 1 is equal.
        model: The folder of a model that model2vec or sentence-transformers saved; None is that of the package
            wordllama.
        known: What earlier calls returned, as a frame of any kind, such as a feature that was read.
        on_error: ``"raise"`` raises once all is done, if a text has no version.

    Raises:
        ContentError: if a text has no version and ``on_error`` is ``"raise"``, or ``known`` is of another model.
        ImportError: if a package is missing.

    >>> import metaxy.content as content
    >>> found = content.hash_texts(["Café", "Cafe\u0301", None])
    >>> found["version"][0] == found["version"][1], found["error"][2]
    (True, 'ContentError: there is no text')
    """
    check_on_error(on_error)
    check_option("method", method, get_args(TextMethod))
    rules = Normalization(unicode, whitespace, case)
    given = listed(texts, "texts")
    if method == "exact":
        frame = _exact([_read(text, rules) for text in given], rules)
    else:
        check_threshold(threshold)
        frame = _by_meaning(given, rules, model_of(model), threshold, known)
    if on_error == "raise":
        refuse_errors(frame.select(VERSION, ERROR))
    return frame


# -- by their characters -----------------------------------------------------------------------------------------------


def _read(given: Any, rules: Normalization) -> str | ContentError:
    """Return what counts of an input, or why it is no text; bytes are UTF-8."""
    if given is None:
        return ContentError("there is no text")
    try:
        text = bytes(given).decode("utf-8") if isinstance(given, (bytes, bytearray)) else given
        if not isinstance(text, str):
            return ContentError(f"{type(given).__name__} is no text")
        text.encode("utf-8")  # half of a character in UTF-16 cannot be
    except UnicodeError:
        return ContentError("the text is not UTF-8")
    return rules.apply(text)


def _exact(texts: Sequence[str | ContentError], rules: Normalization) -> pl.DataFrame:
    return result_frame({}, [_outcome(text, rules.recipe) for text in texts], facts=FACTS)


def _outcome(text: str | ContentError, recipe: str) -> Outcome:
    if isinstance(text, ContentError):
        return Outcome.of_error(text)
    return Outcome(f"{recipe}:{_digest(text)}", facts={"characters": len(text)})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# -- by what they mean -------------------------------------------------------------------------------------------------


def _by_meaning(
    given: Sequence[Any], rules: Normalization, model: Model, threshold: float, earlier: Any
) -> pl.DataFrame:
    recipe = "-".join([SEMANTIC, model.name, *rules.names])
    known = Known.of(recipe, earlier)  # refused before texts are read
    texts = [_read(text, rules) for text in given]
    exact = _exact(texts, rules).rename({VERSION: EXACT})
    prints = dict(known.fingerprints)
    new = {e: t for e, t in zip(exact[EXACT], texts, strict=True) if isinstance(t, str) and e not in prints}
    prints.update(zip(new, _fingerprints(list(new.values()), model), strict=True))
    column = pl.Series(FINGERPRINT, [prints.get(each) for each in exact[EXACT]], dtype=pl.String)
    return clustered(exact.with_columns(column), recipe, threshold, known)


def _fingerprints(texts: Sequence[str], model: Model) -> Iterator[str]:
    for start in range(0, len(texts), SLICE):
        part = texts[start : start + SLICE]
        for text, vector in zip(part, model.embed(part), strict=True):
            yield fingerprint_of_vector(_group(text), vector)


def _group(text: str) -> str:
    """Return what texts have in common that may mean the same: their numbers, in any order.

    >>> _group("2 dogs, 3 cats") == _group("3 cats, 2 dogs"), _group("no number")
    (True, 'n')
    """
    found = sorted(_NUMBER.findall(text))
    return "n" + (_digest(" ".join(found))[:12] if found else "")
