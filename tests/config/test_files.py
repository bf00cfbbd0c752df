"""Which file is read, what it extends, and how variables are filled in."""

from pathlib import Path

import pytest
from tests.config.conftest import Write

from metaxy.config import ConfigFileNotFoundError, InvalidConfigError, MetaxyConfig


def test_the_nearest_file_upwards_is_read(write: Write, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    outer = write('project = "outer"')
    inner = write("", "a/b/notes.txt").parent
    monkeypatch.chdir(inner)
    config = MetaxyConfig.load()
    assert (config.project, config.config_file) == ("outer", outer)
    write('[tool.metaxy]\nproject = "middle"', "a/pyproject.toml")
    assert MetaxyConfig.load().project == "middle"
    write('project = "inner"', "a/b/metaxy.toml")
    write('[tool.metaxy]\nproject = "not me"', "a/b/pyproject.toml")
    assert MetaxyConfig.load().project == "inner"
    assert MetaxyConfig.load(auto_discovery_start=folder).project == "outer"


@pytest.mark.parametrize("text", ["[project]\nname = 'x'", "[tool.metaxy]\n", "[project\n"])
def test_other_pyproject_files_are_passed_over(write: Write, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    write('project = "outer"')
    monkeypatch.chdir(write(text, "a/pyproject.toml").parent)
    assert MetaxyConfig.load().project == "outer"


def test_without_parents_only_the_start_is_searched(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('project = "outer"')
    monkeypatch.chdir(write("", "a/notes.txt").parent)
    assert MetaxyConfig.load(search_parents=False).project is None
    write('project = "here"', "a/metaxy.toml")
    assert MetaxyConfig.load(search_parents=False).project == "here"


def test_an_argument_wins_over_variables(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("given", "first", "second", "found"):
        write(f'project = "{name}"', f"{name}.toml")
    write('project = "found"')
    monkeypatch.setenv("METAXY_CONFIG_FILE", "second.toml")
    assert MetaxyConfig.load().project == "second"
    monkeypatch.setenv("METAXY_CONFIG", "first.toml")
    assert MetaxyConfig.load().project == "first"
    assert MetaxyConfig.load("given.toml").project == "given"
    assert MetaxyConfig.load(Path("given.toml")).config_file == Path("given.toml").absolute()


def test_no_file_is_fine() -> None:
    config = MetaxyConfig.load(search_parents=False)
    assert config == MetaxyConfig()
    assert (config.config_file, config.lock_file) == (None, None)


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(ConfigFileNotFoundError, match=r"^no.toml: there is no such file$") as error:
        MetaxyConfig.load("no.toml")
    assert isinstance(error.value, FileNotFoundError)


def test_a_missing_file_of_a_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_CONFIG", "no.toml")
    with pytest.raises(ConfigFileNotFoundError, match=r"^no.toml: METAXY_CONFIG names this file, but there is none$"):
        MetaxyConfig.load()


def test_where_the_lock_file_is(write: Write, folder: Path) -> None:
    write("")
    assert MetaxyConfig.load().lock_file == folder / "metaxy.lock"
    write('metaxy_lock_path = "locks/x.lock"')
    assert MetaxyConfig.load().lock_file == folder / "locks" / "x.lock"
    absolute = folder / "y.lock"
    assert MetaxyConfig(metaxy_lock_path=str(absolute)).lock_file == absolute


def test_files_are_utf_8_and_may_begin_with_a_mark(folder: Path) -> None:
    (folder / "metaxy.toml").write_bytes('\ufefftheme = "été"'.encode())
    assert MetaxyConfig.load().theme == "été"


# -- extend ------------------------------------------------------------------------------------------------------------


def test_extending(write: Write) -> None:
    write(
        """
        project = "base"
        theme = "base"
        entrypoints = ["base"]
        [stores.dev]
        type = "x.Base"
        root_path = "base"
        [stores.prod]
        type = "x.Prod"
    """,
        "shared/base.toml",
    )
    write(
        """
        [tool.metaxy]
        extend = "shared/base.toml"
        theme = "middle"
        entrypoints = ["middle"]
    """,
        "pyproject.toml",
    )
    write("""
        extend = "pyproject.toml"
        project = "top"
        [stores.dev]
        type = "x.Top"
    """)
    config = MetaxyConfig.load()
    assert (config.project, config.theme, config.extend) == ("top", "middle", None)
    assert config.entrypoints == ["base", "middle"]
    assert {name: (store.type, store.config) for name, store in config.stores.items()} == {
        "dev": ("x.Top", {}),
        "prod": ("x.Prod", {}),
    }


def test_extending_a_missing_file(write: Write) -> None:
    write('theme = "x"\nextend = "no.toml"')
    with pytest.raises(InvalidConfigError, match=r"^metaxy.toml:2: extend names 'no.toml', but there is no such file$"):
        MetaxyConfig.load()


def test_extending_in_a_circle(write: Write) -> None:
    write('extend = "b.toml"')
    write('extend = "./metaxy.toml"', "b.toml")
    with pytest.raises(InvalidConfigError, match=r"^b.toml:1: these files .* metaxy.toml → b.toml → metaxy.toml$"):
        MetaxyConfig.load()


# -- variables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${SET}", "s"),
        ("a-${SET}-${EMPTY:-d}-${UNSET:-d}", "a-s--d"),
        ("${UNSET}", ""),
        ("${UNSET:-}", ""),
        ("${UNSET:-s3://x/${SET}", "s3://x/${SET"),
        ("$SET ${1} $${SET}", "$SET ${1} $s"),
    ],
)
def test_variables_are_filled_in(write: Write, monkeypatch: pytest.MonkeyPatch, text: str, value: str) -> None:
    monkeypatch.setenv("SET", "s")
    monkeypatch.setenv("EMPTY", "")
    write(f'theme = "{text}"\n[stores.dev]\ntype = "x.Y"\noptions = {{ list = ["{text}"] }}')
    config = MetaxyConfig.load()
    assert config.theme == value
    assert config.stores["dev"].config == {"options": {"list": [value]}}


def test_variables_are_filled_in_after_extending(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "base")
    write('theme = "${NAME}"', "base.toml")
    write('extend = "base.toml"')
    assert MetaxyConfig.load().theme == "base"
    write('extend = "${NAME}.toml"')
    with pytest.raises(InvalidConfigError, match="no such file"):
        MetaxyConfig.load()


def test_arguments_and_variables_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAXY_STORE", "${HOME}")
    assert (MetaxyConfig().store, MetaxyConfig(store="${X}").store) == ("${HOME}", "${X}")
