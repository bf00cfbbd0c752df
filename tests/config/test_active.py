"""Which configuration is active: the one of the context, the one of the process, or the defaults."""

import contextvars
import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.config.conftest import Write

from metaxy import context
from metaxy.config import InvalidConfigError, MetaxyConfig, PluginConfig
from metaxy.errors import ConfigNotSetWarning

T = TypeVar("T")


def in_a_thread(function: Callable[[], T]) -> T:
    seen: list[T] = []
    thread = threading.Thread(target=lambda: seen.append(function()))
    thread.start()
    thread.join()
    return seen[0]


def test_set_is_seen_by_all_threads() -> None:
    config = MetaxyConfig(project="a")
    assert not MetaxyConfig.is_set()
    MetaxyConfig.set(config)
    assert MetaxyConfig.is_set()
    assert MetaxyConfig.get() is config
    assert in_a_thread(MetaxyConfig.get) is config
    MetaxyConfig.set(None)
    assert not MetaxyConfig.is_set()


def test_use_is_seen_by_its_context_only() -> None:
    outer, inner = MetaxyConfig(project="a"), MetaxyConfig(project="b")
    MetaxyConfig.set(outer)
    with inner.use() as used:
        assert used is inner
        assert MetaxyConfig.get() is inner
        assert in_a_thread(MetaxyConfig.get) is outer
        copied = contextvars.copy_context()
        assert in_a_thread(lambda: copied.run(MetaxyConfig.get)) is inner
        with outer.use():
            assert MetaxyConfig.get() is outer
        assert MetaxyConfig.get() is inner
    assert MetaxyConfig.get() is outer


def test_without_one_get_warns_and_returns_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_PROJECT", "a")
    with pytest.warns(ConfigNotSetWarning, match=r"metaxy.init\(\)") as seen:
        assert MetaxyConfig.get().project == "a"
    assert seen[0].filename == __file__


def test_get_can_load(write: Write) -> None:
    write('project = "a"')
    assert MetaxyConfig.get(load=True).project == "a"
    assert MetaxyConfig.get() is MetaxyConfig.get(load=True)


def test_load_activates(write: Write) -> None:
    write('project = "a"')
    assert MetaxyConfig.load() is MetaxyConfig.get()


def test_current_settings_follow_the_environment_and_never_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = context.settings()
        assert (first.project, first.hash_truncation_length) == (None, 16)
        assert context.settings() is first
        monkeypatch.setenv("METAXY_HASH_TRUNCATION_LENGTH", "20")
        monkeypatch.setenv("METAXY_STORES__DEV__CONFIG__ROOT_PATH", "no type")
        assert context.settings().hash_truncation_length == 20
        with context.using_settings(first):
            assert context.settings() is first


def test_current_settings_name_a_wrong_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_HASH_TRUNCATION_LENGTH", "4")
    with pytest.raises(InvalidConfigError, match=r"^METAXY_HASH_TRUNCATION_LENGTH: "):
        context.settings()


class Colours(PluginConfig):
    background: str = "white"
    width: int = 1


def test_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MetaxyConfig.get_plugin("colours", Colours) == Colours()
    monkeypatch.setenv("METAXY_EXT__COLOURS__WIDTH", "3")
    config = MetaxyConfig(ext={"colours": PluginConfig(enable=True, background="red"), "off": PluginConfig()})
    with config.use():
        assert config.plugins == ["colours"]
        assert MetaxyConfig.get_plugin("colours", Colours) == Colours(enable=True, background="red")
        assert MetaxyConfig.get_plugin("off", Colours) == Colours()
    assert MetaxyConfig.get_plugin("colours", Colours).width == 3


def test_wrong_settings_of_a_plugin(write: Write) -> None:
    write('[ext.colours]\nwidth = "wide"')
    config = MetaxyConfig.load()
    assert config.ext["colours"].enable is False
    with pytest.raises(InvalidConfigError, match=r"^metaxy.toml:2: ext.colours.width should be a valid integer"):
        MetaxyConfig.get_plugin("colours", Colours)
