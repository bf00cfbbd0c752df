"""Tables of the configuration as models: one store, one integration."""

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from functools import reduce
from importlib import metadata
from typing import Any, Final

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from metaxy.errors import StoreImportError
from metaxy.masking import mask
from metaxy.wording import did_you_mean

ENTRY_KEYS: Final = ("type", "config")


def canonical_path(cls: type) -> str:
    """Return the path by which a class is imported: from the package around its module, where that shows it.

    >>> canonical_path(StoreConfig)
    'metaxy.config.StoreConfig'
    """
    package = cls.__module__.rpartition(".")[0]
    shown = getattr(sys.modules.get(package), cls.__qualname__, None)
    return f"{package if shown is cls else cls.__module__}.{cls.__qualname__}"


class StoreConfig(BaseModel):
    """One store: the import path of its class, and its options.

    Options may stand in ``config``, or directly next to ``type``.

    >>> StoreConfig(type="metaxy.ext.delta.DeltaMetadataStore", config={"root_path": "s3://bucket"})
    StoreConfig(type='metaxy.ext.delta.DeltaMetadataStore', config={'root_path': 's3://bucket'})
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str = Field(description="import path of the store's class")
    config: dict[str, Any] = Field(default_factory=dict, description="options of the store")

    @model_validator(mode="before")
    @classmethod
    def _nest_options(cls, entry: Any) -> Any:
        entry = nest_options(entry)
        if isinstance(entry, dict) and isinstance(entry.get("config"), dict):
            for key in (entry.keys() - ENTRY_KEYS) & entry["config"].keys():  # a store may have a `config` of its own
                raise ValueError(f"option {key!r} is given both next to type and in config; remove one of them")
        return entry

    @field_validator("type", mode="before")
    @classmethod
    def _path_of_class(cls, value: Any) -> Any:
        return canonical_path(value) if isinstance(value, type) else value

    @property
    def type_cls(self) -> Any:
        """The class, imported now.

        Raises:
            StoreImportError: if it, or a package that it needs, cannot be imported (an ImportError).
        """
        return import_class(self.type)

    def to_toml(self) -> str:
        """Return the entry as TOML, with its secrets."""
        return as_toml(self)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [("type", self.type), ("config", mask(self.config))]


class PluginConfig(BaseModel):
    """Settings of an integration; each has keys of its own.

    >>> PluginConfig(enable=True, color="red").enable
    True
    """

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    enable: bool = Field(default=False, description="whether the integration is on")

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return list(mask(self.model_dump()).items())


def nest_options(entry: Any) -> Any:
    """Move options that stand next to ``type`` into ``config``; those that would replace another one stay.

    Args:
        entry: The table of a store; anything else is returned as it is.

    >>> nest_options({"type": "x", "root_path": "a"})
    {'type': 'x', 'config': {'root_path': 'a'}}
    """
    nested = entry.get("config", {}) if isinstance(entry, Mapping) else None
    if not isinstance(nested, Mapping):
        return entry
    moved = {key: value for key, value in entry.items() if key not in ENTRY_KEYS and key not in nested}
    rest = {key: value for key, value in entry.items() if key not in moved and key != "config"}
    return {**rest, "config": {**nested, **moved}}


def as_toml(model: BaseModel) -> str:
    """Return a model as TOML, which cannot say None."""
    return tomli_w.dumps(without_none(model.model_dump(mode="json")))


def without_none(value: Any) -> Any:
    """Leave out, at all depths, what TOML cannot say.

    >>> without_none({"a": None, "b": [{"c": None}]})
    {'b': [{}]}
    """
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value if item is not None] if isinstance(value, list) else value


# -- importing ---------------------------------------------------------------------------------------------------------


def import_class(path: str) -> Any:
    """Import a class by its path, which may lead through other classes.

    Raises:
        StoreImportError: with a near match, or what to install.
    """
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:cut])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if cut > 1 and f"{module}.".startswith(f"{error.name}."):
                continue  # no module, but perhaps a class, or a typo
            raise StoreImportError(f"cannot import {path}: {error}{_what_to_install(path, error)}") from error
        except Exception as error:
            raise StoreImportError(f"cannot import {path}: {type(error).__name__}: {error}") from error
        return _attribute(found, parts[cut:], path)
    raise StoreImportError(f"{path!r} is not the import path of a class; write package.module.Class")


def _attribute(module: Any, names: list[str], path: str) -> Any:
    try:
        return reduce(getattr, names, module)
    except AttributeError:
        submodules = (info.name for info in pkgutil.iter_modules(getattr(module, "__path__", ())))
        hint = did_you_mean(names[0], {*dir(module), *submodules})
        raise StoreImportError(f"cannot import {path}: {module.__name__} has no {names[0]!r}.{hint}") from None


def _what_to_install(path: str, error: ModuleNotFoundError) -> str:
    """Return how to install a missing package: as an extra of ours, if one is called like a part of the path."""
    extras = metadata.metadata("metaxy").get_all("Provides-Extra") or []
    extra = next((part for part in (*path.split("."), error.name) if part in extras), None)
    return f'; pip install "metaxy[{extra}]"' if extra else ""
