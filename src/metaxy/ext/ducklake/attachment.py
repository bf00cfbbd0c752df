"""The statements that attach a DuckLake to a DuckDB connection."""

import hashlib
import re
from typing import Any

from metaxy.ext.ducklake.config import (
    DuckDBCatalogConfig,
    DuckLakeConfig,
    LocalStorageConfig,
    MotherDuckCatalogConfig,
    PostgresCatalogConfig,
    SQLiteCatalogConfig,
    lake_at_home,
)
from metaxy.ext.ducklake.sql import format_attach_options, literal, quoted
from metaxy.masking import Secrets, mask_address


class DuckLakeAttachmentManager:
    """Attaches a DuckLake to DuckDB connections.

    >>> files = LocalStorageConfig(path="files")
    >>> lake = DuckLakeConfig(catalog=SQLiteCatalogConfig(uri="catalog.sqlite"), storage=files)
    >>> for statement in DuckLakeAttachmentManager(lake, store_name="dev").preview_sql():
    ...     print(statement)
    CREATE OR REPLACE SECRET "metaxy_generated_dev_ducklake" (TYPE DUCKLAKE, METADATA_PATH 'sqlite:catalog.sqlite', DATA_PATH 'files')
    ATTACH IF NOT EXISTS 'ducklake:metaxy_generated_dev_ducklake' AS "ducklake" (DATA_INLINING_ROW_LIMIT 0, META_JOURNAL_MODE 'WAL')
    USE "ducklake"
    """  # noqa: E501 - statements are one line each

    def __init__(self, config: DuckLakeConfig, store_name: str | None = None) -> None:
        self.config = lake_at_home(config)
        self.store_name = store_name

    def for_reading(self) -> "DuckLakeAttachmentManager":
        """Return what attaches the same lake for reading beside others, under a name that no other one has."""
        alias = f"mx_{hashlib.sha256(self.config.model_dump_json().encode()).hexdigest()[:16]}"
        options = {**self.config.attach_options, "READ_ONLY": True}
        config = self.config.model_copy(update={"alias": alias, "attach_options": options})
        return DuckLakeAttachmentManager(config, self.store_name)

    @property
    def extensions(self) -> tuple[str, ...]:
        """DuckDB extensions that the catalog and the files need."""
        catalogs = {"sqlite": ("sqlite_scanner",), "postgres": ("postgres_scanner",), "motherduck": ("motherduck",)}
        remote = self.config.storage is not None and not isinstance(self.config.storage, LocalStorageConfig)
        return ("ducklake", *catalogs.get(self.config.catalog.type, ()), *(("httpfs",) if remote else ()))

    @property
    def place(self) -> str:
        """Where the catalog is, for displays and messages."""
        catalog = self.config.catalog
        if isinstance(catalog, (DuckDBCatalogConfig, SQLiteCatalogConfig)):
            return f"{catalog.type}:{mask_address(catalog.uri)}"
        if isinstance(catalog, PostgresCatalogConfig):
            return f"postgres:{catalog.host}/{catalog.database}" if catalog.host else f"postgres:{catalog.secret_name}"
        return f"md:{catalog.database}"

    @property
    def name(self) -> str:
        """The name of the lake in DuckDB."""
        catalog = self.config.catalog
        return catalog.database if isinstance(catalog, MotherDuckCatalogConfig) else self.config.alias

    @property
    def secret_name(self) -> str:
        """The name of the secret that says where the lake is."""
        words = ["metaxy_generated", self.store_name, self.config.alias]
        return "_".join(re.sub(r"\W", "_", word, flags=re.ASCII) for word in words if word)

    @property
    def use_sql(self) -> str:
        """The statement that makes the lake the place of unqualified names; each cursor needs it."""
        return f"USE {quoted(self.name)}"

    def statements(self) -> list[str]:
        """Write all statements, with their secrets."""
        if isinstance(self.config.catalog, MotherDuckCatalogConfig):
            return self._motherduck(self.config.catalog)
        catalog, storage = self.config.catalog, self.config.storage
        assert storage is not None  # noqa: S101 - checked by the model
        secrets = catalog.secret_sql() if isinstance(catalog, PostgresCatalogConfig) else []
        lake = f"ducklake:{self.secret_name}"
        return [
            *secrets,
            *storage.secret_sql(),
            self._lake_secret(storage.resolved_path()),
            f"ATTACH IF NOT EXISTS {literal(lake)} AS {quoted(self.config.alias)}{self._options()}",
            self.use_sql,
        ]

    def preview_sql(self) -> list[str]:
        """Write the statements that `configure` runs, with their secrets hidden."""
        return [self.masked(statement) for statement in self.statements()]

    def masked(self, text: str) -> str:
        """Hide the secrets of the configuration in a text."""
        return self.secrets.hide_values(text)

    @property
    def secrets(self) -> Secrets:
        """What must not be shown of the configuration."""
        return Secrets((*self.config.secrets(), *Secrets.of(self.config.model_dump()).values))

    def configure(self, conn: Any) -> None:
        """Attach the lake to a connection whose extensions are loaded."""
        for statement in self.statements():
            conn.execute(statement)

    def _lake_secret(self, data_path: str) -> str:
        catalog = self.config.catalog
        if isinstance(catalog, PostgresCatalogConfig):
            parameters = f"MAP {{'TYPE': 'postgres', 'SECRET': {literal(catalog.secret_name)}}}"
            where = f"METADATA_PATH '', METADATA_PARAMETERS {parameters}"
        else:
            assert not isinstance(catalog, MotherDuckCatalogConfig)  # noqa: S101 - it has no secret of ours
            uri = f"sqlite:{catalog.uri}" if isinstance(catalog, SQLiteCatalogConfig) else catalog.uri
            where = f"METADATA_PATH {literal(uri)}"
        name = quoted(self.secret_name)
        return f"CREATE OR REPLACE SECRET {name} (TYPE DUCKLAKE, {where}, DATA_PATH {literal(data_path)})"

    def _options(self) -> str:
        """Write the options of ATTACH.

        DuckLake keeps small writes in the catalog if it may, as text that it cannot read again where structs hold
        backslashes, so it may only if asked; and in SQLite's other journal, whoever reads would lock out who writes.
        """
        limit = self.config.data_inlining_row_limit or 0
        journal = {"META_JOURNAL_MODE": "WAL"} if isinstance(self.config.catalog, SQLiteCatalogConfig) else {}
        given = {name.upper(): value for name, value in self.config.attach_options.items() if value is not None}
        return format_attach_options({"DATA_INLINING_ROW_LIMIT": limit, **journal, **given})

    def _motherduck(self, catalog: MotherDuckCatalogConfig) -> list[str]:
        """Create the database before the secret of its bucket, which is kept in MotherDuck itself."""
        statements = [f"SET s3_region = {literal(catalog.region)}"] if catalog.region else []
        if self.config.storage is not None:
            path = literal(self.config.storage.resolved_path())
            create = f"CREATE DATABASE IF NOT EXISTS {quoted(catalog.database)} (TYPE DUCKLAKE, DATA_PATH {path})"
            statements += [create, *self.config.storage.secret_sql("MOTHERDUCK")]
        return [*statements, self.use_sql]
