"""Stores built by name, and what is said when one cannot be."""

import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.config.conftest import Write

from metaxy.config import InvalidConfigError, MetaxyConfig, StoreConfig
from metaxy.errors import MovedMetadataStoreWarning, StoreImportError
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore

DELTA = "metaxy.ext.delta.DeltaMetadataStore"
DUCKDB = "metaxy.ext.duckdb.DuckDBMetadataStore"


class DeafStore(DeltaMetadataStore):
    """A store that does not care how it should hash."""

    def __init__(self, root_path: str, **options: Any) -> None:
        super().__init__(root_path, **{**options, "hash_algorithm": None})


class Outer:
    class Inner(DeltaMetadataStore):
        pass


def configured(write: Write, options: str, store_type: str = DELTA) -> MetaxyConfig:
    write(f'[stores.dev]\ntype = "{store_type}"\n[stores.dev.config]\n{options}')
    return MetaxyConfig.load()


def failure(config: MetaxyConfig, name: str | None = None, **options: Any) -> str:
    with pytest.raises(InvalidConfigError) as error:
        config.get_store(name, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_store_by_name(write: Write, folder: Path) -> None:
    config = configured(write, 'root_path = "data"\nhash_algorithm = "sha256"\nversioning_engine = "polars"')
    store = config.get_store("dev", expected_type=DeltaMetadataStore)
    assert isinstance(store, DeltaMetadataStore)
    assert (store.root_path, store.name) == (str(folder / "data"), "dev")
    assert (store.hash_algorithm, store.versioning_engine) == (HashAlgorithm.SHA256, "polars")
    assert repr(config.get_store()).startswith("[dev] ")
    assert isinstance(config.get_store(expected_type=MetadataStore), DeltaMetadataStore)


def test_arguments_go_over_options_and_to_the_constructor(write: Write, folder: Path) -> None:
    config = configured(write, 'root_path = "data"')
    store: Any = config.get_store("dev", root_path="other", materialization_id="run 7")
    assert (store.root_path, store.materialization_id) == (str(folder / "other"), "run 7")


@pytest.mark.parametrize(
    ("options", "everywhere", "creates"),
    [("", "true", True), ("auto_create_tables = false", "true", False), ("", "false", False)],
)
def test_tables_are_created_as_configured(write: Write, options: str, everywhere: str, creates: bool) -> None:
    write(f"""
        auto_create_tables = {everywhere}
        [stores.dev]
        type = "{DUCKDB}"
        database = ":memory:"
        {options}
    """)
    config = MetaxyConfig.load()
    MetaxyConfig.reset()  # the store must not depend on what is active
    assert config.get_store("dev").auto_create_tables is creates


def test_fallback_stores_come_from_the_same_configuration() -> None:
    config = MetaxyConfig(
        stores={
            "dev": StoreConfig(type=DELTA, config={"root_path": "dev", "fallback_stores": ["prod", "old"]}),
            "prod": StoreConfig(type=DELTA, config={"root_path": "prod", "fallback_stores": ["old"]}),
            "old": StoreConfig(type=DELTA, config={"root_path": "old"}),
        }
    )
    store = config.get_store("dev")
    assert [fallback.name for fallback in store.fallback_stores] == ["prod", "old"]


def test_fallback_stores_in_a_circle_are_refused(write: Write) -> None:
    write(
        "".join(
            f'[stores.{name}]\ntype = "{DELTA}"\nroot_path = "x"\nfallback_stores = ["{fallback}"]\n'
            for name, fallback in ("ab", "bc", "cb", "dd")
        )
    )
    config = MetaxyConfig.load()
    assert failure(config, "a").startswith("metaxy.toml:1: stores fall back to each other in a circle: b → c → b; ")
    assert "d → d" in failure(config, "d")


def test_old_paths_name_the_same_class() -> None:
    assert StoreConfig(type="metaxy.ext.polars.handlers.delta.DeltaMetadataStore").type_cls is DeltaMetadataStore


def test_deprecated_paths_warn() -> None:
    with pytest.warns(MovedMetadataStoreWarning, match=r"import it from metaxy.ext.delta"):
        assert StoreConfig(type="metaxy.ext.metadata_stores.delta.DeltaMetadataStore").type_cls is DeltaMetadataStore


def test_classes_in_classes() -> None:
    inner: Any = Outer.Inner
    assert StoreConfig(type=inner).type_cls is Outer.Inner


# -- failures ----------------------------------------------------------------------------------------------------------


def test_no_stores() -> None:
    message = failure(MetaxyConfig())
    assert message.startswith("no store is configured, so there is no 'dev'; add one, such as: stores.dev = { type = ")


def test_the_example_for_no_stores_works(write: Write) -> None:
    write(failure(MetaxyConfig()).partition("such as: ")[2])
    assert isinstance(MetaxyConfig.load().get_store(), DuckDBMetadataStore)


def test_an_unknown_store(write: Write) -> None:
    config = configured(write, 'root_path = "x"')
    assert failure(config, "deev") == "metaxy.toml: there is no store 'deev'. Did you mean 'dev'? Configured: dev"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            'root_path = "x"\nlayot = "flat"',
            "metaxy.toml:5: unknown key 'stores.dev.config.layot'. Did you mean 'layout'?",
        ),
        ('layout = "flat"', "metaxy.toml:3: stores.dev.config.root_path is missing"),
        (
            'root_path = "x"\nlayout = "falt"',
            "metaxy.toml:5: stores.dev.config.layout should be 'nested' or 'flat', not 'falt'. Did you mean 'flat'?",
        ),
        (
            'root_path = "x"\nhash_algorithm = "mdd5"',
            (
                "metaxy.toml:5: stores.dev.config.hash_algorithm should be 'xxh3_64', 'xxhash64', 'xxhash32', "
                "'wyhash', 'sha256', 'md5' or 'farmhash', not 'mdd5'. Did you mean 'md5'?"
            ),
        ),
        ('root_path = "x"\nfallback_stores = "prod"', "metaxy.toml:5: stores.dev.config.fallback_stores should be a"),
    ],
)
def test_wrong_options(write: Write, options: str, line: str) -> None:
    assert failure(configured(write, options)).startswith(line)


