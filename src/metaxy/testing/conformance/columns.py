"""Columns of any type: kept exactly, or refused."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError
from metaxy.storage.nested_types import first_with
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.case import StoreCase
from metaxy.testing.conformance.factory import define, rows
from metaxy.versioning.frames import collect_to_polars


@cache
def sample_columns() -> Mapping[str, pl.Series]:
    """Return two values of each type; the names are those of `StoreCase.refuses`.

    They are made when they are needed: Polars starts threads for some, and who imports this may fork.
    """
    return {
        "unusual text": pl.Series(["é𝒳\\'\"`", "%_;--\n"]),
        "small integers": pl.Series([-128, 127], dtype=pl.Int8),
        "small numbers": pl.Series([255, 0], dtype=pl.UInt8),
        "numbers": pl.Series([2**32 - 1, None], dtype=pl.UInt32),
        "large integers": pl.Series([-(2**63), 2**63 - 1]),
        "larger integers": pl.Series([2**64 - 1, 0], dtype=pl.UInt64),
        "huge integers": pl.Series([2**100, None], dtype=pl.Int128),
        "small floats": pl.Series([1.1, None], dtype=pl.Float32),
        "infinite floats": pl.Series([float("-inf"), float("inf")]),
        "truth": pl.Series([True, None]),
        "decimals": pl.Series([Decimal("1.23"), None]),
        "bytes": pl.Series([b"\x00\xff", None]),
        "categories": pl.Series(["a", None], dtype=pl.Categorical),
        "an enum": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        "dates": pl.Series([date(1950, 1, 1), date(2200, 1, 1)]),
        "times": pl.Series([datetime(1950, 1, 1, 1, 1, 1, 123456), None]),
        "times of a zone": pl.Series([datetime(2024, 7, 1), None]).dt.replace_time_zone("Europe/Berlin"),
        "times of the day": pl.Series([time(1, 2, 3, 4), None]),
        "lists of times of the day": pl.Series([[time(1, 2, 3, 4)], None]),
        "durations": pl.Series([timedelta(days=-1, microseconds=3), None]),
        "lists": pl.Series([[1, 2], None]),
        "lists of lists": pl.Series([[["a"], []], None]),
        "lists of structs": pl.Series([[{"a": 1}], []]),
        "arrays": pl.Series([[1.5, 2.5], None], dtype=pl.Array(pl.Float32, 2)),
        "arrays of text": pl.Series([["a,", '"b'], None], dtype=pl.Array(pl.String, 2)),
        "structs": pl.Series([{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        "structs of categories and arrays": pl.Series(
            [{"a": "x", "b": [1, 2]}, {"a": "y", "b": [3, 4]}],
            dtype=pl.Struct({"a": pl.Categorical(), "b": pl.Array(pl.Int64, 2)}),
        ),
    }


def is_lacking(store: MetadataStore, column: pl.Series) -> bool:
    """Return whether the capabilities of a store say that no column can have this type."""
    able, schema = store.storage.capabilities, nw.from_native(column.to_frame("u")).schema
    return first_with(schema, (*able.unsupported, *([] if able.has_decimal else [nw.Decimal]))) is not None


def refusal(store: MetadataStore, what: str) -> str | None:
    """Write one column, and return why it was refused."""
    feature = define(f"only/{'_'.join(what.split())}").key
    try:
        store.write(feature, rows(id=["a", "b"], **{what: sample_columns()[what]}))
    except MetadataSchemaError as error:
        assert not store.has_feature(feature), f"{what} left a table behind when they were refused"
        return str(error)
    return None


class Columns(StoreCase):
    """Silent wrong data is the worst fault: a column that cannot be kept exactly is refused, and declared."""

    def test_columns_are_kept_exactly(self, store: MetadataStore) -> None:
        define("video")
        refused = self.refused(store)
        kept = {what: column for what, column in sample_columns().items() if what not in refused}
        try:
            store.write("video", rows(id=["a1", "b1"], **kept))
        except MetadataSchemaError:
            assert {what: told for what in kept if (told := refusal(store, what))} == {}, "name them in `refuses`"
            raise
        store.write("video", rows(id=["a2", "b2"], **kept))  # these meet a table
        found = collect_to_polars(store.read("video")).sort("id")
        assert found["id"].to_list() == ["a1", "a2", "b1", "b2"]
        wanted = {what: [value for value in column.to_list() for _ in range(2)] for what, column in kept.items()}
        changed = {what: found[what].to_list() for what in wanted if found[what].to_list() != wanted[what]}
        assert changed == {what: wanted[what] for what in changed}

    def test_what_cannot_be_kept_is_refused_in_one_line(self, store: MetadataStore) -> None:
        assert self.refuses <= sample_columns().keys()
        told = {what: refusal(store, what) for what in self.refused(store)}
        assert {what for what, line in told.items() if line is None} == set(), "these are kept: declare nothing of them"
        assert [line for what, line in told.items() if f"'{what}'" not in str(line) or "\n" in str(line)] == []

    def refused(self, store: MetadataStore) -> AbstractSet[str]:
        """Return what the store says to refuse, in either place."""
        return self.refuses | {what for what, column in sample_columns().items() if is_lacking(store, column)}

    def test_system_columns_have_the_same_types_everywhere(self, store: MetadataStore) -> None:
        define("video", fields=["x"])
        store.write("video", rows({"x": "1"}, id=["a"]))
        kinds: dict[str, Any] = {
            "text": nw.String(),
            "timestamp": nw.Datetime("us", "UTC"),
            "by_field": nw.Struct({"x": nw.String()}),
        }
        schema = store.read("video").collect_schema()
        assert {column.name: schema[column.name] for column in c.SYSTEM_COLUMNS} == {
            column.name: kinds[column.kind] for column in c.SYSTEM_COLUMNS
        }
