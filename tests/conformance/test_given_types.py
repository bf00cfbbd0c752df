"""Columns of types that only one library or this process knows: taken as what they mean, or refused in one line."""

from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import duckdb
import ibis
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.factory import define, rows, values

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore

pytestmark = [
    pytest.mark.three_stores,
    pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning:ibis"),  # not ours
]
UUIDS = [UUID(int=1), UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), None]
TEXTS = [None if uuid is None else str(uuid) for uuid in UUIDS]
BYTES = pa.array([None if uuid is None else uuid.bytes for uuid in UUIDS], pa.binary(16))
VERSIONS = [{"default": "1"}] * len(UUIDS)


def in_polars(column: Any, **types: Any) -> pl.DataFrame:
    frame = pl.DataFrame({"id": ["a", "b", "c"], c.METAXY_PROVENANCE_BY_FIELD: VERSIONS})
    return frame.with_columns(pl.Series("u", column, **types))


def in_pandas(column: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": ["a", "b", "c"], "u": column, c.METAXY_PROVENANCE_BY_FIELD: VERSIONS}, index=[7, 8, 9])


def in_arrow(column: Any) -> pa.Table:
    return pa.table({"id": ["a", "b", "c"], "u": column, c.METAXY_PROVENANCE_BY_FIELD: VERSIONS})


def in_duckdb(sql: str) -> Any:
    """A column of a relation, written over ``u``, a column of texts; its database lives as long as it."""
    connection = duckdb.connect()
    connection.register("given", in_arrow(TEXTS))
    connection.execute(f"CREATE TABLE given_rows AS SELECT * REPLACE ({sql} AS u) FROM given")
    return connection.table("given_rows")


def in_ibis(to: str) -> Any:
    table = ibis.duckdb.connect().create_table("given", in_arrow(TEXTS))
    return table.mutate(u=table.u.cast(to))


HOLDING_UUIDS: dict[str, Callable[[], Any]] = {
    "polars": lambda: in_polars(UUIDS, dtype=pl.Object),
    "polars, lazy": lambda: in_polars(UUIDS, dtype=pl.Object).lazy(),
    "pandas": lambda: in_pandas(UUIDS),
    "pandas with NaN": lambda: in_pandas([*UUIDS[:2], float("nan")]),
    "pandas, categories": lambda: in_pandas(pd.Categorical(UUIDS)),
    "pandas with arrow types": lambda: in_pandas(pd.Series(BYTES.to_pylist(), dtype=pd.ArrowDtype(pa.uuid())).array),
    "pyarrow": lambda: in_arrow(pa.ExtensionArray.from_storage(pa.uuid(), BYTES)),
    "pyarrow in pieces": lambda: pa.concat_tables([HOLDING_UUIDS["pyarrow"]()[:1], HOLDING_UUIDS["pyarrow"]()[1:]]),
    "duckdb": lambda: in_duckdb("CAST(u AS UUID)"),
    "ibis": lambda: in_ibis("uuid"),
}


def test_uuids_are_text_in_every_library(store: MetadataStore) -> None:
    define("video")
    for name, frame in HOLDING_UUIDS.items():
        store.write("video", frame())
        assert values(store.read("video"), "id", "u") == [*zip("abc", TEXTS, strict=True)], name
        store.drop_feature_metadata("video")


def test_uuids_tell_samples_apart_in_every_library(store: MetadataStore) -> None:
    define("thing", ids=["u"])
    store.write("thing", rows(u=TEXTS[:2]))
    for name, frame in HOLDING_UUIDS.items():
        given = frame()
        given = given.filter(given.u.notnull()) if name == "ibis" else given
        given = given.filter("u IS NOT NULL") if name == "duckdb" else given if name == "ibis" else given[:2]
        assert store.resolve_update("thing", samples=given).counts["unchanged"] == 2, name


def test_objects_of_several_types_become_none_of_them(store: MetadataStore) -> None:
    """Arrow would take the type of the first one, and cut the others."""
    define("video")
    define("thing", ids=["u"])
    day, noon = date(2020, 1, 1), datetime(2020, 1, 1, 12)
    mixed: dict[str, list[Any]] = {
        "date, datetime": [day, noon, None],
        "Timestamp, date": [day, pd.Timestamp(noon), float("nan")],
        "times with a time zone and times without one": [noon, noon.replace(tzinfo=timezone.utc), pd.NaT],
        "bytes, str": [b"a", "b", None],
    }
    for kinds, column in mixed.items():
        for key in ("video", "thing"):
            with pytest.raises(MetadataSchemaError, match=f"column 'u' holds .*{kinds}, which no store can keep"):
                store.write(key, in_pandas(pd.Series(column, dtype=object).array))
    store.write("video", in_pandas(pd.Series([pd.Timestamp(noon), noon, pd.NaT], dtype=object).array))
    assert values(store.read("video"), "u") == [None, noon, noon]


def test_filters_look_for_uuids_as_text(store: MetadataStore) -> None:
    define("video")
    store.write("video", in_polars(UUIDS, dtype=pl.Object))
    u = nw.col("u")
    one: Any = UUIDS[0]
    other: Any = UUIDS[1]
    conditions = {
        "is": (u == one, ["a"]),
        "is not": (u != one, ["b"]),
        "one of": (u.is_in([other, "x"]), ["b"]),
        "a literal": (nw.lit(one) == u, ["a"]),
        "inside of others": ((u == other) | ((nw.col("id") == "a") & ~(u != one)), ["a", "b"]),
    }
    for name, (condition, wanted) in conditions.items():
        assert values(store.read("video", filters=[condition])) == wanted, name
    store.delete("video", u == one, soft=False)
    assert values(store.read("video")) == ["b", "c"]


def test_filters_that_look_for_objects_are_refused(store: MetadataStore) -> None:
    define("video")
    store.write("video", in_polars(TEXTS))
    u = nw.col("u")
    path: Any = PurePosixPath("x")
    for condition in (u == path, u.is_in(["x", path]), nw.lit(path) == u, (nw.col("id") == "a") | (u > {1})):
        for act in (
            lambda: store.read("video", filters=[condition]),  # noqa: B023
            lambda: store.delete("video", condition, soft=False),  # noqa: B023
            lambda: store.resolve_update("video", samples=in_polars(TEXTS), target_filters=[condition]),  # noqa: B023
        ):
            with pytest.raises(MetadataSchemaError, match=r"looks for a Python object of type (set|PurePosixPath), "):
                act()


def test_what_a_library_wraps_is_taken_out(store: MetadataStore) -> None:
    define("video")
    cases: dict[str, tuple[Any, list[Any] | None]] = {
        "objects that are all NULL": (in_polars([None] * 3, dtype=pl.Object), None),
        "categories of numbers": (in_pandas(pd.Categorical([2, 1, 2])), [2, 1, 2]),
        "numbers in a dictionary": (in_arrow(pa.array([2, None, 2]).dictionary_encode()), [2, None, 2]),
        "runs": (in_arrow(pa.RunEndEncodedArray.from_arrays(pa.array([2, 3]), pa.array(["x", "y"]))), ["x", "x", "y"]),
        "JSON": (in_arrow(pa.array(["{}", None, "1"], pa.json_())), ["{}", None, "1"]),
        "JSON of a database": (in_ibis("json").mutate(u=ibis.literal('{"a":1}').cast("json")), ['{"a":1}'] * 3),
        "bytes of one length": (in_arrow(pa.array([b"ab", None, b"cd"], pa.binary(2))), [b"ab", None, b"cd"]),
    }
    for name, (frame, wanted) in cases.items():
        store.write("video", frame)
        if wanted is None:
            assert "u" not in store.read("video").collect_schema(), name
        else:
            assert values(store.read("video"), "id", "u") == [*zip("abc", wanted, strict=True)], name
        store.drop_feature_metadata("video")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "paths": (lambda: in_polars([PurePosixPath("x")] * 3), "Python objects of type PurePosixPath"),
    "paths, lazy": (lambda: in_polars([PurePosixPath("x")] * 3).lazy(), "Python objects of type PurePosixPath"),
    "sets": (lambda: in_polars([{1}] * 3), "Python objects of type set"),
    "UUIDs and other things": (lambda: in_polars([*UUIDS[:2], "x"], dtype=pl.Object), "type UUID, str"),
    "lists of UUIDs": (lambda: in_polars([[UUIDS[0]]] * 3, dtype=pl.Object), "Python objects of type list"),
    "paths in pandas": (lambda: in_pandas([PurePosixPath("x")] * 3), "Python objects of type PurePosixPath"),
    "sets in pandas": (lambda: in_pandas([{1}] * 3), "Python objects of type set"),
    "mixed types in pandas": (lambda: in_pandas([1, "x", 2]), "Python objects of type int, str"),
    "lists of UUIDs in pandas": (lambda: in_pandas([[UUIDS[0]]] * 3), "Python objects of type list"),
    "periods": (lambda: in_pandas(pd.period_range("2024-01", periods=3, freq="M")), "type pandas.period"),
    "intervals": (lambda: in_pandas(pd.interval_range(0, 3)), "type pandas.interval"),
    "categories of intervals": (lambda: in_pandas(pd.cut([1, 2, 5], [0, 2, 6])), "type pandas.interval"),
    "complex numbers": (lambda: in_pandas([1j] * 3), "complex128"),
    "periods in polars": (lambda: pl.from_pandas(REFUSED["periods"][0]()), "type pandas.period"),
    "an extension": (lambda: in_arrow(pa.array([1, 0, 1], pa.int8()).cast(pa.bool8())), "type arrow.bool8"),
    "months": (lambda: in_arrow(pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval())), "month_day_nano_interval"),
    "huge decimals": (lambda: in_arrow(pa.array([Decimal(1)] * 3, pa.decimal256(60, 2))), "decimal256(60, 2)"),
    "unions": (lambda: in_duckdb("union_value(x := 1)"), "union(x integer)"),
    "lists of UUIDs in duckdb": (lambda: in_duckdb("[CAST(u AS UUID)]"), "uuid[]"),
    "addresses": (lambda: in_ibis("macaddr"), "macaddr"),
}


def test_what_means_nothing_elsewhere_is_refused(store: MetadataStore) -> None:
    define("video")
    define("thing", ids=["u"])
    verbs: dict[str, Callable[[str, Any], Any]] = {
        "the frame": store.write,
        "the samples": lambda feature, samples: store.resolve_update(feature, samples=samples),
    }
    for name, (frame, kind) in REFUSED.items():
        for feature, where in (("video", "the frame"), ("thing", "the frame"), ("video", "the samples")):
            with pytest.raises(MetadataSchemaError) as caught:
                verbs[where](feature, frame())
            start = f"{where} for feature {feature}: column 'u' holds "
            assert str(caught.value).startswith(start), name
            assert kind in str(caught.value), name
            assert "; cast it: " in str(caught.value), name
            assert "\n" not in str(caught.value), name
            assert not store.has_feature(feature), name
