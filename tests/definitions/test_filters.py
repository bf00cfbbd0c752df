"""Filter strings: what parses, to what, what it selects on two engines, and what a wrong one says."""

import math
import subprocess
import sys
from datetime import date, datetime, timezone
from typing import Any

import duckdb
import ibis
import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from metaxy.definitions.filter_syntax import SUPPORTED, parse_filter
from metaxy.definitions.filter_tree import (
    KEYWORDS,
    And,
    Call,
    Column,
    Comparison,
    Condition,
    Distinct,
    In,
    IsNull,
    Like,
    Not,
    Or,
    Value,
    normalise,
)
from metaxy.definitions.filters import (
    FilterParseError,
    NarwhalsFilter,
    check_filter,
    filter_columns,
    parse_filter_string,
)

ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "a": [1, 2, None, -3],
        "c": [1, 5, None, None],
        "x": [0.5, 2.0, None, -1.5],
        "s": ["x", "it's", None, "é|'"],
        "t": ["x", "x", "x", None],
        "b": [True, False, None, True],
        "n.x": [1, None, 3, 4],
        'q"u': [1, 2, 3, None],
        "in": [7, 8, 9, None],
        "day": [date(2024, 1, 1), date(2024, 6, 1), None, date(2025, 1, 1)],
        "at": [datetime(2024, 1, 1, 8), datetime(2024, 6, 1), None, datetime(2025, 1, 1)],
        "iso": ["2024-01-01", "2024-06-01", None, "2025-01-01"],
        "p": ["cam-1", "CAM_2", None, "a%b\nc.d"],
    }
).with_columns(utc=pl.col("at").dt.replace_time_zone("UTC"))


def selected_by_polars(text: str) -> list[int]:
    return nw.from_native(ROWS).filter(parse_filter_string(text))["id"].to_list()


def selected_by_duckdb(text: str) -> list[int]:
    with duckdb.connect() as connection:
        relation = nw.from_native(connection.from_arrow(ROWS.drop('q"u').to_arrow()))  # see below
        return sorted(relation.filter(parse_filter_string(text)).collect("polars")["id"].to_list())


def selected_by_ibis(text: str) -> list[int]:
    table = ibis.memtable(ROWS.drop('q"u').to_arrow())
    return sorted(nw.from_native(table).filter(parse_filter_string(text)).collect("polars")["id"].to_list())


