"""Configuration of a DuckLake: where its catalog and its files are."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import Self

from metaxy._old_names import with_old_names
from metaxy.errors import InvalidConfigError
from metaxy.ext.ducklake.sql import NAME, build_secret_sql
from metaxy.storage.files import anchored, at_home

DEFAULT_ALIAS = "ducklake"
OVERRIDE = "override_data_path"
Option = bool | int | float | str

Name = Annotated[str, StringConstraints(pattern=NAME)]
Options = dict[Name, Option]
Text = Annotated[str, StringConstraints(min_length=1)]


def database_path(path: str) -> str:
    """Return the path of a DuckDB file, once it is clear that DuckDB finds its log again.

    Raises:
        InvalidConfigError: if a folder has a question mark; DuckDB would look for the log in a folder of another name.

    >>> database_path("features.duckdb")
    'features.duckdb'
    """
    if "://" not in path and "?" in str(Path(path).parent):
        raise InvalidConfigError(f"{path!r}: DuckDB misreads '?' in the name of a folder; choose another folder")
    return path


def _data_folder(path: str) -> str:
    if os.sep != "\\" and "\\" in path:
        raise InvalidConfigError(
            f"{path!r}: DuckLake misreads a backslash in the name of a folder; choose another folder"
        )
    return path


class _Part(BaseModel):
    """A part of the configuration; its secrets appear neither in representations nor in messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def secrets(self) -> tuple[str, ...]:
        """Values that must not be shown."""
        hidden = [getattr(self, name) for name, field in type(self).model_fields.items() if not field.repr]
        values = [v for item in hidden for v in (item.values() if isinstance(item, Mapping) else [item])]
        return tuple(str(value) for value in values if isinstance(value, str) and value)


@with_old_names
class DuckDBCatalogConfig(_Part):
    """A catalog in a DuckDB file: for one process at a time."""

    type: Literal["duckdb"] = "duckdb"
    uri: Annotated[Text, AfterValidator(database_path)] = Field(description="path of the file")


@with_old_names
class SQLiteCatalogConfig(_Part):
    """A catalog in an SQLite file: for several processes of one machine."""

    type: Literal["sqlite"] = "sqlite"
    uri: Text = Field(description="path of the file")


@with_old_names
class PostgresCatalogConfig(_Part):
    """A catalog in PostgreSQL: for many writers on many machines.

    Without host, database, user and password, a DuckDB secret of this name must exist.
    """

    type: Literal["postgres"] = "postgres"
    secret_name: Name = Field(description="name of the DuckDB secret")
    database: str | None = None
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    host: str | None = None
    port: int = 5432
    secret_parameters: Options | None = Field(default=None, repr=False, description="further parameters of the secret")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        four = {"host": self.host, "database": self.database, "user": self.user, "password": self.password}
        missing = [name for name, value in four.items() if not value]
        if missing and len(missing) < len(four):
            raise ValueError(f"a PostgreSQL catalog with inline credentials also needs {', '.join(missing)}")
        return self

    def parameters(self) -> dict[str, Any] | None:
        """Return how other clients connect to the database, None if only a DuckDB secret knows."""
        if self.host is None:
            return None
        names = ("host", "port", "database", "user", "password")
        further = {name.lower(): value for name, value in (self.secret_parameters or {}).items()}
        return {**{name: getattr(self, name) for name in names}, **further}

    def secret_sql(self) -> list[str]:
        """Write the statement that creates the secret, if it is given here."""
        if self.host is None:
            return []
        given = {
            "HOST": self.host,
            "PORT": self.port,
            "DATABASE": self.database,
            "USER": self.user,
            "PASSWORD": self.password,
        }
        return [build_secret_sql(self.secret_name, "postgres", {**given, **(self.secret_parameters or {})})]


class MotherDuckCatalogConfig(_Part):
    """A catalog that MotherDuck keeps; without storage, it keeps the files, too."""

    type: Literal["motherduck"] = "motherduck"
    database: Text = Field(description="name of the MotherDuck database")
    region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")] | None = Field(
        default=None, description="region of the bucket"
    )


@with_old_names
class LocalStorageConfig(_Part):
    """Files in a folder."""

    type: Literal["local"] = "local"
    path: Annotated[Text, AfterValidator(_data_folder)] = Field(description="the folder")

    def resolved_path(self) -> str:
        """Return where the files are."""
        return self.path

    def secret_sql(self, place: str = "") -> list[str]:  # noqa: ARG002 - a folder needs none
        """Write no statement."""
        return []


class _ObjectStorage(_Part):
    """Files in an object store; without credentials, a DuckDB secret of this name must exist."""

    kind: ClassVar[str]  # of secrets
    secret_name: Name = Field(description="name of the DuckDB secret")
    key_id: str | None = Field(default=None, repr=False)
    secret: str | None = Field(default=None, repr=False)
    secret_parameters: Options | None = Field(default=None, repr=False, description="further parameters of the secret")

    def _inline(self) -> dict[str, Any]:
        return {"KEY_ID": self.key_id, "SECRET": self.secret}

    def secret_sql(self, place: str = "") -> list[str]:
        """Write the statement that creates the secret, if any of it is given here."""
        given = {name: value for name, value in self._inline().items() if value is not None}
        given.update(self.secret_parameters or {})
        return [build_secret_sql(self.secret_name, self.kind, given, place=place)] if given else []


