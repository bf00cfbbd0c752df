"""Rows of a feature for a run that goes on for long: the store is open only while they are read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source

from metaxy.definitions.keys import FeatureKey
from metaxy.service.parts import Conditions
from metaxy.service.project import Project
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import polars_chunks

CHUNK_ROWS: Final = 10_000


@dataclass(frozen=True)
class AssetRows:
    """Rows of a feature, not read yet, and where they are."""

    frame: nw.LazyFrame[Any]
    store: Mapping[str, Any]


def rows_of(project: Project, store: MetadataStore, key: FeatureKey, part: Conditions) -> AssetRows:
    """Return a part of the latest rows of a feature as a Polars plan, which opens the store when it is collected.

    Raises:
        FeatureNotFoundError: if no store has a table for the feature.
    """
    with project.active(), store.open("r"):
        schema = store.read(key).collect_schema()
        filters, where = list(part(schema)), store.get_store_metadata(key)

    def asked(columns: list[str] | None, predicate: pl.Expr | None, count: int | None) -> nw.LazyFrame[Any]:
        needed = (
            None if columns is None else [*columns, *(predicate.meta.root_names() if predicate is not None else [])]
        )
        with project.active():
            rows = store.read(key, filters=filters, columns=needed and list(dict.fromkeys(needed)))
        return rows if count is None else rows.head(count)

    def chunks(
        columns: list[str] | None, predicate: pl.Expr | None, count: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        with store.open("r"):
            for chunk in polars_chunks(asked(columns, predicate, count), size or CHUNK_ROWS, in_order=False):
                found = chunk if predicate is None else chunk.filter(predicate)
                yield found if columns is None else found.select(columns)

    return AssetRows(nw.from_native(register_io_source(chunks, schema=schema.to_polars())), where)