@pytest.mark.parametrize("select", [selected_by_polars, selected_by_duckdb, selected_by_ibis])
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a = 1", [1]),
        ("a == 1", [1]),
        ("1 = a", [1]),
        ("a != 1", [2, 4]),
        ("a <> 1", [2, 4]),
        ("NOT a = 1", [2, 4]),
        ("a < 2", [1, 4]),
        ("2 > a", [1, 4]),
        ("a <= 2 AND a >= 1", [1, 2]),
        ("a = -3", [4]),
        ("a = - 3", [4]),
        ("x = 5e-1 OR x = -1.5 OR x = 2.", [1, 2, 4]),
        ("a = c", [1]),
        ("a = NULL", [3]),
        ("NULL = a", [3]),
        ("a IS NULL", [3]),
        ("a is null", [3]),
        ("a != NULL", [1, 2, 4]),
        ("a IS NOT NULL", [1, 2, 4]),
        ("NOT a IS NULL", [1, 2, 4]),
        ("NOT a IS NOT NULL", [3]),
        ("b", [1, 4]),
        ("NOT b", [2]),
        ("NOT NOT b", [1, 4]),
        ("b = TRUE", [1, 4]),
        ("b IS TRUE", [1, 4]),
        ("b IS NOT TRUE", [2]),
        ("b IS FALSE", [2]),
        ("b IS NOT false", [1, 4]),
        ("a IS NOT 1", [2, 4]),
        ("a IN (1, -3)", [1, 4]),
        ("a IN (1)", [1]),
        ("a NOT IN (1, 2)", [4]),
        ("NOT a IN (1, 2)", [4]),
        ("NOT a NOT IN (1, 2)", [1, 2]),
        ("x IN (2, 0.5)", [1, 2]),
        ("a IN (1.0, 2)", [1, 2]),
        ("x IN (2, 3)", [2]),
        ("x NOT IN (2, 3)", [1, 4]),
        ("s NOT IN ('x')", [2, 4]),
        ("s IN ('x', 'it''s')", [1, 2]),
        ("b IN (TRUE)", [1, 4]),
        ("a IN ()", []),
        ("a NOT IN ()", [1, 2, 3, 4]),
        ("s = 'it''s'", [2]),
        ("s = 'é|'''", [4]),
        ('s = "t"', [1]),
        ('"in" = 8', [2]),
        ("a = 1 OR a = 2 AND b", [1]),
        ("(a = 1 OR a = 2) AND b", [1]),
        ("(a = 1 OR a = 2) AND NOT b", [2]),
        ("NOT a = 1 OR a = 1", [1, 2, 4]),
        ("NOT (a = 1 OR a = 2)", [4]),
        ("NOT (a = 1 AND c = 5)", [1, 2, 4]),
        ("b OR a IS NULL", [1, 3, 4]),
        ("b OR c = 5", [1, 2, 4]),
        ("b AND c = 1", [1]),
        ("NOT (b AND a IS NULL)", [1, 2, 4]),
        ("(((a))) = ((1))", [1]),
        ("(a) IN ((1), 2)", [1, 2]),
        ("b AND TRUE", [1, 4]),
        ("b OR TRUE", [1, 2, 3, 4]),
        ("b AND FALSE", []),
        ("a=1\n\tOR\ta=2", [1, 2]),
        ("a BETWEEN 1 AND 2", [1, 2]),
        ("a between c and 2 or b", [1, 4]),
        ("NOT a BETWEEN 1 AND 2", [4]),
        ("a NOT BETWEEN 2 AND 5", [1, 4]),
        ("2 BETWEEN a AND c", [2]),
        ("a BETWEEN 1 AND 2 AND b", [1]),
        ("p LIKE 'cam-1'", [1]),
        ("p LIKE 'cam%'", [1]),
        ("p LIKE '%.d'", [4]),
        ("p LIKE '%AM%'", [2]),
        ("p LIKE '%'", [1, 2, 4]),
        ("NOT p LIKE '%'", []),
        ("p LIKE 'c_m-_'", [1]),
        ("p LIKE '%a%1'", [1]),
        ("p NOT LIKE 'cam%'", [2, 4]),
        ("p ILIKE 'cam%'", [1, 2]),
        ("p ILIKE 'cam\\_2'", [2]),
        ("p LIKE 'a\\%b%'", [4]),
        ("p LIKE 'a_b_c.d'", [4]),
        ("p LIKE 'a%b%cxd'", []),
        ("p LIKE ''", []),
        ("a IS DISTINCT FROM 1", [2, 3, 4]),
        ("a IS NOT DISTINCT FROM 1", [1]),
        ("a IS DISTINCT FROM c", [2, 4]),
        ("NOT a IS DISTINCT FROM c", [1, 3]),
        ("a IS DISTINCT FROM NULL", [1, 2, 4]),
        ("a IS NOT DISTINCT FROM NULL", [3]),
        ("TRUE", [1, 2, 3, 4]),
        ("false", []),
        ("1 = 1", [1, 2, 3, 4]),
        ("1 = 2", []),
        ("NOT 1 = 2", [1, 2, 3, 4]),
        ("NOT FALSE OR TRUE", [1, 2, 3, 4]),
        ("NULL IS NULL", [1, 2, 3, 4]),
        ("1 IS NULL OR 'a' > 'b'", []),
        ("1 IS DISTINCT FROM 2 AND 1 BETWEEN 0 AND 2", [1, 2, 3, 4]),
        ("a = 2 AND 1 = 1", [2]),
        ("day > '2024-03-01'", [2, 4]),
        ("'2024-03-01' < day", [2, 4]),
        ("NOT day > '2024-03-01'", [1]),
        ("day = '2024-06-01'", [2]),
        ("day > DATE '2024-03-01'", [2, 4]),
        ("day >= '2024-06-01T00:00:01'", [4]),
        ("day BETWEEN '2024-01-01' AND '2024-06-01'", [1, 2]),
        ("day IN ('2024-01-01', '2025-01-01')", [1, 4]),
        ("day NOT IN (DATE '2024-01-01')", [2, 4]),
        ("at > '2024-01-01'", [1, 2, 4]),
        ("at > '2024-01-01 08:00'", [2, 4]),
        ("at = TIMESTAMP '2024-01-01T08:00:00'", [1]),
        ("at >= timestamp '2024-06-01'", [2, 4]),
        ("at < DATE '2024-01-02'", [1]),
        ("utc > '2024-01-01T09:00:00+02:00'", [1, 2, 4]),
        ("utc >= '2024-01-01T08:00:00Z' AND utc < '2024-06-01'", [1]),
        ("utc != '2025-01-01'", [1, 2]),
        ("iso > '2024-03-01'", [2, 4]),
        ("iso IN ('2024-01-01', 'x')", [1]),
        ("iso <> '2024-01-01'", [2, 4]),
        ("lower(p) = 'cam_2'", [2]),
        ("UPPER(p) LIKE 'CAM%'", [1, 2]),
        ("length(s) > 1", [2, 4]),
        ("abs(a) IN (3, 2)", [2, 4]),
        ("ABS(x) BETWEEN 1 AND 2", [2, 4]),
        ("coalesce(a, 0) = 0", [3]),
        ("coalesce(a, c, 7) = 7", [3]),
        ("coalesce(b, FALSE)", [1, 4]),
        ("NOT coalesce(b, FALSE)", [2, 3]),
        ("abs(coalesce(a, -9)) > 2", [3, 4]),
        ("lower(p) IS NULL", [3]),
        ("year(day) = 2024 AND month(day) = 6 AND day(day) = 1", [2]),
        ("year(utc) = 2025", [4]),
        ("starts_with(p, 'cam')", [1]),
        ("ends_with(p, '.d') OR contains(p, 'M_')", [2, 4]),
        ("NOT contains(lower(p), 'cam')", [4]),
    ],
)
def test_rows_that_a_filter_selects(text: str, ids: list[int], select: Any) -> None:
    assert select(text) == ids


