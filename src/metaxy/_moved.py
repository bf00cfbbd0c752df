"""Import paths of metaxy 0.1, and where the same names are now.

An old path is importable as a module that looks its names up in its targets, so that pickles, `isinstance` and store
types in `metaxy.toml` meet the very same objects. To add a path, add a row; no file is needed.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from metaxy._lazy import resolve
from metaxy.errors import MovedMetadataStoreWarning, warn_user

_RENDERERS: Final = (
    "metaxy.dag.render.config",
    "metaxy.dag.render.renderer",
    "metaxy.dag.render.terminal",
    "metaxy.dag.render.cards",
    "metaxy.dag.render.mermaid",
    "metaxy.dag.render.graphviz",
)
# Old module → the modules, or `module:object`, that have its names; searched in this order.
MOVED: Final[dict[str, tuple[str, ...]]] = {
    "metaxy._exceptions": ("metaxy.errors",),
    "metaxy._hashing": ("metaxy.hashing", "metaxy.compat.functions"),
    "metaxy._packaging": ("metaxy.feature",),
    "metaxy._version": ("metaxy",),
    "metaxy._warnings": ("metaxy.errors",),
    "metaxy.entrypoints": ("metaxy.errors", "metaxy.project.entrypoints"),
    "metaxy.ext.dagster.utils": ("metaxy.ext.dagster.partitions", "metaxy.compat.dagster"),
    "metaxy.ext.ibis.metadata_store": ("metaxy.ext.ibis",),
    "metaxy.ext.metadata_stores": (),
    "metaxy.ext.metadata_stores.clickhouse": ("metaxy.ext.clickhouse",),
    "metaxy.ext.metadata_stores.delta": ("metaxy.ext.delta",),
    "metaxy.ext.metadata_stores.duckdb": ("metaxy.ext.duckdb",),
    "metaxy.ext.metadata_stores.ducklake": ("metaxy.ext.ducklake",),
    "metaxy.ext.metadata_stores.iceberg": ("metaxy.ext.iceberg",),
    "metaxy.ext.metadata_stores.lancedb": ("metaxy.ext.lancedb",),
    "metaxy.ext.metadata_stores.postgresql": ("metaxy.ext.postgresql",),
    "metaxy.ext.polars": ("metaxy.ext.delta", "metaxy.ext.iceberg"),
    "metaxy.ext.polars.handlers": (),
    "metaxy.ext.polars.handlers.delta": ("metaxy.ext.delta",),
    "metaxy.ext.polars.handlers.iceberg": ("metaxy.ext.iceberg",),
    # The default graph first: `mx.graph` is that object, and this module stands beside it.
    "metaxy.graph": (
        "metaxy.dag.graph:graph",
        "metaxy.dag.view",
        "metaxy.dag.describe",
        *_RENDERERS,
        "metaxy.compat.functions",
    ),
    "metaxy.graph.describe": ("metaxy.dag.describe", "metaxy.compat.functions"),
    "metaxy.graph.diff": ("metaxy.dag.view", "metaxy.dag.focus", "metaxy.compat.snapshots"),
    "metaxy.graph.diff.diff_models": ("metaxy.compat.diffs", "metaxy.dag.diff", "metaxy.dag.view"),
    "metaxy.graph.diff.differ": ("metaxy.compat.snapshots", "metaxy.store.snapshots", "metaxy.dag.diff"),
    "metaxy.graph.diff.rendering": (*_RENDERERS, "metaxy.dag.render.fields", "metaxy.compat.functions"),
    "metaxy.graph.diff.rendering.formatter": ("metaxy.compat.diffs", "metaxy.dag.render.formats"),
    "metaxy.graph.status": ("metaxy.store.status",),
    "metaxy.graph.utils": ("metaxy.dag.render.labels", "metaxy.compat.functions"),
    "metaxy.metadata_store": (
        "metaxy.errors",
        "metaxy.storage.port",
        "metaxy.store.store",
        "metaxy.store.system.tables",
        "metaxy.ext.ibis",
    ),
    "metaxy.metadata_store.base": ("metaxy.storage.port", "metaxy.store.config", "metaxy.store.store"),
    "metaxy.metadata_store.exceptions": ("metaxy.errors",),
    "metaxy.metadata_store.fallback": ("metaxy.store.fallback",),
    "metaxy.metadata_store.ibis": ("metaxy.ext.ibis",),
    "metaxy.metadata_store.system": (
        "metaxy.store.system.tables",
        "metaxy.store.system.records",
        "metaxy.store.system.storage",
    ),
    "metaxy.metadata_store.system.storage": ("metaxy.store.system.storage", "metaxy.columns"),
    "metaxy.metadata_store.types": ("metaxy.storage.port",),
    "metaxy.metadata_store.utils": ("metaxy.compat.ibis",),
    "metaxy.metadata_store.warnings": ("metaxy.errors",),
    "metaxy.models": (),
    "metaxy.models.bases": ("metaxy.errors",),
    "metaxy.models.constants": ("metaxy.columns", "metaxy.compat.functions"),
    "metaxy.models.feature": ("metaxy.dag.snapshot", "metaxy.dag.graph", "metaxy.feature"),
    "metaxy.models.feature_definition": ("metaxy.definitions.definition",),
    "metaxy.models.feature_selection": ("metaxy.definitions.selection",),
    "metaxy.models.feature_spec": (
        "metaxy.definitions.spec",
        "metaxy.definitions.dependency",
        "metaxy.definitions.names",
    ),
    "metaxy.models.field": ("metaxy.definitions.field",),
    "metaxy.models.fields_mapping": ("metaxy.definitions.mapping", "metaxy.compat.definitions"),
    "metaxy.models.filter_expression": ("metaxy.errors", "metaxy.definitions.filters"),
    "metaxy.models.lineage": ("metaxy.definitions.lineage",),
    "metaxy.models.plan": ("metaxy.dag.plan",),
    "metaxy.models.types": ("metaxy.definitions.keys", "metaxy.dag.snapshot"),
    "metaxy.utils": ("metaxy.store.batched_writer", "metaxy.versioning.frames"),
    "metaxy.utils.exceptions": ("metaxy.errors",),
    "metaxy.utils.external_features": ("metaxy.store.external",),
    "metaxy.utils.lock_file": ("metaxy.project.lock", "metaxy.project.locked"),
    "metaxy.versioning.types": ("metaxy.hashing", "metaxy.versioning.increment"),
}
# These warn where a name is taken from them.
DEPRECATED: Final = frozenset({"metaxy.ext.polars", *(path for path in MOVED if ".metadata_stores" in path)})


class MovedModule(ModuleType):
    """A module of metaxy 0.1: each of its names is looked up where it is now, when it is needed."""

    def __getattr__(self, name: str) -> Any:
        """Return an object from its new place.

        Raises:
            AttributeError: if no target has it.
        """
        if f"{self.__name__}.{name}" in MOVED:  # also when only the package was imported, as in metaxy 0.1
            return importlib.import_module(f"{self.__name__}.{name}")
        # Python asks modules for many names of two underscores, of which only one moved.
        if not name.startswith("__") or name == "__version__":
            for target in MOVED[self.__name__]:
                place = resolve(target)
                if hasattr(place, name):
                    self._warn(name, target)
                    return getattr(place, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)

    def __dir__(self) -> list[str]:
        """List the names of all targets."""
        return sorted({name for target in MOVED[self.__name__] for name in dir(resolve(target))})

    def _warn(self, name: str, target: str) -> None:
        if self.__name__ in DEPRECATED:
            message = f"{self.__name__}.{name} has moved; import it from {target}"
            warn_user(message, MovedMetadataStoreWarning)


class MovedFinder:
    """Finds and loads the modules of the table that do not exist as files.

    It has no base class: those of the import system would make `import metaxy` slower.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - given by the import system
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return how to load an old module, None for all others."""
        if fullname not in MOVED:
            return None
        is_package = any(other.startswith(f"{fullname}.") for other in MOVED)
        loader: Any = self
        return ModuleSpec(fullname, loader, origin="moved", is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module that knows its name."""
        return MovedModule(spec.name, f"Moved to {', '.join(MOVED[spec.name]) or 'several modules'}.")

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the names are looked up later."""


def install() -> None:
    """Make old paths importable; modules that exist as files win."""
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(MovedFinder())
