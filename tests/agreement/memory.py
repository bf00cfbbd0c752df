"""A store whose tables are lists of Polars frames: the storage port with nothing behind it, for many fast cases."""

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import polars as pl

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import TableNotFoundError
from metaxy.storage.port import AccessMode, Append, Capabilities, Scan
from metaxy.store.store import MetadataStore
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.polars_engine import PolarsEngine


class MemoryStorage:
    capabilities = Capabilities(creates_tables=True)

    def __init__(self) -> None:
        self._tables: dict[FeatureKey, list[pl.DataFrame]] = {}

    def open(self, mode: AccessMode) -> None: ...

    def close(self) -> None: ...

    def has_table(self, key: FeatureKey) -> bool:
        return key in self._tables

    def scan(self, key: FeatureKey) -> Scan:
        if key not in self._tables:
            raise TableNotFoundError(f"no table {key}")
        frame = nw.from_native(pl.concat(self._tables[key], how="diagonal").lazy())
        schema = frame.collect_schema()
        return Scan(frame, schema, by_field=by_field_forms(schema))

    def append(self, writes: Sequence[Append]) -> None:
        for write in writes:
            self._tables.setdefault(write.key, []).append(collect_to_polars(write.frame))

    def delete(self, key: FeatureKey, condition: nw.Expr | None) -> None:
        rows = collect_to_polars(self.scan(key).frame)
        gone = nw.lit(value=True) if condition is None else condition.fill_null(value=False)
        self._tables[key] = [nw.from_native(rows).filter(~gone).to_native()]

    def drop(self, key: FeatureKey) -> None:
        self._tables.pop(key, None)

    def tables(self) -> Sequence[FeatureKey]:
        return sorted(self._tables)

    def describe(self, key: FeatureKey) -> Mapping[str, str]:
        return {"table": str(key)}


def memory_store(**options: Any) -> MetadataStore:
    return MetadataStore(storage=MemoryStorage(), engine=PolarsEngine(), **options)