@pytest.mark.parametrize(
    ("text", "ids"), [("n.x = 3", [3]), ('"n.x" = 3', [3]), ('n."x" = 3', [3]), ('"q""u" = 2', [2])]
)
def test_unusual_column_names(text: str, ids: list[int]) -> None:
    # Polars alone: Narwhals hands such names to DuckDB unquoted, also where it only looks for columns of a type.
    assert selected_by_polars(text) == ids


def test_column_names_keep_their_case() -> None:
    assert parse_filter("A = 1") == Comparison(Column("A"), "=", Value(1))
    assert parse_filter("Año = 1") == Comparison(Column("Año"), "=", Value(1))


def test_words_that_sql_reserves_but_this_language_does_not_are_columns() -> None:
    text = "date > 5 AND like = 1 AND between = 2 AND timestamp = 3 AND lower = 4 AND distinct IS NULL AND year"
    words = ("date", "like", "between", "timestamp", "lower", "distinct", "year")
    assert filter_columns(text) == words
    assert filter_columns("date > DATE '2024-01-01' AND like LIKE 'x' AND lower(lower) = 'x'") == (
        "date",
        "like",
        "lower",
    )


def test_a_column_that_is_not_there_is_named_with_its_place() -> None:
    with pytest.raises(FilterParseError) as caught:
        check_filter("size > 3 AND lower(pth) = 'x'", columns=["size", "path"])
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith("filter, position 20: there is no column 'pth'. Did you mean 'path'? It has: size, path.")
    assert shown[caret.index("^") : caret.rindex("^") + 1] == "pth"
    check_filter("size > 3", columns=["size"])


def test_unknown_columns_are_errors_of_the_engine_too() -> None:
    for text in ("nothing > '2024-01-01'", "nothing = 1", "lower(nothing) = 'x'"):
        with pytest.raises(nw.exceptions.ColumnNotFoundError, match="nothing"):
            selected_by_polars(text)


