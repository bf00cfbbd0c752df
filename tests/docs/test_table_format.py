"""The pages that add a table format and a database: what a title says is counted, and the stores pass the kit.

The first does so as one of a third party: with the built wheel and the extra `testing`, in an environment of its own.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.test_installs import UV, install
from tests.docs.test_pages import BLOCK, program, read

PAGE = "docs/table-format.md"
STRICT = ["-q", "-rfs", "-Werror", "--strict-markers", "--strict-config", "-pno:cacheprovider"]


def source() -> str:
    """Return the first block of code of the page: the store."""
    return next(block[2] for block in BLOCK.finditer(read(PAGE)) if block[1] == "python")


def test_the_store_of_the_page_has_at_most_60_lines() -> None:
    assert 40 < sum(bool(line.strip()) for line in source().splitlines()) <= 60


def results(python: Path | str, page: str, module: Path, *options: str) -> str:
    """Run the tests of a page as the page says, and return how many did what."""
    module.write_text(program(read(page)), encoding="utf-8")
    ran = subprocess.run(
        [python, "-m", "pytest", *STRICT, *options, module], cwd=module.parent, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [found] = re.findall(r"^(\d+ passed.*) in", ran.stdout, re.MULTILINE)
    return str(found)


@pytest.mark.slow
@pytest.mark.skipif(UV is None, reason="needs uv: run this by `make test-slow`")
def test_the_store_of_the_page_conforms(tmp_path: Path) -> None:
    python = install(["testing"], tmp_path) / "python"
    assert f"\n{results(python, PAGE, tmp_path / 'test_parquet_store.py')} in" in read(PAGE)


@pytest.mark.slow
def test_the_database_of_the_other_page_conforms(tmp_path: Path) -> None:
    page, ours = "docs/ibis-database.md", "-Wignore:fetch_arrow_table:DeprecationWarning"  # of Ibis
    assert f"\n{results(sys.executable, page, tmp_path / 'test_quack_store.py', ours)} in" in read(page)
