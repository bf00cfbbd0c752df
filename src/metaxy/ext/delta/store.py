"""The store that keeps features in Delta tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import Field

from metaxy.errors import InvalidConfigError
from metaxy.ext.delta.storage import DeltaStorage, Layout
from metaxy.ext.table_root import BACKSLASH, CONTROL, ESCAPE, checked_root
from metaxy.masking import mask_path
from metaxy.storage.files import absolute
from metaxy.store.config import MetadataStoreConfig
from metaxy.store.store import MetadataStore
from metaxy.versioning.polars_engine import PolarsEngine

# delta-rs decodes paths once too often, and panics where it makes an address of such a sign.
MISREAD = rf"{CONTROL}|{ESCAPE}|{BACKSLASH}|[\[\]^|]"


class DeltaMetadataStoreConfig(MetadataStoreConfig):
    """Keys of a Delta store."""

    root_path: str | Path = Field(description="folder or bucket that holds the tables")
    storage_options: dict[str, Any] | None = Field(
        default=None, repr=False, description="credentials and options of object stores"
    )
    layout: Layout = Field(default="nested", description="a/b.delta (nested) or a__b.delta (flat)")
    delta_write_options: dict[str, Any] | None = Field(
        default=None, description="options for deltalake.write_deltalake"
    )


class DeltaMetadataStore(MetadataStore):
    """Features as Delta Lake tables below one folder or bucket.

    Args:
        root_path: folder or bucket; a local folder is created by the first write.
        storage_options: credentials and options of object stores.
        layout: ``nested`` keeps feature ``a/b`` in ``a/b.delta``, ``flat`` in ``a__b.delta``.
        delta_write_options: options for every write.
        options: what all stores take, see `MetadataStore`.

    >>> DeltaMetadataStore("s3://bucket/features").display()
    'DeltaMetadataStore(path=s3://bucket/features)'
    """

    _place = "root_path"

    def __init__(
        self,
        root_path: str | Path,
        *,
        storage_options: Mapping[str, Any] | None = None,
        layout: Layout = "nested",
        delta_write_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if layout not in get_args(Layout):
            raise InvalidConfigError(f"layout must be nested or flat, not {layout!r}")
        self.root_path = absolute(checked_root(str(root_path), "Delta Lake", misread=MISREAD))
        storage = DeltaStorage(self.root_path, layout, storage_options or {}, delta_write_options or {})
        super().__init__(storage=storage, engine=PolarsEngine(), **options)

    @classmethod
    def config_model(cls) -> type[DeltaMetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return DeltaMetadataStoreConfig

    @property
    def default_delta_write_options(self) -> dict[str, Any]:
        """Options of every write."""
        storage: Any = self.storage
        return {"mode": "append", "schema_mode": "merge", **storage.write_options}

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"DeltaMetadataStore(path={mask_path(self.root_path)})"