def test_filter_columns_are_listed_once_and_in_order() -> None:
    assert filter_columns("NOT (b = 1 OR n.x IS NULL) AND \"odd name\" IN (1) AND b = 'ignored' AND 1 < a") == (
        "b",
        "n.x",
        "odd name",
        "a",
    )


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 1, "the filter is empty"),
        (" \n ", 4, "the filter is empty"),
        ("a = 1 AND", 10, "the filter ends where a column or a value should follow"),
        ("CAST(a AS INT) = 1", 1, "function CAST is not supported"),
        ("EXISTS (SELECT 1)", 1, "function EXISTS is not supported"),
        ("lowr(a) = 'x'", 1, "function lowr is not supported. Did you mean 'lower'?"),
        ("lower('x') = 'x'", 1, "lower(…) needs a column; write the value itself"),
        ("lower(a)", 1, "lower(…) alone is no condition; compare it with a value"),
        ("lower(a, b) = 'x'", 10, "expected a text such as 'x', found 'b'"),
        ("lower() = 'x'", 7, "expected a column or a value, found ')'"),
        ("lower(a - 1) = 'x'", 9, "lower takes 1 argument"),
        ("coalesce(a) = 1", 11, "coalesce takes 2 or more arguments"),
        ("contains(a, b)", 13, "expected a text such as 'x', found 'b'"),
        ("contains(a)", 11, "contains takes 2 arguments"),
        ("contains(a, 'x', 'y')", 21, "contains takes 2 arguments"),
        ("a BETWEEN 1", 12, "the filter ends where 'AND' should follow"),
        ("a BETWEEN 1 OR 2", 13, "expected 'AND', found 'OR'"),
        ("a BETWEEN NULL AND 2", 11, "NULL has no order"),
        ("a LIKE b", 8, "expected a pattern such as 'cam-%', found 'b'"),
        ("'x' LIKE 'x'", 1, "LIKE needs a column on its left"),
        ("a SIMILAR TO 'x'", 3, "SIMILAR is not supported; use LIKE"),
        ("a > DATE 'soon'", 10, "this is no date; write it as '2024-01-31'"),
        ("a > DATE '2024-01-31 08:00'", 10, "this is no date"),
        ("a > DATE '2024-02-30'", 10, "this is no date"),
        ("a > TIMESTAMP '24:00'", 15, "this is no timestamp; write it as '2024-01-31 08:30:00'"),
        ("a > interval '1'", 5, "interval '…' is not supported"),
        ("1 = 'x'", 5, "this compares number with text; use one type"),
        ("DATE '2024-01-01' < TIMESTAMP '2024-01-01'", 21, "these two cannot be compared"),
        ("a IS DISTINCT b", 15, "expected AND, OR or the end of the filter, found 'b'"),
        ("a IN (SELECT 1)", 7, "SELECT is not supported; list the values themselves"),
        ("a IN (b)", 7, "expected a value such as 'text' or 1, found 'b'"),
        ("a IN (1, NULL)", 10, "NULL cannot be listed; write OR a IS NULL"),
        ("a IN (1, 'x')", 10, "the list mixes"),
        ("a IN (1, TRUE)", 10, "the list mixes"),
        ("a IN (1 2)", 9, "expected ',' or ')', found '2'"),
        ("a IN (,1)", 7, "expected a column or a value, found ','"),
        ("a IN 5", 6, "expected '(', found '5'"),
        ("1 IN (1)", 1, "IN needs a column on its left"),
        ("a + 1 > 2", 3, "+ is not supported; compute the column before filtering"),
        ("a - 1 > 2", 3, "- is not supported"),
        ("-a = 1", 2, "expected a number, found 'a'"),
        ("+1 = a", 1, "+ is not supported"),
        ("a || b = 'x'", 3, "|| is not supported"),
        ("a::int = 1", 2, ":: is not supported; cast"),
        ("`a` = 1", 1, '` is not supported; put unusual column names in "double quotes"'),
        ("a = 1; b = 2", 6, "; is not supported; a filter is a single condition"),
        ("a = 1 -- x", 7, "- is not supported"),
        ("CASE WHEN a THEN b END", 6, "WHEN is not supported"),
        ("a = ?", 5, "expected a column or a value, found '?'"),
        ("a = 'oops", 5, "never closed; add the closing '"),
        ('a = ""', 5, 'this quote is empty or never closed; add the closing "'),
        ("a < NULL", 5, "NULL has no order; write IS NULL or IS NOT NULL"),
        ("a NOT 5", 7, "expected IN, BETWEEN, LIKE or ILIKE, found '5'"),
        ("a < b < c", 7, "expected AND, OR or the end of the filter, found '<'"),
        ("a b", 3, "expected AND, OR or the end of the filter, found 'b'"),
        ("(a = 1", 7, "the filter ends where ')' should follow"),
        ("a = (b = 1)", 8, "expected ')', found '='"),
        ("AND", 1, "expected a column or a value, found 'AND'"),
        ("a.", 3, "the filter ends where a column or a value should follow"),
        ("1", 1, "a value alone is no condition"),
        ("NOT 1", 5, "a value alone is no condition"),
        ("a OR 'x'", 6, "a value alone is no condition"),
        ("'x' OR a", 1, "a value alone is no condition"),
        ("a = 18446744073709551616", 5, "does not fit into 64 bits"),
        ("a = -9223372036854775809", 6, "does not fit into 64 bits"),
        ("a = " + "9" * 5000, 5, "does not fit into 64 bits"),
        ("a = 1e999", 5, "the number is too large"),
        ("(" * 51 + "a" + ")" * 51, 52, "more than 50 levels"),
        ("NOT " * 5000 + "a", 205, "more than 50 levels"),
        ("(" * 5000 + "a = 1", 52, "more than 50 levels"),
    ],
)
def test_a_wrong_filter_says_where_and_what(text: str, position: int, reason: str) -> None:
    with pytest.raises(FilterParseError) as caught:
        check_filter(text)
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"filter, position {position}: ")
    assert reason in first
    assert first.endswith(f"Supported: {SUPPORTED}")
    assert shown.startswith("  ")
    assert caret.strip(" ").strip("^") == ""
    assert len(shown) < 130
    assert len(caret) < 130


