import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from metaxy.cli.app import main

Command = Callable[[Callable[[], object]], None]


def test_dotenv_of_the_working_directory_is_loaded(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", "environment")
    monkeypatch.setenv("WANTED", "")
    monkeypatch.delenv("WANTED")
    Path(".env").write_text("WANTED=é\nGIVEN=file\n", encoding="utf-8")
    seen = []
    command(lambda: seen.extend([os.environ["WANTED"], os.environ["GIVEN"]]))
    assert main(["try-it"]) == 0
    assert seen == ["é", "environment"]


@pytest.mark.parametrize("arguments", [["--config-file", "my.toml", "try-it"], ["try-it", "--config-file=my.toml"]])
def test_config_file_may_stand_anywhere(command: Command, tmp_path: Path, arguments: list[str]) -> None:
    Path("my.toml").touch()
    seen = []
    command(lambda: seen.append(os.environ["METAXY_CONFIG"]))
    assert main(arguments) == 0
    assert seen == [str((tmp_path / "my.toml").resolve())]


def test_missing_config_file_is_one_line(run: Run) -> None:
    result = run("--config-file", "my.toml", "demo")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: my.toml of --config-file does not exist\n"


def test_config_file_from_the_environment(run: Run) -> None:
    result = run("demo", METAXY_CONFIG_FILE="my.toml")
    assert result.returncode == 2
    assert "my.toml" in result.stderr