def test_a_wrong_option_in_a_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__LAYOUT", "falt")
    message = failure(configured(write, 'root_path = "x"\nlayout = "flat"'))
    assert message.startswith("METAXY_STORES__DEV__CONFIG__LAYOUT: stores.dev.config.layout should be")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metaxy.ext.delta.DeltaMetdataStore", "metaxy.ext.delta has no 'DeltaMetdataStore'. Did you mean 'DeltaM"),
        ("metaxy.ext.dleta.DeltaMetadataStore", "metaxy.ext has no 'dleta'. Did you mean 'delta'?"),
        ("nowhere.Store", "No module named 'nowhere'"),
        ("Store", "'Store' is not the import path of a class; write package.module.Class"),
        ("metaxy.errors.warn_user", "metaxy.errors.warn_user is not the class of a store"),
    ],
)
def test_a_wrong_path(write: Write, path: str, text: str) -> None:
    message = failure(configured(write, "", path))
    assert message.startswith("metaxy.toml:2: stores.dev.type: ")
    assert text in message


def test_a_missing_package_is_named_with_its_extra(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    write("import no_such_client", "store_without_client/ext/duckdb.py")
    write("import no_such_client", "plain_store.py")
    message = failure(configured(write, "", "store_without_client.ext.duckdb.Store"))
    assert message.endswith("No module named 'no_such_client'; pip install \"metaxy[duckdb]\"")
    assert failure(configured(write, "", "plain_store.Store")).endswith("No module named 'no_such_client'")


def test_a_broken_module_is_an_import_error(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    write("1 / 0", "broken_store.py")
    with pytest.raises(ImportError, match=r"cannot import broken_store.Store: ZeroDivisionError") as error:
        _ = StoreConfig(type="broken_store.Store").type_cls
    assert isinstance(error.value, StoreImportError)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_another_type_than_expected(write: Write) -> None:
    message = failure(configured(write, 'root_path = "x"'), expected_type=DuckDBMetadataStore)
    assert message.startswith("metaxy.toml:2: stores.dev.type: DeltaMetadataStore is not the DuckDBMetadataStore that")


def test_a_constructor_that_fails(write: Write) -> None:
    message = failure(configured(write, 'root_path = "x"'), nonsense=1)
    assert message.startswith("metaxy.toml:1: stores.dev: cannot create DeltaMetadataStore: TypeError: ")


def test_a_store_that_ignores_the_algorithm() -> None:
    deaf: Any = DeafStore
    config = MetaxyConfig(stores={"dev": StoreConfig(type=deaf, config={"root_path": "x", "hash_algorithm": "sha256"})})
    assert failure(config) == "stores.dev.config.hash_algorithm: DeafStore ignores it"


class Picky(DeltaMetadataStore):
    class Options(BaseModel):
        url: str
        password: int

    @classmethod
    def config_model(cls) -> Any:
        return cls.Options

    @classmethod
    def from_config(cls, config: Any, **kwargs: Any) -> Any:  # noqa: ARG003
        raise RuntimeError(f"cannot connect to {config.url}")


@pytest.mark.parametrize("password", ["hunter2", "1"])
def test_failures_hide_secrets(password: str) -> None:
    picky: Any = Picky
    options = {"url": "ftp://me:hunter2@host", "password": password}
    config = MetaxyConfig(stores={"dev": StoreConfig(type=picky, config=options)})
    with pytest.raises(InvalidConfigError) as error:
        config.get_store()
    assert "hunter2" not in str(error.value)
    if password == "hunter2":
        assert "hunter2" not in "".join(traceback.format_exception(error.value))
