"""Build a store from its entry in the configuration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from metaxy.config.problems import config_error, validation_error
from metaxy.errors import InvalidConfigError, StoreImportError, did_you_mean
from metaxy.masking import Secrets, hide_in, mask_address

if TYPE_CHECKING:
    from metaxy.config.settings import MetaxyConfig

ErrorKind = TypeVar("ErrorKind", bound=InvalidConfigError)
EXAMPLE: Final = 'stores.{} = {{ type = "metaxy.ext.duckdb.DuckDBMetadataStore", database = "metaxy.duckdb" }}'


def build_store(config: "MetaxyConfig", name: str, expected_type: type[Any] | None, options: Mapping[str, Any]) -> Any:
    """Build a configured store.

    Args:
        config: The configuration; it is the active one while the store is built.
        name: Which store.
        expected_type: What its class must be, or be derived from.
        options: Options that go over the configured ones, and arguments of the constructor.

    Raises:
        InvalidConfigError: if anything is wrong.
    """
    for problem in _problems_before(config, name):
        raise config_error(InvalidConfigError, problem, ("stores", name), config.config_file)
    store_class = _import(config, name, expected_type)
    model = store_class.config_model()
    settings = _validate(config, name, model, options)
    arguments = {k: v for k, v in options.items() if k not in model.model_fields}
    with _told(config, name, store_class, options):
        store = store_class.from_config(settings, name=name, **arguments)
    if settings.hash_algorithm not in (None, store.hash_algorithm):
        raise _error(config, name, f"{store_class.__name__} ignores it", "config", "hash_algorithm")
    return store


def _error(config: "MetaxyConfig", name: str, message: str, *key: str) -> InvalidConfigError:
    path = ("stores", name, *key)
    return config_error(InvalidConfigError, f"{'.'.join(path)}: {message}", path, config.config_file)


def _problems_before(config: "MetaxyConfig", name: str) -> Iterator[str]:
    if not config.stores:
        yield f"no store is configured, so there is no {name!r}; add one, such as: {EXAMPLE.format(name)}"
    elif name not in config.stores:
        known = ", ".join(sorted(config.stores))
        yield f"there is no store {mask_address(name)!r}.{did_you_mean(name, config.stores)} Configured: {known}"
    elif circle := _fallback_circle(config, (name,)):
        yield f"stores fall back to each other in a circle: {' → '.join(circle)}; remove one of these fallback_stores"


def _fallback_circle(config: "MetaxyConfig", trail: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stores of a circle that the last store of a trail leads into; empty if it leads into none."""
    entry = config.stores.get(trail[-1])
    fallbacks = entry.config.get("fallback_stores") if entry else None
    for name in fallbacks if isinstance(fallbacks, list) else ():
        if name in trail:
            return (*trail[trail.index(name) :], name)
        if circle := _fallback_circle(config, (*trail, name)):
            return circle
    return ()


def _import(config: "MetaxyConfig", name: str, expected_type: type[Any] | None) -> Any:
    entry = config.stores[name]
    try:
        store_class = entry.type_cls
    except StoreImportError as error:
        raise _error(config, name, error.base_message, "type") from error
    if not hasattr(store_class, "config_model"):
        raise _error(config, name, f"{entry.type} is not the class of a store", "type")
    if expected_type is not None and not issubclass(store_class, expected_type):
        message = f"{store_class.__name__} is not the {expected_type.__name__} that is expected here"
        raise _error(config, name, message, "type")
    return store_class


def _validate(config: "MetaxyConfig", name: str, model: Any, options: Mapping[str, Any]) -> Any:
    known = model.model_fields
    values = dict(config.stores[name].config)
    if "auto_create_tables" in known:
        values.setdefault("auto_create_tables", config.auto_create_tables)
    values |= {key: value for key, value in options.items() if key in known}
    try:
        return model.model_validate(values)
    except ValidationError as error:  # its own text shows values, which may be secret
        raise validation_error(error, known, ("stores", name, "config"), config.config_file) from None


@contextmanager
def _told(config: "MetaxyConfig", name: str, store_class: Any, options: Mapping[str, Any]) -> Iterator[None]:
    """Say which store cannot be created, without what is secret in its options."""
    secrets = Secrets.of([config.stores[name].config, options])
    try:
        with config.use():
            yield
    except Exception as error:
        text = error.base_message if isinstance(error, InvalidConfigError) else f"{type(error).__name__}: {error}"
        message = f"cannot create {store_class.__name__}: {' '.join(secrets.hide(text).split())}"
        raise _error(config, name, message) from hide_in(error, secrets.hide)
