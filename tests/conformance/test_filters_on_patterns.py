"""Regular expressions and LIKE choose in every store the rows that Polars chooses, or are refused in all."""

import narwhals as nw
import pytest
from tests.factory import define, ids, rows, values

from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore

x = nw.col("x")
TEXTS = [
    *(
        "",
        "a",
        "A",
        "ab",
        "abab",
        "aab",
        "b",
        "a\nb",
        "a\n",
        "\n",
        "a\r\nb",
        "a b",
        "a\u00a0b",
        "a\tb",
        "\u2003",
        "a\x0bb",
    ),
    *(
        "7",
        "42",
        "٣",
        "x٣",
        "\u00b2",
        "Ⅷ",
        "é",
        "É",
        "e\u0301",
        "ß",
        "ẞ",
        "ss",
        "K",
        "k",
        "\u212a",
        "\u017f",
        "s",
        "Σ",
        "\u03c3",
    ),
    *(
        "ς",
        "_",
        "a_b",
        "a-b",
        "a.b",
        "a\\b",
        "[a]",
        "a]b",
        "^a",
        "$",
        "a$b",
        "{2}",
        "a{2}",
        "aa",
        "aaa",
        "漢字",
        "👩\u200d👧",
    ),
    *(
        "cam-1/2024-01-02.mp4",
        "cam-12/2024-13-99.MP4",
        "frame_000123.png",
        "%",
        "a%b",
        "'",
        '"',
        "ba",
        "(a)",
        "a|b",
        "~",
        "&",
    ),
    None,
]
PATTERNS = [
    *(
        "a",
        "^a",
        "b$",
        "^a.b$",
        "(?s)^a.b$",
        "^a$",
        "a|b",
        "^(a|ab)(ab)?$",
        "^(?:ab)+$",
        "a{2}",
        "^a{2,3}$",
        "^a{2,}?$",
        "",
    ),
    *(
        r"\d",
        r"^\d+$",
        r"\D",
        r"\w",
        r"^\w+$",
        r"\W",
        r"\s",
        r"a\sb",
        r"^\S+$",
        r"[\d_]",
        r"[^\w\s]",
        r"[^a]",
        r"^[^a-z]+$",
    ),
    *(
        "(?i)k",
        "(?i)^s$",
        "(?i)[k-s]",
        "(?i)ß",
        "(?i)\u03c3",
        "(?i)É",
        "(?i)^[^k]$",
        "(?si)^A.B$",
        r"\p{Greek}",
        r"\pL",
        r"\P{L}",
    ),
    *(
        r"\.",
        r"\\",
        r"\[a\]",
        "a]b",
        r"\^",
        r"\$",
        r"\{2\}",
        r"a\|b",
        r"\(",
        "[.]",
        r"[\]\\^-]",
        "[]a]",
        "[a^]",
        "[$.]",
        "[%']",
    ),
    *(
        "[[:alpha:]]",
        "[[:^alpha:]]",
        "[a-z&&[^b]]",
        r"[a\-z]",
        "[~&]",
        "[ß-é]",
        r"\x41",
        r"\x{212A}",
        "\u212a",
        r"a\nb",
        r"\t",
    ),
    *(
        r"\Aa",
        r"b\z",
        r"^cam-\d+/\d{4}-(0\d|1[0-2])-\d\d\.mp4$",
        r"(?i)\.mp4$",
        r"_(\d{6})\.",
        "a.*b",
        "a.*?b",
        "()",
        "(|a)b",
        "a|",
    ),
    *("^", "$", "^$", "^\\s*$", "(?i)", "(a|b|ab)*$", "%", "'", '"'),
]
REFUSED = [
    *(
        r"\bab",
        r"a\B",
        r"(a)\1",
        "a(?=b)",
        "(?<!a)b",
        "(?<n>a)",
        "(?P<n>a)",
        "(?m)^a",
        "(?x)a b",
        "a(?i)b",
        "(?i:a)",
        "a**",
    ),
    *(
        "a{256}",
        "(",
        "[a",
        "a{2",
        "*a",
        r"\y",
        r"\Z",
        r"\Q",
        r"\<a",
        "(?-s)a",
        "(?U)a+",
        "^*",
        "a{1,999}",
        r"[^\s\S]",
        r"\u{41}",
    ),
]
REPLACED = {r"\d+": "#", "a": "", r"\s": " ", "(?i)k": "K", "[^a-z]+": "-", "ab?": "x"}
UNREPLACED = {"a*": "x", "a|ab": "x", "a+?": "x", r"(\d)": "$1", "a": r"\1", "a?b?": "x"}


