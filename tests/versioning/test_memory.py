"""Recipes and statements are built once for a feature, its tables and options, and again when one of them changes."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.factory import define, rows

from metaxy.config import MetaxyConfig
from metaxy.definitions.field import FieldSpec
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.versioning import build, sql


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, int]]:
    """Count recipes and statements since the last call."""
    counts = {"recipe": 0, "statement": 0}
    for name, owner, method in (("recipe", build._Builder, "build"), ("statement", sql._Statement, "write")):
        original = getattr(owner, method)

        def counted(
            *args: object, name: str = name, original: Callable[..., object] = original, **kwargs: object
        ) -> object:
            counts[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, method, counted)

    def since() -> tuple[int, int]:
        now = (counts["recipe"], counts["statement"])
        counts.update(recipe=0, statement=0)
        return now

    return since


def test_what_did_not_change_is_not_built_again(built: Callable[[], tuple[int, int]]) -> None:
    define("video")
    define("crop", "video")
    settings = MetaxyConfig(auto_create_tables=True)

    def new(**options: Any) -> Any:
        return store.resolve_update("crop", **options).new.to_polars()

    with settings.use(), DuckDBMetadataStore(":memory:").open("w") as store:
        store.write("video", rows(id=["a", "b"]))
        assert (new().height, built()) == (2, (1, 1))
        assert (new().height, built()) == (2, (0, 0))
        store.write("crop", new().head(1))  # now there is a table to compare with
        assert (new().height, built()) == (1, (1, 1))
        assert (new(skip_comparison=True).height, built()) == (2, (1, 1))
        assert (new(filters={"video": "id = 'a'"}).height, built()) == (0, (0, 1))  # the recipe is the same
        assert (new().height, built()) == (1, (0, 0))
        store.write("video", rows(id=["c"], size=[3]))  # the table grows by a column
        assert (sorted(new()["size"].to_list(), key=bool), built()) == ([None, 3], (1, 1))

        with settings.model_copy(update={"hash_truncation_length": 9}).use():
            store.drop_feature_metadata("crop")
            store.write("video", rows(id=["d"], size=[4]))
            built()
            assert (new()["metaxy_provenance"].str.len_chars().to_list(), built()) == ([9], (1, 1))

        define("video", fields=[FieldSpec(key="default", code_version="2")])
        store.write("video", rows(id=["e"], size=[5]))
        built()
        assert (new()["size"].to_list(), built()) == ([5], (1, 1))
