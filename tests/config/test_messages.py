"""What is wrong with a configuration is one line: place, key, what, near match; and no secrets."""

import traceback
from pathlib import Path

import pytest
from tests.config.conftest import Write

from metaxy.config import InvalidConfigError, MetaxyConfig, PluginConfig, StoreConfig
from metaxy.masking import mask


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('theme = "abc', "metaxy.toml:1:13: illegal character '\\n'"),
        ('theme = "abc"\nx = [1', "metaxy.toml:2:7: unclosed array"),
        ("a = 1\na = 2", "metaxy.toml:2:6: cannot overwrite a value"),
        ('# stores\n\nstor = "x"', "metaxy.toml:3: unknown key 'stor'. Did you mean 'store'?"),
        ("[xyz]\na = 1", "metaxy.toml:1: unknown key 'xyz'."),
        (
            'theme = "x"\nhash_truncation_length = 4',
            "metaxy.toml:2: hash_truncation_length should be greater than or equal to 8, not 4",
        ),
        (
            'entrypoints = "a"\nsync = "maybe"',
            "metaxy.toml:1: entrypoints should be a valid list, not 'a' (and 1 more)",
        ),
        ('project = "a/b"', "metaxy.toml:1: project: 'a/b' is not a name of letters, digits, - and single _"),
        ("[stores.dev]\ntype = 3", "metaxy.toml:2: stores.dev.type should be a valid string, not 3"),
        ('[stores]\ndev = "delta"', "metaxy.toml:2: stores.dev should be a valid dictionary"),
        (
            '[[extra_features]]\nkey = ["a"]',
            "metaxy.toml:1: unknown key 'extra_features.0.key'.",
        ),
        ('[ext.x]\nenable = "maybe"', "metaxy.toml:2: ext.x.enable should be a valid boolean"),
        ('"stores"."dev" . type = 3', "metaxy.toml:1: stores.dev.type should be a valid string, not 3"),
    ],
)
def test_a_wrong_file_is_one_line(write: Write, text: str, line: str) -> None:
    path = write(text + "\n" if text.endswith("abc") else text)
    with pytest.raises(InvalidConfigError) as error:
        MetaxyConfig.load()
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
    assert error.value.config_file == path


def test_lines_of_pyproject(write: Write) -> None:
    write('[tool.other]\nstor = 1\n[tool.metaxy]\ntheme = "x"\nstor = "x"', "pyproject.toml")
    with pytest.raises(InvalidConfigError, match=r"^pyproject.toml:5: unknown key 'stor'"):
        MetaxyConfig.load()


@pytest.mark.parametrize("text", ["tool = 3  # metaxy", '[tool]\nmetaxy = "x"', "[[tool.metaxy]]\nstore = 'x'"])
def test_a_section_of_pyproject_that_is_no_table(write: Write, text: str) -> None:
    write(text, "pyproject.toml")
    with pytest.raises(InvalidConfigError, match=r"^pyproject.toml: tool.metaxy is not a table$"):
        MetaxyConfig.load()


def test_lines_of_an_extended_file(write: Write) -> None:
    base = write('theme = "x"\nhash_truncation_length = 4', "base.toml")
    write('extend = "base.toml"')
    with pytest.raises(InvalidConfigError, match=r"^base.toml:2: hash_truncation_length") as error:
        MetaxyConfig.load()
    assert error.value.config_file == base


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "metaxy.toml").write_bytes(b"theme = '\xff'")
    with pytest.raises(InvalidConfigError, match=r"^metaxy.toml: not UTF-8 text"):
        MetaxyConfig.load()


def test_a_folder_is_no_file(folder: Path) -> None:
    (folder / "x.toml").mkdir()
    with pytest.raises(InvalidConfigError, match=r"^x.toml: cannot be read: "):
        MetaxyConfig.load("x.toml")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("METAXY_HASH_TRUNCATION_LENGTH", "4", "hash_truncation_length should be greater than or equal to 8, not '4'"),
        ("METAXY_SYNC", "maybe", "sync should be a valid boolean, unable to interpret input, not 'maybe'"),
        ("METAXY_STORES", "{dev", "not valid JSON: Expecting property name"),
        ("METAXY_EXTRA_FEATURES", "a,b", "not valid JSON: Expecting value"),
        ("METAXY_ENTRYPOINTS", '{"a": 1}', "entrypoints should be a valid list"),
    ],
)
def test_a_wrong_variable_is_named(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, text: str, line: str
) -> None:
    write('theme = "x"\nsync = true')
    monkeypatch.setenv(name, text)
    with pytest.raises(InvalidConfigError) as error:
        MetaxyConfig.load()
    assert str(error.value).startswith(f"{name}: {line}")


# -- secrets -----------------------------------------------------------------------------------------------------------


SECRETS = {
    "password": "hunter2",
    "storage_options": {"AWS_SECRET_ACCESS_KEY": "hunter2", "region": "eu"},
    "secret": {"type": "s3", "value": "hunter2"},
    "connection_string": "postgresql://me:hunter2@host/db?token=hunter2",
    "list": ["ftp://a:hunter2@b", {"api_token": "hunter2"}],
    "dsn": "host=h password=hunter2 dbname=d",
    "with_at": "postgresql://me:hunter2@hunter2@host/db",
}


def test_representations_hide_secrets() -> None:
    config = MetaxyConfig(
        stores={"dev": StoreConfig(type="x.Y", config=SECRETS)}, ext={"x": PluginConfig(enable=True, token="hunter2")}
    )
    for shown in (repr(config), str(config), repr(config.stores["dev"]), repr(config.ext["x"]), str(mask(SECRETS))):
        assert "hunter2" not in shown
        assert "***" in shown
    assert "region" in repr(config)
    assert "postgresql://me:***@host/db" in repr(config)


def test_toml_is_exact(write: Write) -> None:
    config = MetaxyConfig(
        project="p", stores={"dev": StoreConfig(type="x.Y", config={**SECRETS, "nothing": None, "n": 1})}
    )
    write(config.to_toml())
    loaded = MetaxyConfig.load()
    assert loaded.stores["dev"].config == {**SECRETS, "n": 1}
    assert (loaded.project, loaded.locked) == ("p", None)
    assert loaded.stores["dev"].to_toml().startswith('type = "x.Y"')


def test_messages_hide_secrets(write: Write) -> None:
    write('[ext.x]\nenable = "hunter2"\n[stores.dev]\ntype = 1\npassword = "hunter2"\n[token]\nx = "hunter2"')
    with pytest.raises(InvalidConfigError) as error:
        MetaxyConfig.load()
    write('[stores]\ndev = ["hunter2"]')
    with pytest.raises(InvalidConfigError) as nested:
        MetaxyConfig.load()
    assert "hunter2" not in "".join(traceback.format_exception(nested.value))
    assert "and 2 more" in str(error.value)
