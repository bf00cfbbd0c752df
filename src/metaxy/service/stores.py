"""The configured stores, and what can be said of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from metaxy.config import MetaxyConfig
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import InvalidConfigError
from metaxy.masking import Secrets, mask_address
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.storage.port import Measurable
from metaxy.store.store import MetadataStore
from metaxy.store.unknown_tables import without_table


@dataclass(frozen=True)
class Store:
    """A configured store, described by ``info``; of one that cannot be built, ``error`` says why."""

    name: str
    is_default: bool
    info: str
    error: str | None
    fallbacks: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Return the store as plain data, without an error where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def stores(project: Project) -> list[Store]:
    """Return the configured stores, the default one first; none is opened."""
    project.refuse_no_config()
    config = project.config
    return [store_of(config, name) for name in sorted(config.stores, key=lambda name: (name != config.store, name))]


def store_of(config: MetaxyConfig, name: str) -> Store:
    """Describe a store; secrets are hidden."""
    options, error = config.stores[name].config, None
    try:
        info = config.get_store(name).display()
    except InvalidConfigError as problem:
        hide = Secrets.of(options).hide
        info, error = f"error: {hide(problem.base_message)}", hide(str(problem))
    fallbacks = options.get("fallback_stores")
    names = tuple(mask_address(str(each)) for each in fallbacks) if isinstance(fallbacks, list) else ()
    return Store(name, name == config.store, info, error, names)


@dataclass(frozen=True)
class Reached:
    """What a store has, as far as it is known: tables of features, and their bytes; of none, ``error`` says why."""

    type: str | None = None
    tables: int | None = None
    size_bytes: int | None = None
    error: str | None = None

    def data(self) -> dict[str, Any]:
        """Return it as plain data, without an error where there is none."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def reached(project: Project, name: str) -> Reached:
    """Open a store, and say what it has of the features of a project; no rows are read."""
    kind = project.config.stores[name].type
    try:
        with project.store(name) as opened:
            keys = project.keys()
            missing = without_table(opened, keys)
            there = [key for key in keys if key not in missing]
            return Reached(kind, len(there), _size(opened, there))
    except Exception as error:  # of any library; the page shows the other stores all the same
        return Reached(kind, error=Failure.of(error).message)


def _size(opened: MetadataStore, keys: Sequence[FeatureKey]) -> int | None:
    """Return the bytes of some tables, None where the storage does not know them all."""
    storage = opened.storage
    if not isinstance(storage, Measurable):
        return None
    sizes = [storage.size(key) for key in keys]
    return None if None in sizes else sum(filter(None, sizes))
