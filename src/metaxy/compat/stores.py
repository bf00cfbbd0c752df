"""Methods and properties that stores and their configurations had in metaxy 0.1."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import narwhals as nw

from metaxy import columns as c
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey
from metaxy.ext.duckdb.extensions import ExtensionSpec
from metaxy.ext.duckdb.store import DuckDBMetadataStore
from metaxy.ext.ducklake.sql import literal
from metaxy.hashing import HashSettings
from metaxy.store.store import MetadataStore
from metaxy.versioning.codec import ByField, by_field_forms
from metaxy.versioning.engine import Engine, Target
from metaxy.versioning.frames import Frame, as_lazy, as_narwhals, is_in_database
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.system_columns import SystemColumns


@contextmanager
def create_versioning_engine(
    store: MetadataStore,
    plan: FeaturePlan,  # noqa: ARG001 - engines are the same for all features
    implementation: nw.Implementation,
) -> Iterator[Engine]:
    """Give the engine that computes frames of a library: the store's own, or Polars for all others."""
    yield store.engine if implementation == store.engine.implementation else PolarsEngine()


def hash_struct_version_column(
    store: MetadataStore, plan: FeaturePlan, df: Any, struct_column: str, hash_column: str
) -> Any:
    """Add the hash of a struct with one version per field.

    Frames: ``struct_column`` and any others → the same, and ``hash_column`` (text); eager in, eager out.
    """
    frame = as_narwhals(df)
    in_database = is_in_database(frame)
    engine = store.engine.hashing(store.hash_algorithm) if in_database else PolarsEngine()
    given = engine.take(frame) if in_database else as_lazy(frame)
    names = [name for name in frame.collect_schema() if name != hash_column]
    renamed = {name: f"mx_given_{n}" for n, name in enumerate(names)}  # system columns among them mean nothing here
    rows = given.select(
        *(nw.col(name).alias(short) for name, short in renamed.items()),
        nw.col(struct_column).alias(c.METAXY_PROVENANCE_BY_FIELD),
    )
    versioned = engine.add_system_columns(
        rows, _hash_only(store, plan, rows.collect_schema(), tuple(renamed.values())), Target()
    )
    hashed = versioned.select(
        *(nw.col(short).alias(name) for name, short in renamed.items()), nw.col(c.METAXY_PROVENANCE).alias(hash_column)
    )
    result: Frame = hashed.collect(frame.implementation) if isinstance(frame, nw.DataFrame) else hashed
    return result if isinstance(df, (nw.DataFrame, nw.LazyFrame)) else result.to_native()


def _hash_only(store: MetadataStore, plan: FeaturePlan, schema: nw.Schema, kept: tuple[str, ...]) -> SystemColumns:
    members = tuple(field.key.to_struct_key() for field in plan.feature.fields)
    return SystemColumns(
        members=members,
        user_columns=kept,
        hash=HashSettings(store.hash_algorithm, store.hash_truncation_length),
        texts={},
        times={},
        kept=frozenset(),
        given=by_field_forms(schema),
        forms=dict.fromkeys(c.BY_FIELD_COLUMNS, ByField("struct", members)),
    )


def get_table_name(store: DuckDBMetadataStore, key: FeatureKey) -> str:
    """Name the table of a feature."""
    return store.storage.table_name(key)


def _conn(store: DuckDBMetadataStore) -> Any:
    """Return the connection of DuckDB for this thread.

    Raises:
        StoreNotOpenError: while the store is closed.
    """
    return store.connection.cursor


def _connection_params(store: DuckDBMetadataStore) -> dict[str, Any]:
    """Return what DuckDB was opened with."""
    config = store.connection.config
    return {"database": store.database, **({"config": dict(config)} if config else {})}


def _extensions(store: DuckDBMetadataStore) -> list[ExtensionSpec]:
    """Return the extensions that are loaded when the store is opened."""
    return list(store.connection.extensions)


conn = property(_conn)
connection_params = property(_connection_params)
extensions = property(_extensions)


def sql_parts(config: Any, alias: str = "", *, secret_storage: str | None = None) -> tuple[str, str]:  # noqa: ARG001
    """Return the statement that creates the secret of a catalog or storage, and its part of the lake's own secret."""
    is_storage = hasattr(config, "resolved_path")
    statements: Sequence[str] = config.secret_sql(secret_storage or "") if is_storage else _catalog_secret(config)
    return "".join(f"{statement};" for statement in statements), _place(config, is_storage=is_storage)


def _catalog_secret(config: Any) -> Sequence[str]:
    return config.secret_sql() if hasattr(config, "secret_sql") else ()


def _place(config: Any, *, is_storage: bool) -> str:
    if is_storage:
        return f"DATA_PATH {literal(config.resolved_path())}"
    if hasattr(config, "uri"):
        return f"METADATA_PATH {literal(config.uri)}"
    secret = f"MAP {{'TYPE': 'postgres', 'SECRET': {literal(config.secret_name)}}}"
    return f"METADATA_PATH '', METADATA_PARAMETERS {secret}"