@with_old_names
class S3StorageConfig(_ObjectStorage):
    """Files in S3, or in something that speaks its protocol."""

    kind = "S3"
    type: Literal["s3"] = "s3"
    endpoint: str | None = None
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None
    url_style: str | None = None
    use_ssl: bool | None = None
    scope: str | None = None
    data_path: str | None = None

    @model_validator(mode="after")
    def _has_path(self) -> Self:
        self.resolved_path()
        return self

    def resolved_path(self) -> str:
        """Return where the files are."""
        if self.data_path:
            return self.data_path
        if self.bucket:
            prefix = (self.prefix or "").strip("/")
            return f"s3://{self.bucket}/{prefix}/" if prefix else f"s3://{self.bucket}/"
        if self.scope and self.scope.startswith("s3://"):
            return self.scope
        raise ValueError("S3 storage needs `data_path`, `bucket`, or a `scope` that starts with s3://")

    def _inline(self) -> dict[str, Any]:
        scheme, _, host = (self.endpoint or "").rpartition("://")
        ssl = self.use_ssl if self.use_ssl is not None or not scheme else scheme == "https"
        place = {"ENDPOINT": host or None, "REGION": self.region, "URL_STYLE": self.url_style}
        return {**super()._inline(), **place, "USE_SSL": ssl, "SCOPE": self.scope}


@with_old_names
class R2StorageConfig(_ObjectStorage):
    """Files in Cloudflare R2."""

    kind = "R2"
    type: Literal["r2"] = "r2"
    data_path: Text
    account_id: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.key_id or self.secret) and not self.account_id:
            raise ValueError("R2 storage with inline keys also needs account_id")
        return self

    def resolved_path(self) -> str:
        """Return where the files are."""
        return self.data_path

    def _inline(self) -> dict[str, Any]:
        return {**super()._inline(), "ACCOUNT_ID": self.account_id}


@with_old_names
class GCSStorageConfig(_ObjectStorage):
    """Files in Google Cloud Storage."""

    kind = "GCS"
    type: Literal["gcs"] = "gcs"
    data_path: Text

    def resolved_path(self) -> str:
        """Return where the files are."""
        return self.data_path


Catalog = DuckDBCatalogConfig | SQLiteCatalogConfig | PostgresCatalogConfig | MotherDuckCatalogConfig
Storage = LocalStorageConfig | S3StorageConfig | R2StorageConfig | GCSStorageConfig


def _alias(value: Any) -> Any:
    return DEFAULT_ALIAS if value is None or (isinstance(value, str) and not value.strip()) else value


class DuckLakeConfig(_Part):
    """Where a DuckLake has its catalog and its files, and under which name it is attached."""

    catalog: Annotated[Catalog, Field(discriminator="type")] = Field(description="the database that knows the files")
    storage: Annotated[Storage, Field(discriminator="type")] | None = Field(default=None, description="the files")
    alias: Annotated[Name, BeforeValidator(_alias)] = Field(default=DEFAULT_ALIAS, description="name in DuckDB")
    attach_options: dict[Name, Option | None] = Field(
        default_factory=dict, description="further options of ATTACH; those without a value are left out"
    )
    data_inlining_row_limit: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="writes of up to this many rows are kept in the catalog; none by default"
    )

    @model_validator(mode="after")
    def _has_storage(self) -> Self:
        if self.storage is None and not isinstance(self.catalog, MotherDuckCatalogConfig):
            raise ValueError("a DuckLake needs `storage`, unless its catalog is MotherDuck")
        return self

    def secrets(self) -> tuple[str, ...]:
        """Values that must not be shown."""
        return (*self.catalog.secrets(), *(self.storage.secrets() if self.storage else ()))


def lake_at_home(config: DuckLakeConfig) -> DuckLakeConfig:
    """Put the home directory in place of a ``~`` in paths: DuckDB and SQLite do not take it alike."""
    moved: DuckLakeConfig = _moved_lake(config, at_home)
    return moved


def anchored_lake(given: Any) -> Any:
    """Make relative paths of a configuration, or of the mapping that stands for one, absolute.

    A catalog knows its data path as it was first given; the same folder under another name must override it.

    >>> lake = {"catalog": {"type": "sqlite", "uri": "/catalog"}, "storage": {"type": "local", "path": "lake"}}
    >>> anchored_lake(lake)["attach_options"]
    {'override_data_path': True}
    """
    return _moved_lake(given, anchored)


def _moved_lake(given: Any, move: Callable[[Any], Any]) -> Any:
    parts = given if isinstance(given, Mapping) else {name: getattr(given, name) for name in given.model_fields_set}
    places = (("catalog", "uri"), ("storage", "path"))
    catalog, storage = (_moved_part(parts.get(name), key, move) for name, key in places)
    found = {name: part for name, part in (("catalog", catalog), ("storage", storage)) if name in parts}
    options = parts.get("attach_options", {})
    if storage != parts.get("storage") and isinstance(options, Mapping):
        found["attach_options"] = {OVERRIDE: True, **options}
    return {**given, **found} if isinstance(given, Mapping) else given.model_copy(update=found)


def _moved_part(part: Any, key: str, move: Callable[[Any], Any]) -> Any:
    if isinstance(part, Mapping):
        return {name: move(value) if name == key else value for name, value in part.items()}
    return part.model_copy(update={key: move(getattr(part, key))}) if hasattr(part, key) else part
