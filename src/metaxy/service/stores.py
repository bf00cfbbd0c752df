"""The configured stores; none is opened."""

from dataclasses import asdict, dataclass
from typing import Any

from metaxy.config import MetaxyConfig
from metaxy.errors import InvalidConfigError
from metaxy.masking import Secrets, mask_address
from metaxy.service.project import Project


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
    """Return the configured stores, the default one first."""
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
