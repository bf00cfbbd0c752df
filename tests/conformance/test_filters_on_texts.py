"""Filters on texts choose the same rows in every store: those that Polars chooses."""

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import polars as pl
from tests.factory import define, rows, values

from metaxy.definitions.filters import parse_filter_string
from metaxy.store.store import MetadataStore

TEXTS = [
    *("run_1", "runX1", "Run_1", "100%", "100", "a\\b", "a\\%b", "_", "%", "", "'", '"', "a.b", "a*b", "[a]", "aXb"),
    *("ab\nab", " pad ", "\ttab\n", "{0}", "?", ":a", "x;--", "é", "e\u0301", "漢字", "👩\u200d👧", "ß", None),
]
# Letters whose capital is none, or several letters, or depends on what stands beside them; and those that look alike.
LETTERS = [
    *("straße", "STRASSE", "ß", "ẞ", "İ", "i\u0307", "I", "i", "\u0131", "ǅ", "ǆ", "Ǆ", "é", "É", "e\u0301", "E\u0301"),
    *(
        "ΣΑΣ",
        "σας",
        "Σ",
        "\u03c3",
        "ς",
        "ﬁ",
        "fi",
        "ŉ",
        "ΐ",
        "\u212a",
        "k",
        "K",
        "\u017f",
        "Å",
        "Ⅷ",
        "Ⓐ",
        "\u13a0",
        "ა",
        "𐐀",
        "𐐨",
    ),
    *("👩\u200d👧", "漢字", "", "-", "a_b", "A.B", None),
]
x = nw.col("x")
PATTERNS: dict[str, nw.Expr] = {
    **{
        f"starts with {start!r}": x.str.starts_with(start)
        for start in ("run_", "R", "%", "_", "", "a\\", "e", "[", "漢")
    },
    **{f"ends with {end!r}": x.str.ends_with(end) for end in ("%", "_1", "\\%b", "X_", "B", "", "\n", "\u0301", "字")},
    **{
        f"contains {part!r}": x.str.contains(part, literal=True)
        for part in ("_", "%", ".", "*b", "\\", "'", "", "b\na")
    },
    "is in": x.is_in(["%", "_", "a\\b", "'", "ß"]),
    "is less": x < "_",
    "is greater": x >= "a",
}
CASES = {
    "length(x) = 1": x.str.len_chars() == 1,
    "length(x) > 2": x.str.len_chars() > 2,
    "lower(x) = 'straße'": x.str.to_lowercase() == "straße",
    "lower(x) = 'σας'": x.str.to_lowercase() == "σας",
    "upper(x) = 'STRASSE'": x.str.to_uppercase() == "STRASSE",
    "upper(x) = 'I'": x.str.to_uppercase() == "I",
    "lower(x) IN ('ǆ', 'é', '𐐨')": x.str.to_lowercase().is_in(["ǆ", "é", "𐐨"]),
    "upper(x) > 'É'": x.str.to_uppercase() > "É",
    **{f"x ILIKE '{like}'": x.str.contains(f"(?is)^{regex}$") for like, regex in (
        ("straße", "straße"), ("%ας", ".*ας"), ("_", "."), ("i", "i"), ("K", "K"), ("%s%", ".*s.*"), ("é", "é"),
        ("ǆ", "ǆ"), ("a\\_b", "a_b"), ("a._", "a\\.."), ("FI", "FI"), ("𐐀", "𐐀"), ("ß", "ß"), ("Å", "Å"),
    )},
}  # fmt: skip
VALUES = {
    "length": x.str.len_chars(),
    "lower": x.str.to_lowercase(),
    "upper": x.str.to_uppercase(),
    "first": x.str.head(1),
    "last": x.str.tail(2),
    "middle": x.str.slice(1, 2),
}


def chosen(frame: nw.LazyFrame[Any], conditions: Mapping[str, nw.Expr]) -> dict[str, list[str | None]]:
    """Return, for each condition, the texts that fulfil it."""
    flags = [condition.alias(str(n)) for n, condition in enumerate(conditions.values())]
    found = frame.select("x", *flags).collect("polars").to_native()
    texts = {name: found.filter(pl.col(str(n)).cast(pl.Boolean))["x"] for n, name in enumerate(conditions)}
    return {name: sorted(text or "" for text in column) for name, column in texts.items()}


def test_a_pattern_is_text_and_nothing_else(store: MetadataStore) -> None:
    define("video")
    frame = rows(id=[f"{n:02}" for n in range(len(TEXTS))], x=TEXTS)
    store.write("video", frame)
    assert chosen(store.read("video"), PATTERNS) == chosen(nw.from_native(frame.lazy()), PATTERNS)
    for condition in (x.str.starts_with("run_"), x.str.ends_with("%")):
        store.delete("video", condition, soft=False)
    gone = {"run_1", "100%", "%"}
    assert values(store.read("video"), "x") == sorted((text for text in TEXTS if text not in gone), key=repr)


def test_letters_of_all_languages(store: MetadataStore) -> None:
    define("video")
    frame = rows(id=[f"{n:02}" for n in range(len(LETTERS))], x=LETTERS)
    store.write("video", frame)
    found, wanted = store.read("video"), nw.from_native(frame.lazy())
    texts = {text: parse_filter_string(text) for text in CASES}
    assert chosen(found, texts) == chosen(wanted, CASES)
    computed = [value.alias(name) for name, value in VALUES.items()]
    tables = [frame.select("id", *computed).collect("polars").to_native().sort("id") for frame in (found, wanted)]
    assert tables[0].to_dict(as_series=False) == tables[1].to_dict(as_series=False)
