"""Rows that are written are compared with the annotations of their feature class: types, NULLs and values."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal

import narwhals as nw
import pandas as pd
import polars as pl
import pytest
from pydantic import Field
from tests.factory import everything, rows
from tests.stores import StoreFactory

import metaxy as mx
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import DeclaredColumnsWarning, MetadataSchemaError
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore
from metaxy.store.table_columns import table_problems

FIX = 'correct the rows or the class, or set declared = "ignore" in metaxy.toml or in feature_config of the class'


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def define(config: mx.FeatureConfig = {}) -> type[mx.BaseFeature]:  # noqa: B006
    class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])):
        feature_config = config

        id: str
        path: str
        colour: Colour | None
        stars: Literal[1, 2, 3]
        done: Literal[True]
        duration: float | None = None

    return Video


def video(ids: str, **columns: Any) -> pl.DataFrame:
    fine = {"path": "p", "colour": "red", "stars": 1, "done": True}
    count = len(ids)
    given = {name: [value] * count for name, value in fine.items()} | columns
    return rows(id=list(ids), **given)


@contextmanager
def one_warning(text: str) -> Iterator[None]:
    """Expect one warning, with this text behind the name of the feature and before the advice."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
    assert [str(each.message) for each in seen] == [f"feature video: {text}; {FIX}"]
    assert (seen[0].category, seen[0].filename) == (DeclaredColumnsWarning, __file__)


def test_values_that_no_type_tells_are_counted_in_polars_and_in_the_database(store: MetadataStore) -> None:
    broken = video(
        "abcd",
        path=["p", None, "q", None],
        colour=["red", None, "pink", "it's"],
        stars=[3, 2, 1, 9],
        done=[True, True, False, True],
        duration=[None, 1.5, 2.5, None],
    )
    text = (
        "'path' (str) is NULL in 2 of 4 rows, first None of id='b'; "
        "'colour' is not Literal['red', 'blue'] | None in 2 of 4 rows, first 'pink' of id='c'; "
        "'stars' is not Literal[1, 2, 3] in 1 of 4 rows, first 9 of id='d'; "
        "'done' is not Literal[True] in 1 of 4 rows, first False of id='c'"
    )
    define()
    with one_warning(text):
        store.write("video", broken)
    stored = store.read("video").drop("metaxy_provenance", "metaxy_data_version", "metaxy_data_version_by_field")
    with one_warning(text):
        store.write("video", stored)
    define({"declared": "error"})
    with pytest.raises(MetadataSchemaError, match=r"'path' \(str\) is NULL in 2 of 4 rows"):
        store.write("video", stored)
    assert len(everything(store, "video")) == 8
    store.write("video", video("e", colour=[None]))  # warns of nothing


def test_tables_keep_what_is_declared_also_where_the_first_values_are_narrower(store: MetadataStore) -> None:
    class Clip(mx.BaseFeature, spec=mx.FeatureSpec(key="clip", id_columns=["id"])):
        id: str
        score: float | None
        large: float
        moment: datetime
        late: float | None = None

    instant, large = datetime(2026, 1, 2, 3, 4, 5), 2**53 + 1
    first = {"score": [1, None], "large": large, "moment": [instant] * 2}
    coarse = pl.col("moment").cast(pl.Datetime("ms"))
    store.write(Clip, rows(id=["a", "b"], **first).with_columns(coarse))
    exact = {"moment": [instant + timedelta(microseconds=7)]}
    store.write(Clip, rows(id=["c"], score=[0.5], large=[2], late=[3], **exact))
    store.write(Clip, rows(id=["d"], score=[2], large=[4], late=[0.25], moment=[instant]))
    found = store.read(Clip).collect().to_polars().sort("id")
    assert found["score"].to_list() == [1.0, None, 0.5, 2.0]
    assert found["score"].dtype == pl.Float64
    assert found["late"].to_list() == [None, None, 3.0, 0.25]
    assert [int(value) for value in found["large"]] == [large, large, 2, 4]  # no float is as large as that
    assert found["moment"][2].replace(tzinfo=None).microsecond == 7

    class Raw(mx.BaseFeature, spec=mx.FeatureSpec(key="raw", id_columns=["id"])):
        id: str

    class Copy(mx.BaseFeature, spec=mx.FeatureSpec(key="copy", id_columns=["id"])):
        id: str
        score: float

    store.write(Raw, rows(id=["a", "b"], score=[1, 2]))
    store.write(Copy, store.read(Raw, columns=["id", "score", "metaxy_provenance_by_field"]))  # in its database
    store.write(Copy, rows(id=["c"], score=[0.5]))
    assert sorted(store.read(Copy).collect().to_polars()["score"]) == [0.5, 1.0, 2.0]


@pytest.mark.three_stores
def test_columns_that_are_missing_or_of_other_types_are_named(store: MetadataStore) -> None:
    define()
    fine = video("ab")
    with one_warning(
        "'path' is missing (str), did you mean 'paths'?; 'duration' is String, not float | None, first '12s' of id='b'"
    ):
        store.write("video", fine.with_columns(duration=pl.Series([None, "12s"])).rename({"path": "paths"}))
    with one_warning("'stars' is missing (Literal[1, 2, 3])"):
        store.write("video", store.read("video").with_columns(path=nw.lit("p")).drop("duration", "stars", "paths"))
    store.write("video", fine.with_columns(pl.lit(1).alias("more"), pl.col("colour").cast(pl.Enum(["red"]))))
    with one_warning("'path' (str) is NULL in 1 of 1 rows, first None of id='z'"):
        store.write("video", pd.DataFrame(video("z", path=[None]).to_dicts()))


