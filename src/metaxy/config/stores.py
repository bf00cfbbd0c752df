"""Build a store from its entry in the configuration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from metaxy import context
from metaxy.config.entries import StoreConfig
from metaxy.config.problems import config_error, validation_error
from metaxy.errors import InvalidConfigError, StoreImportError
from metaxy.masking import Secrets, hide_in, mask_address
from metaxy.settings import Settings
from metaxy.wording import did_you_mean

EXAMPLE: Final = 'stores.{} = {{ type = "metaxy.ext.duckdb.DuckDBMetadataStore", database = "metaxy.duckdb" }}'


@dataclass(frozen=True)
class StoreBuilder:
    """Builds one of the stores of a configuration, whose settings are the active ones meanwhile."""

    name: str
    stores: Mapping[str, StoreConfig]
    settings: Settings
    config_file: Path | None

    def build(self, expected_type: type[Any] | None, options: Mapping[str, Any]) -> Any:
        """Build the store.

        Raises:
            InvalidConfigError: if anything is wrong.
        """
        for problem in self._problems_before():
            raise config_error(InvalidConfigError, problem, ("stores", self.name), self.config_file)
        store_class = self._import(expected_type)
        model = store_class.config_model()
        keys = self._validate(model, options)
        arguments = {k: v for k, v in options.items() if k not in model.model_fields}
        with self._told(store_class, options):
            store = store_class.from_config(keys, name=self.name, **arguments)
        if keys.hash_algorithm not in (None, store.hash_algorithm):
            raise self._error(f"{store_class.__name__} ignores it", "config", "hash_algorithm")
        return store

    def _error(self, message: str, *key: str) -> InvalidConfigError:
        path = ("stores", self.name, *key)
        return config_error(InvalidConfigError, f"{'.'.join(path)}: {message}", path, self.config_file)

    def _problems_before(self) -> Iterator[str]:
        name, stores = self.name, self.stores
        if not stores:
            yield f"no store is configured, so there is no {name!r}; add one, such as: {EXAMPLE.format(name)}"
        elif name not in stores:
            known = ", ".join(sorted(stores))
            yield f"there is no store {mask_address(name)!r}.{did_you_mean(name, stores)} Configured: {known}"
        elif circle := _fallback_circle(stores, (name,)):
            yield (
                f"stores fall back to each other in a circle: {' → '.join(circle)}; remove one of these fallback_stores"
            )

    def _import(self, expected_type: type[Any] | None) -> Any:
        entry = self.stores[self.name]
        try:
            store_class = entry.type_cls
        except StoreImportError as error:
            raise self._error(error.base_message, "type") from error
        if not hasattr(store_class, "config_model"):
            raise self._error(f"{entry.type} is not the class of a store", "type")
        if expected_type is not None and not issubclass(store_class, expected_type):
            message = f"{store_class.__name__} is not the {expected_type.__name__} that is expected here"
            raise self._error(message, "type")
        return store_class

    def _validate(self, model: Any, options: Mapping[str, Any]) -> Any:
        known = model.model_fields
        values = dict(self.stores[self.name].config)
        if "auto_create_tables" in known:
            values.setdefault("auto_create_tables", self.settings.auto_create_tables)
        if "lock_timeout" in known and self.settings.wait is not None:
            values["lock_timeout"] = self.settings.wait
        values |= {key: value for key, value in options.items() if key in known}
        try:
            return model.model_validate(values)
        except ValidationError as error:  # its own text shows values, which may be secret
            raise validation_error(error, known, ("stores", self.name, "config"), self.config_file) from None

    @contextmanager
    def _told(self, store_class: Any, options: Mapping[str, Any]) -> Iterator[None]:
        """Say which store cannot be created, without what is secret in its options."""
        secrets = Secrets.of([self.stores[self.name].config, options])
        try:
            with context.using_settings(self.settings):
                yield
        except Exception as error:
            text = error.base_message if isinstance(error, InvalidConfigError) else f"{type(error).__name__}: {error}"
            message = f"cannot create {store_class.__name__}: {' '.join(secrets.hide(text).split())}"
            raise self._error(message) from hide_in(error, secrets.hide)


def _fallback_circle(stores: Mapping[str, StoreConfig], trail: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stores of a circle that the last store of a trail leads into; empty if it leads into none."""
    entry = stores.get(trail[-1])
    fallbacks = entry.config.get("fallback_stores") if entry else None
    for name in fallbacks if isinstance(fallbacks, list) else ():
        if name in trail:
            return (*trail[trail.index(name) :], name)
        if circle := _fallback_circle(stores, (*trail, name)):
            return circle
    return ()