def test_regular_expressions_choose_what_polars_chooses(store: MetadataStore) -> None:
    define("video")
    frame = rows(id=[f"{n:02}" for n in range(len(TEXTS))], x=TEXTS)
    store.write("video", frame)
    plain = nw.from_native(frame)
    conditions = {pattern: x.str.contains(pattern) for pattern in PATTERNS}
    conditions |= {f"{old!r} is found": x.str.replace_all(old, new) != x for old, new in REPLACED.items()}
    conditions |= {f"{old!r} is replaced": x.str.replace_all(old, new) == "-b" for old, new in REPLACED.items()}
    for name, condition in conditions.items():
        assert values(store.read("video", filters=condition)) == values(plain.filter(condition)), name
    store.delete("video", ~x.str.contains(r"^\w+$"), soft=False)
    assert values(store.read("video")) == values(plain.filter(x.str.contains(r"^\w+$") | x.is_null()))


@pytest.mark.three_stores
def test_what_has_no_common_form_is_refused_in_one_line(store: MetadataStore) -> None:
    define("video")
    store.write("video", rows(id=["a"], x=["a"]))
    refused = [x.str.contains(pattern) for pattern in REFUSED]
    refused += [x.str.replace_all(old, new) == "x" for old, new in UNREPLACED.items()]
    for condition in [*refused, x.str.contains(nw.col("id")), ~(refused[0] | (x == "a"))]:
        with pytest.raises(MetadataSchemaError, match=r"^feature video: a filter [^\n]*$"):
            store.read("video", filters=condition)
    with pytest.raises(MetadataSchemaError, match=r"'a\(\?=b\)', which is wrong: look-around"):
        store.delete("video", x.str.contains("a(?=b)"), soft=False)
    assert values(store.read("video")) == ["a"]


def test_no_pattern_runs_away(store: MetadataStore) -> None:
    """Over texts that nearly match in very many ways, each pattern takes no more than a moment."""
    names = [f"{n:04}" for n in range(1_000)]
    define("video")
    store.write("video", rows(id=names, x=["a" * 200 + ("b" if n == 7 else "c") for n in range(1_000)]))
    like = "%a%a%a%a%a%a%b"
    texts = [f"x LIKE '{like}'", f"x ILIKE '{like.upper()}'", f"x LIKE '{'%_' * 40}b'", f"NOT x NOT LIKE '{like}'"]
    for text in texts:
        assert values(store.read("video", filters=text)) == ["0007"]
    for pattern in (
        "^(a+)+b$",
        "^(a|a)*b$",
        "^(a*)*b$",
        "(a+)*(a+)*(a+)*b",
        "^(.*a){12}b$",
        "(?i)A.*A.*A.*A.*A.*A.*B",
        r"^\w*\w*\w*b$",
    ):
        assert values(store.read("video", filters=x.str.contains(pattern))) == ["0007"]
    define("clip", {"feature": "video", "filters": [texts[0]]})
    assert ids(store.resolve_update("clip")) == (["0007"], [], [])
    many = x.str.starts_with("a" * 200) & x.str.ends_with("ab") & x.str.contains("aab", literal=True)
    assert values(store.read("video", filters=many)) == ["0007"]
