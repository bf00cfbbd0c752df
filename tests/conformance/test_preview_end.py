"""The end of a preview takes its own tables with it and nothing else, whatever addresses stores go by."""

import sys
from pathlib import Path

import pytest
from tests.factory import define, rows, values
from tests.stores import STORES, StoreFactory

from metaxy.dag.graph import FeatureGraph
from metaxy.errors import RequestError
from metaxy.storage.port import Listable
from metaxy.store.previews import preview_tables, remove
from metaxy.store.store import MetadataStore
from metaxy.store.system.rows import append_rows
from metaxy.store.system.tables import EVENTS


def clean(preview: MetadataStore) -> list[str]:
    tables = list(preview_tables(preview, preview.session.scope("w")))
    remove(preview, tables)
    return list(map(str, tables))


@pytest.mark.filterwarnings("ignore::metaxy.errors.PolarsMaterializationWarning")
def test_only_what_a_preview_has_itself_is_removed(make: StoreFactory) -> None:
    define("video")
    define("faces", "video")
    with make("prod").open("w") as prod:
        prod.write("video", rows(id=["a", "b"]))
    with make("preview", fallback_stores=[make("prod")], fallback="rows").open("w") as preview:
        preview.write("faces", preview.resolve_update("faces").new)
        assert (clean(preview), clean(preview)) == (["faces"], [])
        assert values(preview.read("video")) == ["a", "b"]
        assert not preview.has_feature("faces")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("name", ["duckdb", "sqlite"])
def test_a_store_below_by_another_address_keeps_its_tables(name: str, tmp_path: Path) -> None:
    define("video")
    (tmp_path / "prod").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "prod")
    make = STORES[name]
    with make(tmp_path / "prod", table_prefix="x_").open("w") as prod:
        prod.write("video", rows(id=["a"]))
        append_rows(prod, EVENTS.key, EVENTS.empty())
    for folder, prefix in (("link", "x_"), ("prod", "X_"), ("prod", "x_")):
        below = make(tmp_path / "prod", table_prefix="x_")
        preview = make(tmp_path / folder, table_prefix=prefix, fallback_stores=[below], fallback="rows")
        for graph in (FeatureGraph.get_active(), FeatureGraph()):  # without features there is the history
            with preview.open("w"), graph.use(), pytest.raises(RequestError, match="one place: nothing was removed"):
                clean(preview)
    with make(tmp_path / "prod", table_prefix="x_") as prod:
        assert values(prod.read("video")) == ["a"]
        assert isinstance(prod.storage, Listable)
        assert len(prod.storage.tables()) == 2
