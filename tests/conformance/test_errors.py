"""Bad input, verb by verb: one line that says what, where and how to fix it, and nothing stored."""

from collections.abc import Callable
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, rows, values

from metaxy import columns as c
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import (
    DefinitionError,
    FeatureNotFoundError,
    MetadataSchemaError,
    MetaxyError,
    UnknownFeatureError,
)
from metaxy.store.store import MetadataStore

Action = Callable[[MetadataStore], Any]
DATA_VERSIONS = f"{c.METAXY_DATA_VERSION_BY_FIELD}__video"

MISTAKES: dict[str, tuple[Action, type[MetaxyError], list[str]]] = {
    "write to a feature with a typing error": (
        lambda s: s.write("vidoe", rows(id=["b"])),
        UnknownFeatureError,
        ["'vidoe'", "Did you mean 'video'?", "Known features:"],
    ),
    "write what is no frame": (
        lambda s: s.write("video", [{"id": "b"}]),
        MetadataSchemaError,
        ["feature video", "builtins.list", "pass a Polars"],
    ),
    "write without ids": (
        lambda s: s.write("video", rows(Id=["b"])),
        MetadataSchemaError,
        ["feature video", "lacks ID column 'id'", "Did you mean 'Id'?"],
    ),
    "write without versions": (
        lambda s: s.write("video", pl.DataFrame({"id": ["b"]})),
        MetadataSchemaError,
        ["feature video", c.METAXY_PROVENANCE_BY_FIELD, "'default'", "resolve_update"],
    ),
    "write versions that are numbers": (
        lambda s: s.write("video", pl.DataFrame({"id": ["b"], c.METAXY_PROVENANCE_BY_FIELD: [1]})),
        MetadataSchemaError,
        ["feature video", c.METAXY_PROVENANCE_BY_FIELD, "struct or a map of texts, not Int64"],
    ),
    "write a column of another type": (
        lambda s: s.write("video", rows(id=["b"], n=["x"])),
        MetadataSchemaError,
        ["feature video", "column 'n' is String but its table has Int64", "cast"],
    ),
    "write rows that disagree": (
        lambda s: s.write("video", rows(id=["b", "b"], n=[1, 2])),
        MetadataSchemaError,
        ["feature video", "{'id': 'b'}", 'on_duplicate="last"'],
    ),
    "write several, one of them wrong": (
        lambda s: s.write_multi({"video": rows(id=["b"]), "clip": rows(Id=["b"])}),
        MetadataSchemaError,
        ["feature clip", "lacks ID column 'id'"],
    ),
    "read what is not in the graph": (lambda s: s.read("clips"), UnknownFeatureError, ["Did you mean 'clip'?"]),
    "read what has no table": (
        lambda s: s.read("clip"),
        FeatureNotFoundError,
        ["feature clip has no table in", "write it first"],
    ),
    "read a column that is not there": (
        lambda s: s.read("video", columns=["m"]),
        MetadataSchemaError,
        ["feature video has no column 'm'", "It has: id, n"],
    ),
    "filter by a column that is not there": (
        lambda s: s.read("video", filters=[nw.col("nn") == 1]),
        MetadataSchemaError,
        ["feature video", "'nn'", "Did you mean 'n'?"],
    ),
    "update with a filter by a column that is not there": (
        lambda s: s.resolve_update("clip", global_filters=[nw.col("nn") == 1]),
        MetadataSchemaError,
        ["feature video", "'nn'", "Did you mean 'n'?"],
    ),
    "delete by a column that is not there": (
        lambda s: s.delete("video", nw.col("nn") == 1),
        MetadataSchemaError,
        ["feature video", "'nn'"],
    ),
    "delete for good by a column that is not there": (
        lambda s: s.delete("video", nw.col("nn") == 1, soft=False),
        MetadataSchemaError,
        ["feature video", "'nn'"],
    ),
    "update without a parent": (
        lambda s: s.resolve_update("frame"),
        FeatureNotFoundError,
        ["feature clip has no table in"],
    ),
    "update a root without samples": (lambda s: s.resolve_update("video"), DefinitionError, ["samples=", "is a root"]),
    "update with parents whose columns collide": (
        lambda s: s.resolve_update("colliding"),
        DefinitionError,
        ["feature colliding", "column 'n' comes from", "rename={"],
    ),
    "update with parents that share no id": (
        lambda s: s.resolve_update("unrelated"),
        DefinitionError,
        ["feature unrelated", "shares no ID column", "rename"],
    ),
    "update with a rename of nothing": (
        lambda s: s.resolve_update("renaming"),
        MetadataSchemaError,
        ["feature renaming", "parent video has no column 'nn' to rename", "Did you mean 'n'?"],
    ),
    "update with a selection of nothing": (
        lambda s: s.resolve_update("selecting"),
        MetadataSchemaError,
        ["feature selecting", "parent video has no column 'nn'", "Did you mean 'n'?"],
    ),
    "update with a declared filter of nothing": (
        lambda s: s.resolve_update("filtering"),
        MetadataSchemaError,
        ["feature video", "'nn'"],
    ),
    "expand by a column that the child lacks": (
        lambda s: s.resolve_update("expanding"),
        MetadataSchemaError,
        ["feature expanding", "parent video has no column 'nn'"],
    ),
    "provenance without versions of the parent": (
        lambda s: s.compute_provenance("clip", pl.DataFrame({"id": ["a"]})),
        MetadataSchemaError,
        ["feature clip", DATA_VERSIONS, "parent video"],
    ),
    "provenance of null versions": (
        lambda s: s.compute_provenance("clip", pl.DataFrame({"id": ["a"], DATA_VERSIONS: [{"default": None}]})),
        MetadataSchemaError,
        ["feature clip", "cannot be versioned in 1 samples"],
    ),
}


@pytest.fixture(autouse=True)
def features(store: MetadataStore) -> None:
    define("video")
    define("clip", "video")
    define("frame", "clip")
    define("other", ids=["key"])
    define("twin")
    define("colliding", "video", "twin")
    define("unrelated", "video", "other", ids=["id", "key"])
    define("renaming", FeatureDep(feature="video", rename={"nn": "m"}))
    define("selecting", FeatureDep(feature="video", select=["nn"]))
    define("filtering", FeatureDep(feature="video", filters=["nn = 1"]))
    define("expanding", FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["nn"])), ids=["nn"])
    store.write("video", rows(id=["a"], n=[1]))
    store.write("twin", rows(id=["a"], n=[1]))
    store.write("other", rows(key=["a"]))


@pytest.mark.three_stores
def test_mistakes_are_explained_in_one_line(store: MetadataStore) -> None:
    written = ["a"]
    for number, (name, (act, kind, words)) in enumerate(MISTAKES.items()):
        with pytest.raises(kind) as caught:
            act(store)
        message = str(caught.value)
        assert "\n" not in message
        assert [word for word in words if word not in message] == [], (name, message)
        assert sorted(everything(store, "video")["id"]) == sorted(written), name
        assert not store.has_feature("clip")
        written.append(f"after {number}")
        store.write("video", rows(id=written[-1:], n=[2]))  # the store goes on working
        assert values(store.read("video")) == sorted(written), name
