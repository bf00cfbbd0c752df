"""Metaxy: know exactly which samples must be computed again, and why.

Each public name is loaded when it is first used, so that ``import metaxy`` stays quick.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from metaxy import _lazy, _moved

if TYPE_CHECKING:
    from metaxy._markers import experimental
    from metaxy._markers import public as public
    from metaxy.config import MetaxyConfig, StoreConfig
    from metaxy.dag.graph import FeatureGraph, current_graph, get_feature_by_key, graph
    from metaxy.definitions.definition import FeatureDefinition
    from metaxy.definitions.dependency import FeatureDep, FeatureDepMetadata
    from metaxy.definitions.field import FieldDep, FieldSpec, SpecialFieldDep
    from metaxy.definitions.keys import (
        CoercibleToFeatureKey,
        CoercibleToFieldKey,
        FeatureKey,
        FieldKey,
        ValidatedFeatureKey,
        ValidatedFeatureKeyAdapter,
        ValidatedFeatureKeySequence,
        ValidatedFeatureKeySequenceAdapter,
        ValidatedFieldKey,
        ValidatedFieldKeyAdapter,
        ValidatedFieldKeySequence,
        ValidatedFieldKeySequenceAdapter,
        coerce_to_feature_key,
    )
    from metaxy.definitions.lineage import LineageRelationship
    from metaxy.definitions.mapping import AllFieldsMapping, DefaultFieldsMapping, FieldsMapping, FieldsMappingType
    from metaxy.definitions.names import IDColumns
    from metaxy.definitions.selection import FeatureSelection
    from metaxy.definitions.spec import FeatureSpec, FeatureSpecWithIDColumns
    from metaxy.errors import (
        ExternalFeatureVersionMismatchError,
        ExternalFeatureVersionMismatchWarning,
        MetaxyMissingFeatureDependency,
        UnresolvedExternalFeatureWarning,
    )
    from metaxy.feature import BaseFeature, FeatureConfig
    from metaxy.hashing import HashAlgorithm
    from metaxy.process.registry import computes
    from metaxy.project.entrypoints import init, load_features, load_module_entrypoint, load_package_entrypoints
    from metaxy.storage.port import AccessMode
    from metaxy.store.batched_writer import BufferedMetadataWriter
    from metaxy.store.external import sync_external_features
    from metaxy.store.store import MetadataStore
    from metaxy.store.system.storage import SystemTableStorage
    from metaxy.versioning.increment import Increment, LazyIncrement, PolarsIncrement, PolarsLazyIncrement

    __version__: str

__all__ = [
    "AccessMode",
    "AllFieldsMapping",
    "BaseFeature",
    "BufferedMetadataWriter",
    "CoercibleToFeatureKey",
    "CoercibleToFieldKey",
    "DefaultFieldsMapping",
    "ExternalFeatureVersionMismatchError",
    "ExternalFeatureVersionMismatchWarning",
    "FeatureConfig",
    "FeatureDefinition",
    "FeatureDep",
    "FeatureDepMetadata",
    "FeatureGraph",
    "FeatureKey",
    "FeatureSelection",
    "FeatureSpec",
    "FeatureSpecWithIDColumns",
    "FieldDep",
    "FieldKey",
    "FieldSpec",
    "FieldsMapping",
    "FieldsMappingType",
    "HashAlgorithm",
    "IDColumns",
    "Increment",
    "LazyIncrement",
    "LineageRelationship",
    "MetadataStore",
    "MetaxyConfig",
    "MetaxyMissingFeatureDependency",
    "PolarsIncrement",
    "PolarsLazyIncrement",
    "SpecialFieldDep",
    "StoreConfig",
    "SystemTableStorage",
    "UnresolvedExternalFeatureWarning",
    "ValidatedFeatureKey",
    "ValidatedFeatureKeyAdapter",
    "ValidatedFeatureKeySequence",
    "ValidatedFeatureKeySequenceAdapter",
    "ValidatedFieldKey",
    "ValidatedFieldKeyAdapter",
    "ValidatedFieldKeySequence",
    "ValidatedFieldKeySequenceAdapter",
    "__version__",
    "coerce_to_feature_key",
    "computes",
    "current_graph",
    "experimental",
    "get_feature_by_key",
    "graph",
    "init",
    "load_features",
    "load_module_entrypoint",
    "load_package_entrypoints",
    "sync_external_features",
]

# Module → its public names; `public` is importable, too.
_NAMES: Final = {
    "metaxy._markers": "experimental public",
    "metaxy.config": "MetaxyConfig StoreConfig",
    "metaxy.dag.graph": "FeatureGraph current_graph get_feature_by_key graph",
    "metaxy.definitions.definition": "FeatureDefinition",
    "metaxy.definitions.dependency": "FeatureDep FeatureDepMetadata",
    "metaxy.definitions.field": "FieldDep FieldSpec SpecialFieldDep",
    "metaxy.definitions.keys": (
        "CoercibleToFeatureKey CoercibleToFieldKey FeatureKey FieldKey ValidatedFeatureKey "
        "ValidatedFeatureKeyAdapter ValidatedFeatureKeySequence ValidatedFeatureKeySequenceAdapter "
        "ValidatedFieldKey ValidatedFieldKeyAdapter ValidatedFieldKeySequence "
        "ValidatedFieldKeySequenceAdapter coerce_to_feature_key"
    ),
    "metaxy.definitions.lineage": "LineageRelationship",
    "metaxy.definitions.mapping": "AllFieldsMapping DefaultFieldsMapping FieldsMapping FieldsMappingType",
    "metaxy.definitions.names": "IDColumns",
    "metaxy.definitions.selection": "FeatureSelection",
    "metaxy.definitions.spec": "FeatureSpec FeatureSpecWithIDColumns",
    "metaxy.errors": (
        "ExternalFeatureVersionMismatchError ExternalFeatureVersionMismatchWarning "
        "MetaxyMissingFeatureDependency UnresolvedExternalFeatureWarning"
    ),
    "metaxy.feature": "BaseFeature FeatureConfig",
    "metaxy.hashing": "HashAlgorithm",
    "metaxy.process.registry": "computes",
    "metaxy.project.entrypoints": "init load_features load_module_entrypoint load_package_entrypoints",
    "metaxy.storage.port": "AccessMode",
    "metaxy.store.batched_writer": "BufferedMetadataWriter",
    "metaxy.store.external": "sync_external_features",
    "metaxy.store.store": "MetadataStore",
    "metaxy.store.system.storage": "SystemTableStorage",
    "metaxy.versioning.increment": "Increment LazyIncrement PolarsIncrement PolarsLazyIncrement",
}
_HOMES: Final = {name: module for module, names in _NAMES.items() for name in names.split()}


class _Package(ModuleType):
    """The module `metaxy` itself; submodules do not replace public names such as `mx.graph`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _HOMES):
            super().__setattr__(name, value)


def _load(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("metaxy")
    if name in _HOMES:
        return _lazy.resolve(f"{_HOMES[name]}:{name}")
    if f"metaxy.{name}" in _moved.MOVED:  # metaxy 0.1 imported its modules itself, so `mx.metadata_store` was there
        return importlib.import_module(f"metaxy.{name}")
    raise AttributeError(f"module 'metaxy' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


if not TYPE_CHECKING:  # type checkers would take any name for a public one

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used."""
        value = globals()[name] = _load(name)
        return value

    def __dir__() -> list[str]:
        """List the public names and the modules that are loaded."""
        return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
_moved.install()
