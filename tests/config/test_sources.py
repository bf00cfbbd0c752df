"""Arguments go over variables, variables over files; merged at all depths."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.config.conftest import Write

from metaxy.config import InvalidConfigError, MetaxyConfig, PluginConfig, StoreConfig
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.selection import FeatureSelection
from metaxy.errors import IncompleteStoreConfigWarning
from metaxy.ext.delta import DeltaMetadataStore
from metaxy.ext.duckdb import DuckDBMetadataStore

DELTA = "metaxy.ext.delta.DeltaMetadataStore"


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("METAXY_STORE", "prod", "store", "prod"),
        ("METAXY_ENTRYPOINTS", '["a.b", "c"]', "entrypoints", ["a.b", "c"]),
        ("METAXY_ENTRYPOINTS", "a.b, c,", "entrypoints", ["a.b", "c"]),
        ("METAXY_THEME", "dark", "theme", "dark"),
        ("METAXY_HASH_TRUNCATION_LENGTH", "20", "hash_truncation_length", 20),
        ("METAXY_ENABLE_MAP_DATATYPE", "true", "enable_map_datatype", True),
        ("METAXY_AUTO_CREATE_TABLES", "1", "auto_create_tables", True),
        ("METAXY_PROJECT", "vision", "project", "vision"),
        ("METAXY_LOCKED", "1", "locked", True),
        ("METAXY_SYNC", "0", "sync", False),
        ("METAXY_METAXY_LOCK_PATH", "x.lock", "metaxy_lock_path", "x.lock"),
        ("METAXY_EXTRA_FEATURES", '[{"keys": ["a"]}]', "extra_features", [FeatureSelection(keys=["a"])]),
        ("METAXY_EXT__DAGSTER__ENABLE", "true", "ext", {"dagster": PluginConfig(enable=True)}),
        ("METAXY_EXT", '{"x": {"enable": true, "a": 1}}', "ext", {"x": PluginConfig(enable=True, a=1)}),
        ("metaxy_store", "prod", "store", "prod"),
        ("METAXY_PROJECT", "", "project", None),
        ("METAXY_EXTEND", "base.toml", "extend", None),
        ("METAXY_PROJECT__X", "a", "project", None),
    ],
)
def test_each_key_has_a_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str, key: str, value: Any) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(MetaxyConfig(), key) == value


def test_defaults() -> None:
    config = MetaxyConfig()
    assert (config.store, config.stores, config.hash_truncation_length) == ("dev", {}, 16)
    assert (config.project, config.locked, config.sync, config.auto_create_tables) == (None, None, True, False)


def test_unknown_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_FOO", "1")
    monkeypatch.setenv("METAXY_LIST_FEATURES_FORMAT", "json")
    assert MetaxyConfig() == MetaxyConfig()


def test_arguments_over_variables_over_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"""
        project = "file"
        theme = "file"
        [stores.dev]
        type = "{DELTA}"
        [stores.dev.config]
        root_path = "file"
        layout = "flat"
        storage_options = {{ AWS_REGION = "file", timeout = "file" }}
    """)
    monkeypatch.setenv("METAXY_PROJECT", "variable")
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__ROOT_PATH", "variable")
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__STORAGE_OPTIONS__AWS_REGION", "variable")
    loaded = MetaxyConfig.load()
    assert (loaded.project, loaded.theme) == ("variable", "file")
    assert loaded.stores["dev"].config == {
        "root_path": "variable",
        "layout": "flat",
        "storage_options": {"AWS_REGION": "variable", "timeout": "file"},
    }
    dev: Any = {"type": DELTA, "config": {"root_path": "argument"}}
    given = MetaxyConfig(project="argument", stores={"dev": dev})
    assert given.project == "argument"
    assert given.stores["dev"].config["root_path"] == "argument"
    assert given.stores["dev"].config["storage_options"] == {"aws_region": "variable"}


def test_a_whole_store_comes_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_STORES", f'{{"dev": {{"type": "{DELTA}", "config": {{"layout": "flat"}}}}}}')
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__ROOT_PATH", "a")
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__FALLBACK_STORES", '["prod"]')
    assert MetaxyConfig().stores == {
        "dev": StoreConfig(type=DELTA, config={"layout": "flat", "root_path": "a", "fallback_stores": ["prod"]})
    }


def test_options_from_variables_stay_text_until_their_type_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_STORES__DEV__TYPE", DELTA)
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__ROOT_PATH", "0012")
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__STORAGE_OPTIONS__PASSWORD", "{1e5")
    config = MetaxyConfig().stores["dev"].config
    assert config == {"root_path": "0012", "storage_options": {"password": "{1e5"}}


def test_bare_variables_never_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HASH_ALGORITHM", "TYPE", "CONFIG", "ENABLE", "ROOT_PATH", "LAYOUT", "PROJECT", "FALLBACK_STORES"):
        monkeypatch.setenv(name, "sha256")
    config = MetaxyConfig(stores={"dev": StoreConfig(type=DELTA, config={"root_path": "a"})}, ext={"x": PluginConfig()})
    assert (config.project, config.ext["x"].enable) == (None, False)
    assert config.stores["dev"].config == {"root_path": "a"}
    assert config.get_store("dev").hash_algorithm.value == "md5"


@pytest.mark.parametrize(
    "options", ['root_path = "a"\nlayout = "flat"', '[stores.dev.config]\nroot_path = "a"\nlayout = "flat"']
)
def test_options_stand_in_config_or_next_to_type(write: Write, options: str) -> None:
    write(f'[stores.dev]\ntype = "{DELTA}"\n{options}')
    assert MetaxyConfig.load().stores["dev"] == StoreConfig(type=DELTA, config={"root_path": "a", "layout": "flat"})


def test_variables_go_over_options_next_to_type(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f'[stores.dev]\ntype = "{DELTA}"\nroot_path = "file"')
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__ROOT_PATH", "variable")
    assert MetaxyConfig.load().stores["dev"].config == {"root_path": "variable"}


def test_the_same_option_in_both_places_is_refused(write: Write) -> None:
    write(f'[stores.dev]\ntype = "{DELTA}"\nroot_path = "a"\n[stores.dev.config]\nroot_path = "b"')
    with pytest.raises(InvalidConfigError, match=r"metaxy.toml:1: stores.dev: option 'root_path' is given both"):
        MetaxyConfig.load()


def test_a_store_without_type_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__PASSWORD", "hunter2")
    with pytest.warns(
        IncompleteStoreConfigWarning, match="store 'dev' is ignored: it has no type, only password"
    ) as seen:
        assert MetaxyConfig().stores == {}
    assert "hunter2" not in str(seen[0].message)


class Own(DeltaMetadataStore):
    """A store of a user."""


def test_a_class_stands_for_its_path() -> None:
    """The one that the documentation shows, wherever the class is kept."""
    stores: dict[Any, str] = {
        DeltaMetadataStore: "metaxy.ext.delta.DeltaMetadataStore",
        DuckDBMetadataStore: "metaxy.ext.duckdb.DuckDBMetadataStore",
        StoreConfig: "metaxy.config.StoreConfig",
        Own: f"{__name__}.Own",
    }
    for given, path in stores.items():
        assert StoreConfig(type=given).type == path
        assert StoreConfig(type=given).type_cls is given


@pytest.mark.parametrize("project", ["a/b", "a__b", "", "a b", "é", "a\n"])
def test_project_names_are_checked(project: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits"):
        MetaxyConfig(project=project)


@pytest.mark.parametrize(
    "arguments", [{"hash_truncation_length": 7}, {"hash_truncation_length": None}, {"foo": 1}, {"stores": 3}]
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MetaxyConfig(**arguments)


def test_a_configuration_is_frozen() -> None:
    config: Any = MetaxyConfig(project="a")
    with pytest.raises(ValidationError):
        config.project = "b"


def test_extra_features_in_toml(write: Write) -> None:
    write('[[extra_features]]\nprojects = ["a"]\n[[extra_features]]\nkeys = ["b/c"]')
    first, second = MetaxyConfig.load().extra_features
    assert (first.projects, second.keys) == (("a",), (FeatureKey("b/c"),))
