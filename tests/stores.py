"""THE place where a backend joins the tests: a name, and how to make a store in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.store.store import MetadataStore

StoreFactory = Callable[..., MetadataStore]


def duckdb_store(folder: Path, **options: Any) -> MetadataStore:
    return DuckDBMetadataStore(folder / "store.duckdb", **{"auto_create_tables": True, **options})


def delta_store(folder: Path, **options: Any) -> MetadataStore:
    return DeltaMetadataStore(folder / "delta", **options)


STORES: dict[str, StoreFactory] = {"duckdb": duckdb_store, "delta": delta_store}
