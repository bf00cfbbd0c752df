"""Configuration keys that all stores share."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metaxy.errors import InvalidConfigError
from metaxy.hashing import HashAlgorithm
from metaxy.masking import mask
from metaxy.storage.port import SchemaEvolution

VersioningEngineOptions = Literal["auto", "native", "polars"]
Fallback = Literal["tables", "rows"]


class MetadataStoreConfig(BaseModel):
    """Keys of every store; each store adds its own. Plain data: no environment variable is read here."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    fallback_stores: list[str] = Field(default_factory=list, description="stores to read from what is missing here")
    fallback: Fallback = Field(
        default="tables", description="what is looked for there: tables, or also rows, seen under those of this store"
    )
    hash_algorithm: HashAlgorithm | None = Field(default=None, description="how samples are hashed; md5 if unset")
    versioning_engine: VersioningEngineOptions = Field(default="auto", description="where versions are computed")
    schema_evolution: SchemaEvolution | None = Field(default=None, description="add new columns, or refuse them")
    auto_optimize: bool | int = Field(
        default=False,
        ge=0,
        description="merge small files after a write that finds 100 of them, or as many as this says; where tables are "
        "made of files",
    )
    claims_store: str | None = Field(
        default=None, description="the store that keeps claims to samples of this one; itself, if it can"
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, mask(value, name or "")) for name, value in super().__repr_args__()]

    def given(self) -> dict[str, Any]:
        """Return the keys that were set, without those of the store's surroundings."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"fallback_stores", "claims_store"}}

    @classmethod
    def check(cls, store: str, **options: Any) -> None:
        """Refuse values that no key of every store can have, as they are given to a constructor.

        Raises:
            InvalidConfigError: naming the store and the first such option.
        """
        try:
            cls.model_validate({name: value for name, value in options.items() if value is not None})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            name = str(problem["loc"][0])
            raise InvalidConfigError(f"{store}: {name} is {options[name]!r}; {problem['msg'].lower()}") from None


class DatabaseStoreConfig(MetadataStoreConfig):
    """Keys of every store in an SQL database."""

    table_prefix: str | None = Field(default=None, description="prefix of all table names")
    auto_create_tables: bool | None = Field(default=None, description="create tables at the first write")


class FileDatabaseStoreConfig(DatabaseStoreConfig):
    """Keys of every store in a database that is one file."""

    lock_timeout: float = Field(default=10.0, ge=0, description="seconds to wait for a file that another process locks")