def test_the_caret_is_under_the_token_also_in_a_long_or_multiline_filter() -> None:
    with pytest.raises(FilterParseError) as caught:
        check_filter("alpha = 1 OR\n" * 40 + "beta SIMILAR TO 2 " + "OR alpha = 1 " * 40)
    _, shown, caret = str(caught.value).split("\n")
    assert shown[caret.index("^") : caret.rindex("^") + 1] == "SIMILAR"


def test_an_unprintable_filter_does_not_reach_the_terminal() -> None:
    with pytest.raises(FilterParseError) as caught:
        check_filter("a = \x1b[31m\x07")
    assert "\x1b" not in str(caught.value)


def test_a_parse_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="position 1"):
        parse_filter_string("")


def test_a_thousand_alternatives_work_on_both_engines() -> None:
    text = " OR ".join(f"a = {number}" for number in range(1000))
    assert selected_by_polars(text) == [1, 2]
    assert selected_by_duckdb(text) == [1, 2]


def test_checking_needs_no_dataframe_library() -> None:
    code = (
        "import sys; from metaxy.definitions.filters import check_filter, filter_columns\n"
        "check_filter('a = 1'); filter_columns('a = 1')\n"
        "assert not {'narwhals', 'polars', 'sqlglot'} & set(sys.modules), 'loaded too much'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the model ------------------------------------------------------------------------------------------------------


def test_the_model_keeps_source_and_normal_spelling_and_can_be_read_back() -> None:
    parsed = NarwhalsFilter.model_validate("not( a==1 )and  b")
    assert parsed.model_dump() == {"expression": "NOT a = 1 AND b", "source": "not( a==1 )and  b"}
    assert NarwhalsFilter.model_validate(parsed.model_dump()) == parsed
    assert NarwhalsFilter.model_validate_json(parsed.model_dump_json()) == parsed
    assert NarwhalsFilter.model_validate(parsed) == parsed
    assert nw.from_native(ROWS).filter(parsed.to_expr())["id"].to_list() == [4]


def test_the_model_accepts_a_dump_that_has_only_the_expression() -> None:
    assert NarwhalsFilter.model_validate({"expression": "a==1"}) == NarwhalsFilter(expression="a = 1", source="a==1")


def test_the_model_is_frozen_and_knows_its_fields() -> None:
    parsed = NarwhalsFilter.model_validate("a = 1")
    with pytest.raises(ValidationError, match="frozen"):
        parsed.source = "b"  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(ValidationError, match="Extra inputs"):
        NarwhalsFilter.model_validate({"source": "a = 1", "color": "red"})


@pytest.mark.parametrize("wrong", [None, 5, [], {}, {"source": 5}])
def test_the_model_refuses_what_is_not_text(wrong: object) -> None:
    with pytest.raises(ValidationError):
        NarwhalsFilter.model_validate(wrong)


def test_a_bad_string_is_a_filter_parse_error_alone_and_named_inside_another_model() -> None:
    class Query(BaseModel):
        where: NarwhalsFilter

    with pytest.raises(FilterParseError, match="position 5"):
        NarwhalsFilter.model_validate("a = ")
    with pytest.raises(ValidationError, match=r"where\n.*position 5"):
        Query.model_validate({"where": "a = "})


# --- properties -----------------------------------------------------------------------------------------------------

names = st.text(min_size=1, max_size=8) | st.sampled_from(["a", "n.x", "_", "Año", *KEYWORDS, "date", 'q"', ".", "a."])
columns = st.builds(Column, names)
texts = st.builds(Value, st.text(max_size=8))
booleans = st.builds(Value, st.booleans())
numbers = st.builds(
    Value, st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False).filter(math.isfinite)
)
times = st.builds(
    Value,
    st.dates() | st.datetimes(timezones=st.sampled_from([None, timezone.utc])).map(lambda time: time.replace(fold=0)),
)
values = texts | booleans | numbers | times
calls = st.one_of(
    st.builds(Call, st.sampled_from(["abs", "lower", "year"]), columns.map(lambda column: (column,))),
    st.builds(Call, st.just("coalesce"), st.tuples(columns, values)),
)
tests = st.builds(Call, st.sampled_from(["contains", "starts_with"]), st.tuples(columns | calls, texts))
symbols = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
comparisons = st.one_of(
    st.builds(Comparison, columns | calls, symbols, columns | values),
    st.builds(Comparison, values, symbols, columns | calls),
    st.builds(Distinct, columns | calls, columns | values),
)
lists = st.one_of(*(st.lists(kind, max_size=3).map(tuple) for kind in (texts, booleans, numbers, times)))
LEAVES: st.SearchStrategy[Condition] = st.one_of(
    columns,
    tests,
    st.builds(Value, st.booleans()),
    comparisons,
    st.builds(IsNull, columns | calls),
    st.builds(In, columns | calls, lists),
    st.builds(Like, columns | calls, st.text(max_size=8), st.booleans()),
)


