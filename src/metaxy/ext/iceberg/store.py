"""The Iceberg store, and its keys in a configuration file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from pyiceberg.catalog import Catalog

from metaxy.errors import InvalidConfigError
from metaxy.ext.iceberg.storage import IcebergStorage
from metaxy.ext.table_root import checked_root
from metaxy.masking import mask_path
from metaxy.storage.files import absolute, at_home
from metaxy.store.config import MetadataStoreConfig
from metaxy.store.store import MetadataStore
from metaxy.versioning.polars_engine import PolarsEngine


class IcebergMetadataStoreConfig(MetadataStoreConfig):
    """Keys of an Iceberg store."""

    warehouse: str | Path = Field(description="folder or bucket that holds the tables, or what the catalog calls it")
    namespace: str = Field(default="metaxy", description="namespace of the tables in the catalog")
    catalog_name: str = Field(default="metaxy", description="name of the catalog")
    catalog_properties: dict[str, str] | None = Field(
        default=None, repr=False, description="PyIceberg's properties of the catalog, such as type, uri and s3.endpoint"
    )
    auto_create_namespace: bool = Field(default=True, description="create the namespace at the first write")


class IcebergMetadataStore(MetadataStore):
    """Features as Iceberg tables in a catalog; by default in an SQLite database beside the tables.

    Args:
        warehouse: folder or bucket of the tables; a local folder is created by the first write.
        namespace: namespace of the tables in the catalog.
        catalog_name: name of the catalog.
        catalog_properties: what PyIceberg's ``load_catalog`` takes, for REST, Glue, Hive and SQL catalogs and for
            object stores; needed where the warehouse is not a local folder.
        auto_create_namespace: create the namespace at the first write.
        options: what all stores take, see `MetadataStore`.

    Raises:
        InvalidConfigError: if a warehouse that is not a local folder has no catalog.

    >>> IcebergMetadataStore("s3://bucket/lake", catalog_properties={"type": "rest", "uri": "http://localhost"})
    IcebergMetadataStore(warehouse=s3://bucket/lake)
    """

    _place = "warehouse"

    def __init__(
        self,
        warehouse: str | Path,
        *,
        namespace: str = "metaxy",
        catalog_name: str = "metaxy",
        catalog_properties: Mapping[str, str] | None = None,
        auto_create_namespace: bool = True,
        **options: Any,
    ) -> None:
        given = checked_root(str(warehouse), "Iceberg", decodes=False)
        self.warehouse = _absolute(given, catalog_properties or {})
        storage = IcebergStorage(
            self.warehouse, namespace, catalog_name, catalog_properties or {}, create_namespace=auto_create_namespace
        )
        if storage.own_database and "://" in self.warehouse:
            raise InvalidConfigError(
                f"{mask_path(self.warehouse)} needs catalog_properties that say where its catalog is, such as "
                '{"type": "sql", "uri": "postgresql+psycopg://…"} or {"type": "rest", "uri": "https://…"}'
            )
        super().__init__(storage=storage, engine=PolarsEngine(), **options)

    @classmethod
    def config_model(cls) -> type[IcebergMetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return IcebergMetadataStoreConfig

    @property
    def catalog(self) -> Catalog:
        """The catalog of the open store, as PyIceberg has it."""
        storage: Any = self.storage
        catalog: Catalog = storage.catalog
        return catalog

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"IcebergMetadataStore(warehouse={mask_path(self.warehouse)})"


def _absolute(warehouse: str, properties: Mapping[str, str]) -> str:
    """Make a local folder absolute; leave addresses, and names that a catalog has for warehouses, as they are."""
    warehouse = warehouse.removeprefix("file://")
    if "://" in warehouse or "type" in properties or "uri" in properties:
        return at_home(warehouse.rstrip("/"))
    return absolute(warehouse)
