"""THE place where a backend joins the tests: a name, and how to make a store in a folder."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from psycopg.errors import UniqueViolation
from tests.services import clickhouse, postgres, running, s3

from metaxy.ext.clickhouse import ClickHouseMetadataStore
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.iceberg import IcebergMetadataStore
from metaxy.ext.lancedb import LanceDBMetadataStore
from metaxy.ext.postgresql import PostgreSQLMetadataStore
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.store.store import MetadataStore

StoreFactory = Callable[..., MetadataStore]


def duckdb_store(folder: Path, **options: Any) -> MetadataStore:
    return DuckDBMetadataStore(folder / "store.duckdb", **{"auto_create_tables": True, **options})


def ducklake_store(folder: Path, **options: Any) -> MetadataStore:
    """Make a store with a catalog that several processes may use at once."""
    lake = {
        "catalog": {"type": "sqlite", "uri": str(folder / "catalog.sqlite")},
        "storage": {"type": "local", "path": str(folder / "lake")},
    }
    config = {"threads": "1"}  # few rows: threads only cost
    return DuckDBMetadataStore(":memory:", ducklake=lake, **{"auto_create_tables": True, "config": config, **options})


def delta_store(folder: Path, **options: Any) -> MetadataStore:
    return DeltaMetadataStore(folder / "delta", **options)


def iceberg_store(folder: Path, **options: Any) -> MetadataStore:
    return IcebergMetadataStore(folder / "iceberg", **options)


def lancedb_store(folder: Path, **options: Any) -> MetadataStore:
    return LanceDBMetadataStore(folder / "lancedb", **options)


@cache
def postgresql_database() -> dict[str, Any]:
    """The database of this process; the children of a test find it by its schemas."""
    return running.address("postgres")


@cache
def postgresql_schema(folder: Path) -> str:
    """Create the schema that stands for a folder; creating it takes a millisecond, a database much longer."""
    name = f"test_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    with postgres.connect(postgresql_database()) as connection, suppress(UniqueViolation):  # of two that race for it
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
    return name


def postgresql_store(folder: Path, **options: Any) -> MetadataStore:
    parameters = {**postgresql_database(), "schema": postgresql_schema(folder)}
    return PostgreSQLMetadataStore(connection_params=parameters, **{"auto_create_tables": True, **options})


def sqlite_store(folder: Path, **options: Any) -> MetadataStore:
    return SQLiteMetadataStore(folder / "store.sqlite", **{"auto_create_tables": True, **options})


@cache
def clickhouse_database(folder: Path) -> dict[str, Any]:
    """Create the database that stands for a folder."""
    return clickhouse.database(f"test_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}")


def clickhouse_store(folder: Path, **options: Any) -> MetadataStore:
    return ClickHouseMetadataStore(
        connection_params=clickhouse_database(folder), **{"auto_create_tables": True, **options}
    )


def bucket(folder: Path) -> str:
    """Create the bucket that stands for a folder, and return an address in it."""
    name = f"test-{hashlib.sha256(str(folder).encode()).hexdigest()[:32]}"
    s3.client().create_bucket(Bucket=name)  # nothing happens if it is there
    return f"s3://{name}/features"


def delta_store_on_s3(folder: Path, **options: Any) -> MetadataStore:
    return DeltaMetadataStore(bucket(folder), storage_options=s3.options(), **options)


def lancedb_store_on_s3(folder: Path, **options: Any) -> MetadataStore:
    return LanceDBMetadataStore(bucket(folder), storage_options=s3.options(), **options)


def iceberg_store_on_s3(folder: Path, **options: Any) -> MetadataStore:
    """A bucket does not compare and swap for Iceberg: a catalog does, here a database beside the test."""
    properties = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db?timeout=60", **s3.iceberg_properties()}
    return IcebergMetadataStore(bucket(folder), catalog_properties=properties, **options)


STORES: dict[str, StoreFactory] = {
    "duckdb": duckdb_store,
    "ducklake": ducklake_store,
    "delta": delta_store,
    "iceberg": iceberg_store,
    "lancedb": lancedb_store,
    "postgresql": postgresql_store,
    "sqlite": sqlite_store,
    "clickhouse": clickhouse_store,
}
# Tests whose outcome cannot differ per store run on these: an embedded database, a server, and a lake.
THREE = ("duckdb", "postgresql", "delta")
# Lakes in a bucket, for tests that are marked with `object_store`.
ON_S3: dict[str, StoreFactory] = {
    "delta on S3": delta_store_on_s3,
    "lancedb on S3": lancedb_store_on_s3,
    "iceberg on S3": iceberg_store_on_s3,
}
# Stores that a folder of tests runs on in depth only in `make test-slow`: others have tested the same code by then.
IN_DEPTH: dict[str, frozenset[str]] = {
    # What is marked with `object_store` always runs, except in buckets that are named here.
    "agreement": frozenset({"ducklake", "iceberg", "lancedb"}),
    "conformance": frozenset({"ducklake", "iceberg", "lancedb", "iceberg on S3"}),
    "faults": frozenset({"ducklake"}),
    "golden": frozenset({"ducklake", "iceberg", "lancedb", "clickhouse"}),
}
