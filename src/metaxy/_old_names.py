"""Attributes that classes had in metaxy 0.1 and that only its users need: a table, and a decorator that reads it.

Each is loaded from `metaxy.compat` when someone asks for it. To keep one more, add a row.
"""

from typing import Any, Final, TypeVar

from metaxy._lazy import resolve

C = TypeVar("C", bound=type)

_SQL_PARTS: Final = {"sql_parts": "metaxy.compat.stores:sql_parts"}
_IBIS: Final = {
    "ibis_type_to_polars": "metaxy.compat.ibis:ibis_type_to_polars",
    "versioning_engine_cls": "metaxy.versioning.sql_engine:SqlEngine",
}
# Class → attribute → where it is now: a function with the object as its first argument, a property, or a value.
OLD_NAMES: Final[dict[str, dict[str, str]]] = {
    "BaseFeature": {"load_input": "metaxy.compat.definitions:load_input"},
    "DuckDBCatalogConfig": _SQL_PARTS,
    "DuckDBMetadataStore": {
        **_IBIS,
        "conn": "metaxy.compat.stores:conn",
        "connection_params": "metaxy.compat.stores:connection_params",
        "extensions": "metaxy.compat.stores:extensions",
        "get_table_name": "metaxy.compat.stores:get_table_name",
    },
    "FeatureDefinition": {"check_version_mismatch": "metaxy.compat.definitions:check_version_mismatch"},
    "FieldsMapping": {"resolve_field_deps": "metaxy.compat.definitions:resolve_field_deps"},
    "GCSStorageConfig": _SQL_PARTS,
    "GraphData": {"from_merged_diff": "metaxy.compat.diffs:from_merged_diff"},
    "IbisMetadataStore": _IBIS,
    "LocalStorageConfig": _SQL_PARTS,
    "MetadataStore": {
        "create_versioning_engine": "metaxy.compat.stores:create_versioning_engine",
        "hash_struct_version_column": "metaxy.compat.stores:hash_struct_version_column",
        "versioning_engine_cls": "metaxy.versioning.polars_engine:PolarsEngine",
    },
    "PostgresCatalogConfig": _SQL_PARTS,
    "R2StorageConfig": _SQL_PARTS,
    "S3StorageConfig": _SQL_PARTS,
    "SQLiteCatalogConfig": _SQL_PARTS,
}


class OldName:
    """An attribute of metaxy 0.1, which behaves as if its target stood in the class."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __get__(self, instance: Any, owner: type) -> Any:
        """Bind a function or property; values are returned as they are."""
        found = resolve(self.target)
        bind = getattr(type(found), "__get__", None)
        return found if bind is None else bind(found, instance, owner)


def with_old_names(cls: C) -> C:
    """Give a class the attributes that the table has for it.

    >>> @with_old_names
    ... class FieldsMapping:
    ...     pass
    >>> FieldsMapping.resolve_field_deps.__module__
    'metaxy.compat.definitions'
    """
    for name, target in OLD_NAMES[cls.__name__].items():
        setattr(cls, name, OldName(target))
    return cls
