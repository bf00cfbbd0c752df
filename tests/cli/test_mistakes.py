"""What a user sees when something is wrong: one line that names the culprit and a way out, and never a traceback."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import FEATURES, Run

from metaxy.testing import TempMetaxyProject

DUCKDB = "metaxy.ext.duckdb.DuckDBMetadataStore"
DELTA = "metaxy.ext.delta.DeltaMetadataStore"
CYCLE = """
import metaxy as mx
class A(mx.BaseFeature, spec=mx.FeatureSpec(key="a", id_columns=["id"], deps=["b"])):
    id: str
class B(mx.BaseFeature, spec=mx.FeatureSpec(key="b", id_columns=["id"], deps=["a"])):
    id: str
"""
LIST = ("list", "features")
COPY = ("metadata", "copy", "video/raw", "--from", "nope", "--to", "dev")


def check(project: TempMetaxyProject, arguments: tuple[str, ...], code: int, *words: str, lines: int = 1) -> None:
    """Run a command that fails, as people and as programs do."""
    plain = project.run_cli(arguments, check=False)
    assert (plain.returncode, plain.stdout) == (code, "")
    assert plain.stderr.startswith("Error: ")
    assert plain.stderr.count("\n") == lines + ("\nHint: " in plain.stderr)
    for word in words:
        assert word in plain.stderr
    if "--format" in project.run_cli([*arguments[:2], "--help"], check=False).stdout and arguments[0] != "config":
        machine = project.run_cli([*arguments, "--format", "json"], check=False)
        assert (machine.returncode, machine.stderr) == (code, "")
        error = json.loads(machine.stdout)
        assert machine.stdout.count("\n") == 1
        assert error["error"].isupper()
        for word in words:
            assert word in json.dumps(error, ensure_ascii=False).replace('\\"', '"')


def write_config(project: TempMetaxyProject, text: str) -> None:
    (project.path / "metaxy.toml").write_text(text, encoding="utf-8")


LOOKING = [("graph", "render"), ("describe", "graph"), ("metadata", "status")]
ANY = pytest.mark.parametrize(
    "arguments", [LIST, ("list", "stores"), ("history",), ("push",), ("config", "print"), ("graph", "render")]
)


@ANY
def test_broken_toml(project: TempMetaxyProject, arguments: tuple[str, ...]) -> None:
    write_config(project, 'project = "vision\n')
    check(project, arguments, 2, "metaxy.toml:1:18: ")


@ANY
def test_unknown_key(project: TempMetaxyProject, arguments: tuple[str, ...]) -> None:
    write_config(project, 'project = "vision"\nentrypoint = ["x"]\n')
    check(project, arguments, 2, "metaxy.toml:2", "'entrypoint'", "entrypoints")


@pytest.mark.parametrize(
    "arguments", [LIST, ("list", "stores"), ("history",), ("push",), ("metadata", "stats"), *LOOKING]
)
def test_no_configuration(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: no metaxy.toml")
    assert str(tmp_path) in result.stderr
    assert "mx init" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_project_is_configured(project: TempMetaxyProject) -> None:
    write_config(project, 'entrypoints = ["vision.features"]')
    for command in ("push", "lock"):
        check(project, (command,), 2, "project", "metaxy.toml")


@pytest.mark.parametrize("arguments", [("history",), ("push",), ("metadata", "stats"), ("metadata", "status")])
def test_no_store_is_configured(project: TempMetaxyProject, arguments: tuple[str, ...]) -> None:
    write_config(project, 'project = "vision"\nentrypoints = ["vision.features"]\n')
    check(project, arguments, 2, "no store is configured", "stores.dev = {", DUCKDB)


@pytest.mark.parametrize(
    "arguments",
    [
        *(("history",), ("push",), ("metadata", "stats"), ("lock",), ("metadata", "status")),
        ("graph-diff", "render", "latest"),
    ],
)
def test_unknown_store(project: TempMetaxyProject, arguments: tuple[str, ...]) -> None:
    check(project, (*arguments, "--store", "dve"), 2, "'dve'", "Did you mean 'dev'?", "Configured: dev")


def test_unknown_store_to_copy_from(project: TempMetaxyProject) -> None:
    check(project, COPY, 2, "'nope'", "Configured: dev")


def broken_store(project: TempMetaxyProject, **store: Any) -> TempMetaxyProject:
    return TempMetaxyProject(project.path, FEATURES, project="vision", stores={"dev": store})


@pytest.mark.parametrize("arguments", [("history",), ("push",)])
def test_class_of_a_store_that_cannot_be_imported(project: TempMetaxyProject, arguments: tuple[str, ...]) -> None:
    there = broken_store(project, type="metaxy.ext.duckdb.DuckDBMetadataStor")
    check(there, arguments, 2, "metaxy.toml:", "stores.dev.type", "DuckDBMetadataStor", "Did you mean")


@pytest.mark.parametrize("arguments", [("history",), ("push",)])
def test_package_of_a_store_that_is_missing(
    project: TempMetaxyProject, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("deltalake", "metaxy.ext.delta"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "deltalake", None)
    check(broken_store(project, type=DELTA, root_path="x"), arguments, 2, 'pip install "metaxy[delta]"')


@pytest.mark.parametrize("arguments", [("history",), ("push",)])
def test_unknown_option_of_a_store(project: TempMetaxyProject, arguments: tuple[str, ...]) -> None:
    check(broken_store(project, type=DELTA, root_path="x", foo=1), arguments, 2, "stores.dev.config.foo")


@pytest.mark.parametrize(
    "arguments", [("history",), ("push",), ("metadata", "show", "video/raw"), ("metadata", "status")]
)
@pytest.mark.parametrize("store", [{"type": DELTA, "root_path": "file/x"}, {"type": DUCKDB, "database": "no/x.duckdb"}])
def test_place_of_a_store_that_cannot_be(
    project: TempMetaxyProject, arguments: tuple[str, ...], store: dict[str, str]
) -> None:
    (project.path / "file").touch()
    check(broken_store(project, **store), arguments, 3, next(text for text in store.values() if "x" in text[-8:]))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nosuchthing", ("vision.features", "features.py:1", "nosuchthing")),
        ("x = (", ("vision.features", "features.py:1", "SyntaxError")),
        (CYCLE, ("b → a → b",)),
        (FEATURES + FEATURES.replace("Video", "Film").replace("Crop", "Cut"), ("video/raw", "Video", "Film")),
    ],
    ids=["import", "syntax", "cycle", "duplicate"],
)
def test_features_that_cannot_be_loaded(project: TempMetaxyProject, code: str, words: tuple[str, ...]) -> None:
    project.with_features(code)
    for arguments in (LIST, ("push",), ("metadata", "stats"), ("describe", "graph"), ("graph", "render")):
        check(project, arguments, 1, *words)


def test_module_that_does_not_exist(project: TempMetaxyProject) -> None:
    write_config(project, 'project = "vision"\nentrypoints = ["vision.featurs"]')
    check(project, LIST, 1, "'vision.featurs'", "Did you mean 'features'?")


def test_cycle_in_another_project(project: TempMetaxyProject) -> None:
    project.with_features(CYCLE.replace("    id: str", '    __metaxy_project__ = "other"\n    id: str'), "other")
    check(project, LIST, 1, "b → a → b")


@pytest.mark.parametrize("command", ["show", "stats", "drop", "delete", "status"])
def test_unknown_feature(project: TempMetaxyProject, command: str) -> None:
    check(project, ("metadata", command, "video/corp"), 1, "'video/corp'", "Did you mean 'video/crop'?")


def test_malformed_key(project: TempMetaxyProject) -> None:
    check(project, ("metadata", "show", "a//b"), 2, "'a//b'")
    check(project, ("metadata", "status", "a//b"), 2, "'a//b'")
    check(project, ("describe", "features", "a//b"), 2, "'a//b'")


def test_malformed_filter(project: TempMetaxyProject) -> None:
    result = project.run_cli(["metadata", "show", "video/raw", "--filter", "size >> 3"], check=False)
    assert (result.returncode, result.stdout) == (2, "")
    line, caret = result.stderr.splitlines()[-2:]
    assert line[caret.index("^")] == ">"


def test_reserved_tag(project: TempMetaxyProject) -> None:
    check(project, ("push", "--tags.metaxy", "x"), 2, "'metaxy' is reserved")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("lst",), "'list'"),
        (("list", "feature", "--fromat", "json"), "--format"),
        (("list", "features", "--format", "yaml"), "yaml"),
        (("metadata", "copy", "video/raw"), "--from"),
        (("history", "--limit", "many"), "many"),
    ],
)
def test_wrong_usage(project: TempMetaxyProject, arguments: tuple[str, ...], word: str) -> None:
    result = project.run_cli(arguments, check=False)
    assert result.returncode == 2
    assert word in result.stdout + result.stderr
    assert (result.stdout + result.stderr).count("\n") == 1


def test_a_command_that_goes_wrong_unexpectedly(project: TempMetaxyProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.with_features("import sys; sys.exit(7)")
    check(project, LIST, 1, "vision.features", "SystemExit")


def test_debug_shows_where_it_went_wrong(project: TempMetaxyProject) -> None:
    project.with_features("1 / 0")
    for arguments, env in ((["--debug", *LIST], {}), (LIST, {"METAXY_DEBUG": "1"})):
        result = project.run_cli(arguments, check=False, env=env)
        assert result.returncode == 1
        assert "Traceback" in result.stderr
        assert "ZeroDivisionError" in result.stderr
        os.environ.pop("METAXY_DEBUG", None)