@st.composite
def leaves(draw: st.DrawFn) -> Condition:
    """Draw a condition without conditions in it; a function, because Hypothesis refuses to spell all of it out."""
    return draw(LEAVES)


def at_least_two(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[list[Condition]]:
    return st.lists(parts, min_size=2, max_size=4)


conditions = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        at_least_two(inner.filter(lambda part: not isinstance(part, And))).map(lambda parts: And(tuple(parts))),
        at_least_two(inner.filter(lambda part: not isinstance(part, Or))).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)
fragments = st.sampled_from(
    [
        *"()=<>!,.-+;:'\"",
        "a",
        "b.c",
        '"x y"',
        "1",
        "2.5",
        "1e5",
        "'t'",
        " ",
        "IS",
        "LIKE",
        "BETWEEN",
        "DISTINCT FROM",
        "DATE",
        "'2024-01-01'",
        "lower(",
        *sorted(KEYWORDS),
    ]
)


@settings(deadline=None)
@given(condition=conditions)
def test_normal_spelling_parses_back_to_the_same_tree(condition: Condition) -> None:
    text = normalise(condition)
    assert repr(parse_filter(text)) == repr(condition)
    assert normalise(parse_filter(text)) == text


@settings(deadline=None)
@given(text=st.text() | st.lists(fragments, max_size=15).map(" ".join) | st.lists(fragments, max_size=15).map("".join))
def test_any_text_parses_or_is_a_filter_parse_error(text: str) -> None:
    try:
        condition = parse_filter(text)
    except FilterParseError:
        return
    assert repr(parse_filter(normalise(condition))) == repr(condition)
    filter_columns(text)
    parse_filter_string(text)
