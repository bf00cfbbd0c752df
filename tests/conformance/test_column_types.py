"""Columns of users, of any type: each store does with them what `tests/column_types.py` says, as payload and as IDs."""

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.column_types import CASES, GIVEN, KEPT, NAMES, REFUSED, Fate, Outcome
from tests.factory import define, rows
from tests.stores import STORES

from metaxy import columns as c
from metaxy.errors import MetadataSchemaError
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.polars_engine import PolarsEngine

IDS = ["a", "b", "null"]  # the rows of a column, which ends with NULL


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The name of the store that the test runs on."""
    return str(request.node.callspec.params["make_store"])


def wanted(column: pl.Series, outcome: Outcome) -> pl.Series | None:
    """Return what is read, None if nothing is."""
    if isinstance(outcome, Fate):
        return column if outcome is KEPT else None
    if isinstance(outcome, pl.Series):
        return outcome
    texts = [None if value is None else str(value) for value in column.to_list()]
    return pl.Series(texts) if column.dtype == pl.Object else column.cast(outcome)


def shown(column: pl.Series | None) -> Any:
    """Show a column so that two are equal only if all is: NaN is NaN, and -0.0 not 0.0."""
    return None if column is None else (column.dtype, repr(column.to_list()))


def refusal(store: MetadataStore, feature: str, frame: Any, what: str) -> str:
    """Write a frame, and return why it is refused, in one line."""
    with pytest.raises(MetadataSchemaError) as caught:
        store.write(feature, frame)
    assert "\n" not in str(caught.value), what
    assert not store.has_feature(feature), what
    return str(caught.value)


def test_stores_have_a_place_on_the_page() -> None:
    assert list(NAMES) == list(STORES)


@pytest.mark.filterwarnings("ignore::metaxy.errors.UntypedColumnWarning")
def test_columns_are_kept_as_the_page_says(store: MetadataStore, name: str) -> None:
    define("video")
    kept = [(case, column) for case in CASES for column in case.columns if case.outcome(name) is not REFUSED]
    columns = {f"u{n}": column for n, (_, column) in enumerate(kept)}
    new = store.resolve_update("video", samples=rows(id=IDS, **columns)).new.to_polars().sort("id")
    for suffix in ("", "2"):  # the second one meets a table
        store.write("video", rows(id=[f"{i}{suffix}" for i in IDS], **columns))
    read = collect_to_polars(store.read("video")).sort("id")
    for n, (case, column) in enumerate(kept):
        want = shown(wanted(column, case.outcome(name)))
        for half in (read[::2], read[1::2]):
            assert (shown(half[f"u{n}"]) if f"u{n}" in half.columns else None) == want, case.what
        assert want is None or shown(new[f"u{n}"].cast(want[0])) == want, f"samples: {case.what}"


def test_columns_are_refused_as_the_page_says(store: MetadataStore, name: str) -> None:
    define("video")
    for case in CASES:
        for column in case.columns if case.outcome(name) is REFUSED else ():
            assert "'u'" in refusal(store, "video", rows(id=IDS, u=column), case.what)


def test_ids_are_told_apart_by_columns_of_each_type(store: MetadataStore, name: str) -> None:
    """Each row differs from the first one in one ID: if a type lost a value or changed it, rows would meet others."""
    columns = [column for case in CASES if case.is_id_on(name) for column in case.columns]
    ids = [f"u{n}" for n in range(len(columns))]
    define("thing", ids=ids)
    define("child", "thing", ids=ids)
    places = [[int(row == n) for row in range(-1, len(columns))] for n in range(len(columns))]
    given = rows(**{i: taken(column, at) for i, column, at in zip(ids, columns, places, strict=True)})
    store.write("thing", given)
    for engine in engines(store):
        update = store.resolve_update("thing", samples=given, versioning_engine=engine)
        assert update.counts["unchanged"] == len(given) == len(columns) + 1
    store.write("child", store.resolve_update("child").new)
    for engine in engines(store):
        assert store.resolve_update("child", versioning_engine=engine).counts["unchanged"] == len(given)


def engines(store: MetadataStore) -> tuple[VersioningEngineOptions, ...]:
    return ("polars",) if isinstance(store.engine, PolarsEngine) else ("auto", "polars")


def taken(column: pl.Series, places: list[int]) -> pl.Series:
    return pl.Series([column[n] for n in places], dtype=pl.Object) if column.dtype == pl.Object else column[places]


@pytest.mark.three_stores
def test_ids_are_refused_as_the_page_says(store: MetadataStore) -> None:
    define("thing", ids=["u"])
    for case in CASES:
        for column in () if case.may_be_id else case.columns:
            assert "'u'" in refusal(store, "thing", rows(u=column[:2]), case.what)


LACKING: dict[str, list[Any]] = {"postgresql": [pl.Duration], "delta": [pl.Duration, pl.Time]}


def in_library(what: str, **columns: Any) -> Any:
    """Make a frame of the library that a name begins with."""
    own: dict[str, Any] = {"id": IDS, c.METAXY_PROVENANCE_BY_FIELD: [{"default": "1"}] * len(IDS)}
    return pa.table({**own, **columns}) if what.startswith("Arrow") else pd.DataFrame({**own, **columns})


@pytest.mark.three_stores
def test_columns_of_other_libraries_are_taken_as_the_page_says(store: MetadataStore, name: str) -> None:
    for library in ("Arrow", "Pandas"):
        taken = {
            given.what: given
            for given in GIVEN
            if given.what.startswith(library) and given.taken is not None
            if given.taken.dtype not in LACKING.get(name, [])
        }
        for key, frame in {
            "given": in_library(library, **{what: given.column for what, given in taken.items()}),
            "taken": rows(id=IDS, **{what: given.taken for what, given in taken.items()}),
        }.items():
            store.drop_feature_metadata(define(key).key)
            store.write(key, frame)
            assert store.resolve_update(key, samples=frame).counts["unchanged"] == len(IDS)
        read = [
            collect_to_polars(store.read(key)).sort("id").select(c for c in taken if c != "Arrow null")
            for key in ("given", "taken")
        ]
        assert read[0].schema == read[1].schema
        assert repr(read[0].rows()) == repr(read[1].rows())


@pytest.mark.three_stores
def test_columns_of_other_libraries_are_refused_as_the_page_says(store: MetadataStore) -> None:
    define("video")
    for given in GIVEN:
        if given.taken is None:
            assert "column 'u' holds" in refusal(store, "video", in_library(given.what, u=given.column), given.what)
