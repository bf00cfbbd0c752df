"""No type is decided by no value, at any depth: not by NULL, an empty list, or a list or struct of NULLs."""

import ibis
import polars as pl
import pytest
from tests.factory import define, rows, values

from metaxy.errors import MetadataSchemaError, UntypedColumnWarning
from metaxy.store.store import MetadataStore
from metaxy.testing.conformance.evolution import NONE
from metaxy.versioning.frames import collect_to_polars


def collected(store: MetadataStore) -> pl.DataFrame:
    return collect_to_polars(store.read("video")).sort("id")


def test_samples_keep_columns_without_values(store: MetadataStore) -> None:
    """What code of users finds in an update does not depend on whether some row has a value."""
    define("video")
    given = rows(id=["b", "c"], n=[1, 2], **{name: column.new_from_index(0, 2) for name, column in NONE.items()})
    store.write("video", rows(id=["b"]))
    for samples in (given, given.lazy(), given.to_arrow().select(["id", "n", "list", "metaxy_provenance_by_field"])):
        for lazy in (False, True):
            update = store.resolve_update("video", samples=samples, lazy=lazy)
            found = collect_to_polars(update.new)
            wanted = pl.DataFrame(samples.collect() if isinstance(samples, pl.LazyFrame) else samples)
            assert found.select(wanted.columns).schema == wanted.schema
            assert found.select(wanted.columns).rows() == wanted.rows()[1:]


@pytest.mark.three_stores
def test_what_is_left_out_is_said_where_it_is_more_than_null(store: MetadataStore) -> None:
    define("video")
    store.write("video", ibis.memtable(rows(id=["0"]).to_arrow()).mutate(nothing=ibis.null()))
    assert "nothing" not in collected(store).columns
    store.write("video", rows(id=["a"], nothing=[None], struct=[{"a": None, "b": 1}]))  # without a warning
    assert values(store.read("video"), "id", "struct") == [("0", None), ("a", {"b": 1})]
    lost = {
        "list": [[]],
        "map": pl.Series([{"k": None}], dtype=pl.Map(pl.String, pl.Null)),
        "deep": [{"x": [[]], "y": 1}],
    }
    with pytest.warns(UntypedColumnWarning, match="feature video: 'deep.x', 'list', 'map' hold values") as caught:
        store.write("video", rows(id=["b"], **lost))
    assert len(caught) == 1
    assert values(store.read("video"), "id", "deep") == [("0", None), ("a", None), ("b", {"y": 1})]
    store.write("video", rows(id=["c"], note=["x"]))
    with pytest.raises(MetadataSchemaError, match="column 'note' is List"):
        store.write("video", rows(id=["d"], note=[[]]))
