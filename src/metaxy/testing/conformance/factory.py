"""Features, rows and answers for tests, each in one line."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.dag.graph import current_graph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.storage.port import Append
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

PROJECT: Final = "test"


def define(
    key: str, *deps: Any, ids: Sequence[str] = ("id",), fields: Sequence[Any] = ("default",), project: str = PROJECT
) -> FeatureDefinition:
    """Add a feature to the active graph; defining it again replaces it, as a changed class does."""
    spec = FeatureSpec(key=key, id_columns=ids, deps=deps, fields=fields)
    definition = FeatureDefinition(spec=spec, feature_schema={}, feature_class_path=f"code.{key}", project=project)
    current_graph().add_feature_definition(definition)
    return definition


def rows(versions: Any = "1", /, **columns: Any) -> pl.DataFrame:
    """Make rows of a root feature.

    ``versions`` holds the version of each field, for all rows or one per row; a bare version is that of ``default``.
    """
    by_field = versions if isinstance(versions, Mapping) else {"default": versions}
    frame = pl.DataFrame(columns)
    members = [
        pl.lit(value, pl.String) if value is None or isinstance(value, str) else pl.Series(value, dtype=pl.String)
        for value in by_field.values()
    ]
    struct = pl.struct([member.alias(name) for name, member in zip(by_field, members, strict=True)])
    return frame.with_columns(struct.alias(METAXY_PROVENANCE_BY_FIELD))


def values(frame: Any, *columns: str) -> list[Any]:
    """Collect a frame of any kind to sorted values of one column, or sorted tuples of several."""
    collected = collect_to_polars(frame)
    found: Iterable[Any] = collected.select(columns or ("id",)).rows()
    return sorted((row if len(row) > 1 else row[0] for row in found), key=repr)


def ids(increment: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the IDs of new, stale and orphaned samples."""
    return values(increment.new), values(increment.stale), values(increment.orphaned)


def everything(store: MetadataStore, key: str) -> pl.DataFrame:
    """Return the table of a feature as it is stored."""
    return collect_to_polars(store.storage.scan(FeatureKey(key)).frame)


def to_append(store: MetadataStore, key: str, frame: pl.DataFrame, **options: Any) -> Append:
    """Make rows ready for the storage port: nothing is checked or added."""
    given = nw.from_native(frame)
    return Append(FeatureKey(key), store.engine.for_writing(given, store.hash_algorithm).take(given), **options)


def put(store: MetadataStore, key: str, frame: pl.DataFrame) -> None:
    """Make the table of a feature anew, as others may have written it."""
    store.storage.drop(FeatureKey(key))
    store.storage.append([to_append(store, key, frame, create=True)])


def fill(store: MetadataStore, feature: str) -> None:
    """Write sample a twice, so that its latest row has n = 2; b and c have n = 1; d has none."""
    define(feature)
    store.write(feature, rows(id=["a", "b", "c", "d"], n=[1, 1, 1, None]), materialization_id="run-1")
    store.write(feature, rows(id=["a"], n=[2]), materialization_id="run-2")


def change(store: MetadataStore) -> None:
    """Of the samples a to d of a clip, b is stale, d orphaned, e new; videos have n = 1, 20, 3, 5, clips the old n."""
    define("video")
    define("clip", "video")
    store.write("video", rows(id=["a", "b", "c", "d"], n=[1, 2, 3, 4]))
    store.write("clip", store.resolve_update("clip").new)
    store.write("video", rows(["2", "1"], id=["b", "e"], n=[20, 5]))
    store.delete("video", nw.col("id") == "d")
