"""Samples that could not be read: they say why in `metaxy_error`, and stay as they are."""

from typing import Any

import polars as pl
import pytest
from tests.factory import define, everything, ids, values

from metaxy.columns import METAXY_ERROR
from metaxy.errors import MetadataSchemaError
from metaxy.store.store import MetadataStore

FIELDS = ("audio", "frames")
MEMBERS = pl.Struct(dict.fromkeys(FIELDS, pl.String))


def scanned(**versions: Any) -> pl.DataFrame:
    """Make samples with the version of each, the reason why one has none, and a payload."""
    by_field = [each if isinstance(each, dict) else dict.fromkeys(FIELDS) for each in versions.values()]
    errors = [each if isinstance(each, str) else None for each in versions.values()]
    return pl.DataFrame(
        {"id": list(versions), "size": [None if error else 1 for error in errors], METAXY_ERROR: errors},
        schema_overrides={"size": pl.Int64, METAXY_ERROR: pl.String},
    ).with_columns(metaxy_provenance_by_field=pl.Series(by_field, dtype=MEMBERS))


def test_samples_that_could_not_be_read_stay_as_they_are(store: MetadataStore) -> None:
    define("video", fields=list(FIELDS))
    same, other = {"audio": "1", "frames": "1"}, {"audio": "1", "frames": "2"}
    store.write("video", scanned(a=same, b=same, c=same, gone=same))
    assert METAXY_ERROR not in everything(store, "video").columns
    samples = scanned(a=other, b="OSError: broken", c=same, new=same, unseen="PermissionError: not yours")
    half = samples.with_columns(
        metaxy_provenance_by_field=pl.when(pl.col("id") == "b")
        .then(pl.struct(audio=pl.lit("1"), frames=pl.lit(None, pl.String)))
        .otherwise("metaxy_provenance_by_field")
    )
    for given in (samples, half, samples.lazy()):
        for engine in ("auto", "polars"):
            options: dict[str, Any] = {"samples": given, "versioning_engine": engine}
            eager = store.resolve_update("video", **options)
            for found in (eager, store.resolve_update("video", lazy=True, **options)):
                assert ids(found) == (["new"], ["a"], ["gone"])
            expected = {"new": 1, "stale": 1, "orphaned": 1, "unread": 2, "unchanged": 1}
            assert {name: eager.counts[name] for name in expected} == expected
            assert eager.progress is None
            assert not {METAXY_ERROR} & set(eager.new.columns)
    assert store.resolve_update("video", samples=scanned(a=same, b=same, c=same, gone=same)).unread is None
    with pytest.raises(MetadataSchemaError, match=r"in 1 samples: no version was given"):
        store.resolve_update("video", samples=samples.with_columns(pl.lit(None).alias(METAXY_ERROR)).head(2))
    with pytest.raises(MetadataSchemaError, match="version"):
        store.write("video", samples)


@pytest.mark.three_stores
def test_process_says_which_samples_could_not_be_read(store: MetadataStore) -> None:
    define("video", fields=list(FIELDS))
    same = {"audio": "1", "frames": "1"}

    def keep(frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    first = store.process("video", keep, samples=scanned(a=same, b=same, c=same), progress=False)
    assert (first.done, first.unread, first.in_sync) == (3, 0, True)
    samples = scanned(a={"audio": "2", "frames": "1"}, b="OSError: broken", new="no rights")
    runs: list[int] = []

    def run(frame: pl.DataFrame) -> pl.DataFrame:
        runs.append(frame.height)
        return frame

    lazy = samples.lazy().map_batches(run)
    assert store.resolve_update("video", samples=lazy).unread == 2
    report = store.process("video", keep, samples=lazy, orphaned="delete", progress=False)
    assert runs == [3, 3]
    assert (report.done, report.stale, report.orphaned, report.unread, report.in_sync) == (1, 1, 1, 2, False)
    assert [str(error) for error in report.errors] == ["id = 'b': OSError: broken", "id = 'new': unread: no rights"]
    assert "2 could not be read" in repr(report)
    assert values(store.read("video")) == ["a", "b"]