@pytest.mark.three_stores
def test_the_configuration_says_what_happens_and_a_feature_may_say_otherwise(make: StoreFactory) -> None:
    broken = video("a").drop("path")
    with make().open("w") as store:
        define()
        with mx.MetaxyConfig(declared="error").use():
            with pytest.raises(MetadataSchemaError) as caught:
                store.write("video", broken)
            assert str(caught.value) == f"feature video: 'path' is missing (str); {FIX}"
            with pytest.raises(MetadataSchemaError):
                store.write_multi({"video": broken})
            assert not store.has_feature("video")
            define({"declared": "ignore"})
            store.write("video", broken)
        with mx.MetaxyConfig(declared="ignore").use():
            define({"declared": "warn"})
            with one_warning("'path' is missing (str)"):
                store.write("video", broken)


@pytest.mark.three_stores
def test_what_is_recorded_of_a_class_is_enough(store: MetadataStore) -> None:
    define()
    snapshot = mx.FeatureGraph.get_active().to_snapshot()
    with mx.FeatureGraph.from_snapshot(snapshot).use(), one_warning("'path' is missing (str)"):
        store.write("video", video("a").drop("path"))
    with mx.FeatureGraph().use() as graph:
        spec = mx.FeatureSpec(key="video", id_columns=["id"])
        graph.add_feature_definition(FeatureDefinition.external(spec=spec, project="test"))
        store.write("video", rows(id=["b"]))


@pytest.mark.three_stores
def test_columns_may_have_their_aliases_and_no_type_at_all(store: MetadataStore) -> None:
    class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])):
        id: str
        length: int = Field(alias="video-length")
        tags: list[str]
        note: str
        extra: Any

    store.write("video", rows(id=["a"], **{"video-length": [1]}, tags=[["x"]], note=["n"], extra=[1.5]))
    store.write("video", rows(id=["b"], length=[1], tags=[["x"]], note=["n"], extra=[None]))
    with one_warning("'note' (str) is NULL in 1 of 1 rows, first None of id='c'"):
        store.write("video", rows(id=["c"], length=[1], tags=[[]], note=[None], extra=[None]))


@pytest.mark.three_stores
def test_tables_are_compared_with_classes(make: StoreFactory) -> None:
    with make().open("w") as store, mx.MetaxyConfig(declared="ignore").use():
        define()
        definition = mx.FeatureGraph.get_active().get_feature_definition("video")
        assert table_problems(store, definition) == []
        store.write("video", video("ab", duration=["1s", None]))
        store.write("video", video("c").drop("path").with_columns(uri=pl.lit("u")))
        store.write("video", video("d").drop("path", "done").with_columns(uri=pl.lit("u"), note=pl.lit("x")))
        duration, path = table_problems(store, definition)
        assert duration == "'duration' is String, not float | None"
        assert path.startswith("'path' is NULL since 'uri' came (2 samples have only it): if renamed, run `mx metadata")
        store.rename_column("video", "path", "uri")
        assert table_problems(store, definition) == [duration]


def test_a_column_without_values_gets_its_declared_type(store: MetadataStore) -> None:
    """Where that leaves nothing open, and others would be refused; rows of tables that are there have NULL."""

    class Clip(mx.BaseFeature, spec=mx.FeatureSpec(key="clip", id_columns=["id"])):
        feature_config: ClassVar[mx.FeatureConfig] = {"declared": "error"}

        id: str
        title: str | None = None
        width: float | None = None
        frames: int | None = None
        good: bool | None = None
        day: date | None = None
        words: list[str] | None = None
        tags: list[str] = Field(default_factory=list)
        at: datetime | None = None
        either: int | str | None = None

    typed = {"title": nw.String, "width": nw.Float64, "frames": nw.Int64, "good": nw.Boolean, "day": nw.Date}
    none: dict[str, Any] = {name: [None] for name in [*typed, "words", "at", "either"]} | {"tags": [[]]}
    store.write("clip", rows(id=["a"], title=["x"]))
    store.write("clip", rows(id=["b"], **none))
    schema = store.storage.scan(Clip.spec().key).schema
    assert {name: type(schema[name]) for name in typed} == typed
    assert {"words", "tags"} <= set(schema)
    assert not {"at", "either"} & set(schema)
    values: dict[str, Any] = {"width": [1], "frames": [2], "good": [True], "day": [date(2026, 1, 2)], "words": [["w"]]}
    store.write("clip", rows(id=["c"], **values))
    found = store.read("clip", columns=["id", *values, "tags"]).sort("id").collect().to_polars().rows()
    assert found[0] == ("a", *[None] * 6)
    assert [[*row] for row in found[1:]] == [
        ["b", *[None] * 5, []],
        ["c", 1.0, 2, True, date(2026, 1, 2), ["w"], None],
    ]


def test_a_table_that_may_not_grow_gets_no_column_for_nothing(tmp_path: Path) -> None:
    class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])):
        id: str
        path: str | None = None

    cases: tuple[tuple[Any, Any, bool], ...] = (
        ("strict", "error", False),
        ("add", "error", True),
        ("add", "warn", False),
    )
    for number, (evolution, declared, has_it) in enumerate(cases):
        file, config = tmp_path / f"{number}.duckdb", mx.MetaxyConfig(declared=declared, auto_create_tables=True)
        with config.use(), DuckDBMetadataStore(file, schema_evolution=evolution).open("w") as store:
            store.write(Video, rows(id=["a"]))
            store.write(Video, rows(id=["b"], path=[None]))
            assert ("path" in store.read(Video).columns) == has_it
