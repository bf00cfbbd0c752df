"""Results with versions of their own: where a new result is what the old one was, its children are not stale."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.factory import define, rows, values

import metaxy as mx
from metaxy.errors import MetadataSchemaError
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.process import run
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

NAMES = [f"{number:03}" for number in range(100)]
Write = Callable[[MetadataStore, pl.DataFrame], None]


def videos(version: str) -> pl.DataFrame:
    return rows(version, id=NAMES)


def wave(version: str = "1") -> None:
    """Define crops of videos, with two fields, and what is made of one of them each."""
    define("video")
    define("crop", "video", fields=["pixels", mx.FieldSpec(key="box", code_version=version)])
    for child, field in (("face", "pixels"), ("frame", "box")):
        deps = [mx.FieldDep(feature="crop", fields=[field])]
        define(child, "crop", fields=[mx.FieldSpec(key="default", deps=deps)])


def cropped(samples: Any, edited: int) -> pl.DataFrame:
    """Crop videos; the results of the first ones are others than before."""
    frame = collect_to_polars(samples).sort("id")
    sums = [f"sum of {name}, {'edited' if number < edited else 'as it was'}" for number, name in enumerate(frame["id"])]
    return frame.with_columns(checksum=pl.Series(sums))


WAYS: list[Write] = [
    lambda store, frame: store.write("crop", frame, data_version={"pixels": "checksum"}),
    lambda store, frame: store.write("crop", frame.lazy(), data_version={"pixels": lambda each: each["checksum"]}),
    lambda store, frame: store.write_multi({"crop": frame}, data_version={"crop": {"pixels": list(frame["checksum"])}}),
    lambda store, frame: store.write(
        "crop", frame.to_pandas(), data_version=lambda each: each.select(pl.struct(pixels="checksum")).to_series()
    ),
]


def test_equal_results_stop_the_wave(store: MetadataStore) -> None:
    wave()
    for number, (write, edited) in enumerate(zip(WAYS, (0, 0, 3, 3), strict=True)):
        store.write("video", videos(str(number)))
        increment = store.resolve_update("crop")
        assert increment.counts["new" if number == 0 else "stale"] == 100
        write(store, cropped(increment.stale if number else increment.new, edited))
        assert store.resolve_update("crop").counts["unchanged"] == 100
        if number:
            assert values(store.resolve_update("face").stale) == NAMES[:edited]
        else:
            store.write("face", store.resolve_update("face").new)
            store.write("frame", store.resolve_update("frame").new)
    assert store.resolve_update("frame").counts["stale"] == 100
    given = collect_to_polars(store.read("crop", ids=["000"]))
    assert given["metaxy_data_version"][0] != given["metaxy_provenance"][0]


@pytest.mark.three_stores
def test_children_of_a_parent_have_versions_of_their_own(store: MetadataStore) -> None:
    """One line of a text is edited: only this line is embedded again."""
    define("text", ids=["text"])
    lineage = mx.LineageRelationship.expansion(on=["text"])
    define("line", mx.FeatureDep(feature="text", lineage=lineage), ids=["text", "number"])
    define("vector", "line", ids=["text", "number"])

    def lines(*words: str) -> pl.DataFrame:
        numbered = {"text": ["a"] * len(words), "number": list(range(len(words))), "words": list(words)}
        return pl.DataFrame(numbered, schema_overrides={"number": pl.Int64})

    def stale() -> list[Any]:
        increment = store.resolve_update("vector")
        found = values(increment.new, "number") + values(increment.stale, "number")
        store.write("vector", increment.new)
        store.write("vector", increment.stale)
        return found

    store.write("text", rows("1", text=["a"]))
    parents = collect_to_polars(store.resolve_update("line").new)
    store.write("line", lines("x", "y", "z").join(parents, on="text"), replaces=parents, data_version="words")
    assert stale() == [0, 1, 2]

    store.write("text", rows("2", text=["a"]))
    parents = collect_to_polars(store.resolve_update("line").stale)
    with store.replacing("line", parents) as replacement:
        for part in (lines("x", "new"), lines("x", "new", "z", "more").tail(2)):
            replacement.write(part.join(parents, on="text"), data_version={"default": "words"})
    assert stale() == [3, 1]

    store.write("text", rows("3", text=["a"]))

    def cut(row: dict[str, Any]) -> list[dict[str, Any]]:
        return lines("x", "new", "zz").to_dicts()

    report = store.process("line", cut, data_version="words", progress=False)
    assert (report.done, report.rows, stale()) == (1, 3, [2])

    store.write("text", rows("4", text=["a"]))
    parents = collect_to_polars(store.resolve_update("line").stale)
    with mx.BufferedMetadataWriter(store) as writer:
        frame = lines("x", "old", "zz").join(parents, on="text")
        writer.put({"line": frame}, replaces={"line": parents}, data_version={"line": "words"})
    assert stale() == [1]


@pytest.mark.three_stores
def test_process_versions_results_and_records_what_has_no_version(store: MetadataStore) -> None:
    wave()
    found: dict[str, Any] = {"version": "1", "edited": 0, "broken": []}
    calls: list[int] = []

    @mx.computes("video")
    def list_videos() -> pl.DataFrame:
        return videos(found["version"])

    def checksum(frame: pl.DataFrame) -> pl.DataFrame:
        calls.append(frame.height)
        broken = frame["checksum"].str.contains("broken")
        return frame.select(version=pl.when(~broken).then("checksum"), error=pl.lit("cannot be read"))

    @mx.computes("crop", data_version={"pixels": checksum}, batch_size=40)
    def crop(frame: pl.DataFrame) -> pl.DataFrame:
        return cropped(frame, found["edited"]).with_columns(
            checksum=pl.when(pl.col("id").is_in(found["broken"])).then(pl.lit("broken")).otherwise("checksum")
        )

    @mx.computes("face")
    def face(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    assert [report.done for report in run(store, progress=False).reports] == [100, 100, 100]
    found["version"] = "2"
    assert [report.done for report in run(store, progress=False).reports] == [100, 100, 0]
    found.update(version="3", edited=1)  # one in each batch of 40, 40 and 20
    assert [report.done for report in run(store, progress=False).reports] == [100, 100, 3]
    assert calls == [40, 40, 20] * 3

    found.update(version="4", broken=["007", "050"])
    report = run(store, progress=False).reports[1]
    assert (report.done, report.failed) == (98, 2)
    assert str(report.errors[0]).endswith(
        "data_version: field pixels: 1 of 1 rows have no version, for example id = '007': cannot be read"
    )
    assert values(store.resolve_update("crop").stale) == ["007", "050"]
    with pytest.raises(TypeError, match="data_version of process is the name of a column or a function"):
        store.process("crop", crop, data_version=["1"])


@pytest.mark.three_stores
def test_versions_that_say_nothing_are_refused(store: MetadataStore) -> None:
    wave()
    store.write("video", videos("1"))
    frame = cropped(store.resolve_update("crop").new, 0).with_columns(size=0.5, none=pl.lit(None))
    wrong: dict[str, Any] = {
        r"there is no field 'pixel'\. Did you mean 'pixels'": {"pixel": "checksum"},
        r"field pixels: no column 'checksums'\. Did you mean 'checksum'": {"pixels": "checksums"},
        "all fields: Float64 is no version; give text": "size",
        "all fields: 2 versions for 100 rows": ["a", "b"],
        "field box: 100 of 100 rows have no version, for example id = '000'": {"box": "none"},
        "field box: a set has no versions": {"box": {"a"}},
    }
    for message, given in wrong.items():
        with pytest.raises(MetadataSchemaError, match=rf"feature crop: data_version: {message}"):
            store.write("crop", frame, data_version=given)
    with pytest.raises(ValueError, match="data_version names feature face, of which there are no rows"):
        store.write_multi({"crop": frame}, data_version={"face": "checksum"})
    assert store.resolve_update("crop").counts["new"] == 100

    own = frame.drop("metaxy_data_version").with_columns(
        metaxy_data_version_by_field=pl.struct(pixels=pl.lit("p"), box=pl.lit("b"))
    )
    store.write("crop", own, data_version={"pixels": pl.Series(range(100))})
    kept = collect_to_polars(store.read("crop", ids=["004"]))["metaxy_data_version_by_field"]
    assert list(dict(kept[0]).values()) in (["4", "b"], ["b", "4"])


def test_a_claim_versions_results(tmp_path: Path) -> None:
    wave()
    store = SQLiteMetadataStore(tmp_path / "features.sqlite", auto_create_tables=True)
    for version, kept in (("1", 0), ("2", 100)):
        with store.open("w"):
            store.write("video", videos(version))
        with store.claim("crop", limit=100) as claim:
            claim.write(cropped(claim.samples, 0), data_version={"pixels": "checksum"})
        with store.open("w"):
            assert store.resolve_update("face").counts["unchanged"] == kept
            store.write("face", store.resolve_update("face").new)


def test_results_stay_where_other_code_of_a_parent_gives_the_same(store: MetadataStore) -> None:
    """A new code version is a new feature version of all that follows; what has the same inputs is taken over."""

    def features(version: str) -> None:
        define("video")
        define("crop", "video", fields=[mx.FieldSpec(key="default", code_version=version)])
        define("face", "crop")

    features("1")
    store.write("video", videos("1"))
    store.write("crop", cropped(store.resolve_update("crop").new, 0), data_version="checksum")
    faces = collect_to_polars(store.resolve_update("face").new).with_columns(faces=pl.lit(2))
    store.write("face", faces)
    features("2")
    store.write("crop", cropped(store.resolve_update("crop").new, 3), data_version="checksum")
    assert store.resolve_update("face").counts["new"] == 100
    before = store.read("face", with_feature_history=True)
    store.write("face", store.rebase("face", before, same_inputs=True), preserve_feature_version=True)
    assert values(store.resolve_update("face").new) == NAMES[:3]
    assert values(store.read("face", columns=["id", "faces"]), "id", "faces") == [(name, 2) for name in NAMES[3:]]
    with pytest.raises(MetadataSchemaError, match="the frame lacks column 'metaxy_provenance', by which rows are reb"):
        store.rebase("face", faces.drop("metaxy_provenance"), same_inputs=True)
