"""Metaxy as a contestant: this package, or the released one; the code is the same, the interpreter differs."""

import json
from pathlib import Path
from typing import Any

import cases
import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore

HASHES = {"delta": ("xxhash32", 8)}  # the default of metaxy 0.1.11; md5 is slow in Polars on both sides
STRONG = ("md5", 16)


def settings(engine: str) -> tuple[str, int]:
    """Return the hash algorithm and the length that all contestants use on an engine."""
    return HASHES.get(engine, STRONG)


def make_store(engine: str, folder: Path, url: str | None, options: dict[str, Any]) -> Any:
    """Make a store of this package or of the released one."""
    options = {"hash_algorithm": mx.HashAlgorithm(settings(engine)[0]), "auto_create_tables": True, **options}
    if engine == "delta":
        from metaxy.ext.polars.handlers.delta import DeltaMetadataStore

        return DeltaMetadataStore(folder / "delta", **options)
    if engine == "sqlite":
        from metaxy.ext.sqlite import SQLiteMetadataStore

        return SQLiteMetadataStore(folder / "bench.sqlite", **options)
    if engine == "postgresql":
        return postgresql_store(folder, json.loads(url or ""), options)
    if engine == "clickhouse":
        from metaxy.ext.clickhouse import ClickHouseMetadataStore

        parameters = clickhouse_database(folder, url)
        parameters["user"] = parameters.pop("username")  # as Ibis calls it
        return ClickHouseMetadataStore(connection_params=parameters, **options)
    store = DuckDBMetadataStore(folder / "bench.duckdb", **options)
    if isinstance(getattr(store, "extensions", None), list):
        store.extensions.clear()  # the released package would download one
    return store


def postgresql_store(folder: Path, parameters: dict[str, Any], options: dict[str, Any]) -> Any:
    """Make a store in a schema of its own."""
    import psycopg

    from metaxy.ext.postgresql import PostgreSQLMetadataStore

    schema = f"bench_{folder.name}"
    with psycopg.connect(**connection_of(parameters), autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute(f"CREATE SCHEMA {schema}")
    return PostgreSQLMetadataStore(connection_params={**parameters, "schema": schema}, **options)


def clickhouse_database(folder: Path, url: str | None) -> dict[str, Any]:
    """Return the address of a database of its own, which is created."""
    import clickhouse_connect

    parameters: dict[str, Any] = json.loads(url or "")
    database = f"bench_{folder.name}"
    client = clickhouse_connect.get_client(**parameters)
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.close()
    return {**parameters, "database": database}


def connection_of(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters of libpq."""
    return {"dbname" if name == "database" else name: value for name, value in parameters.items()}


class Package:
    """A store with the features of a case; every step is one call of the public interface."""

    def __init__(self, case: cases.Case, engine: str, rows: int, folder: Path, url: str | None) -> None:
        self.case, self.rows = case, rows
        length = settings(engine)[1]
        self.config = mx.MetaxyConfig(hash_truncation_length=length, project="bench", auto_create_tables=True)
        mx.MetaxyConfig.set(self.config)
        cases.define(case)
        self.store = make_store(engine, folder, url, {})
        self.opened = self.store.open("w")
        self.opened.__enter__()
        self.frames = {root: cases.samples(case, root, rows) for root in case.roots}
        self.leaf: Any = None

    def close(self) -> None:
        """Close the store."""
        self.opened.__exit__(None, None, None)

    def clear_roots(self) -> None:
        """Drop the tables of the roots."""
        for root in self.case.roots:
            self.store.drop_feature_metadata(root)

    def write_root(self) -> None:
        """Write all samples of the first root; the others are written by `fill`."""
        self.store.write("video", self.frames["video"])

    def fill(self) -> None:
        """Write what the measured writes have not written, older versions of each sample, and other releases."""
        for release in range(2, self.case.feature_versions + 1):
            with mx.FeatureGraph().use():
                cases.define(self.case, str(release))
                for root in self.case.roots:
                    self.store.write(root, self.frames[root])
                self.write_leaf(self.resolve())
        for root in list(self.case.roots)[1:]:
            self.store.write(root, self.frames[root])
        for version in range(1, self.case.versions):
            self.write_leaf(self.resolve())
            for root in self.case.roots:
                self.store.write(root, cases.samples(self.case, root, self.rows, version=version))

    def resolve(self) -> Any:
        """Resolve the leaf."""
        return self.store.resolve_update("leaf")

    def clear_leaf(self) -> None:
        """Drop the table of the leaf, and compute what will be written to it."""
        if not self.case.has_past:
            self.store.drop_feature_metadata("leaf")
        if self.leaf is None:
            self.leaf = cases.computed(self.case, self.resolve())

    def write_leaf(self, increment: Any = None) -> None:
        """Write the leaf."""
        self.store.write("leaf", self.leaf if increment is None else cases.computed(self.case, increment))

    def change(self) -> None:
        """Change the first field of a tenth of the samples of the first root."""
        changed = self.rows // 10
        version = self.case.versions - 1
        frame = cases.samples(self.case, "video", self.rows, changed=changed, version=version).head(changed)
        self.store.write("video", frame)

    def chain(self) -> None:
        """Compute all features of a chain, one after the other."""
        for key in self.case.features[1:]:
            self.store.write(key, self.store.resolve_update(key).new)

    def clear_chain(self) -> None:
        """Drop the tables of a chain, but for the root."""
        for key in self.case.features[1:]:
            self.store.drop_feature_metadata(key)

    def outcome(self, result: Any) -> dict[str, Any]:
        """Return counts of an increment, and its provenances for a comparison with those of others."""
        new, stale, orphaned = (frame.to_polars() for frame in (result.new, result.stale, result.orphaned))
        return {"counts": [new.height, stale.height, orphaned.height], "provenance": provenance(new, stale)}


def provenance(*frames: Any) -> list[str]:
    """Return the provenances of frames, sorted."""
    return sorted(value for frame in frames for value in frame["metaxy_provenance"].to_list())
