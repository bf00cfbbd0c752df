"""What must start quickly loads no dataframe library, no SQL parser and no database client."""

import subprocess
import sys

import pytest

HEAVY = {"polars", "narwhals", "duckdb", "sqlglot", "pyarrow", "ibis", "pandas", "numpy"}


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that are loaded after some code ran in a new process."""
    code += "\nimport sys; print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code", ["import metaxy", "import metaxy.feature", "import metaxy.config", "import metaxy.content"]
)
def test_imports_are_light(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


def test_dagster_is_all_that_its_integration_loads() -> None:
    assert loaded_by("import dagster, metaxy.ext.dagster") - loaded_by("import dagster") == {"metaxy"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["demmo"]])
def test_command_line_starts_without_user_code(arguments: list[str]) -> None:
    loaded = loaded_by(f"from metaxy.cli.app import main; main({arguments})")
    assert "cyclopts" in loaded
    assert loaded & (HEAVY | {"pydantic", "pydantic_core"}) == set()
