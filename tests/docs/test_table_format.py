"""The page that adds a table format: what its title says is counted, and its store passes the conformance kit.

It does so as a store of a third party: with the built wheel and the extra `testing`, in an environment of its own.
"""

import re
import subprocess
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


@pytest.mark.slow
@pytest.mark.skipif(UV is None, reason="needs uv: run this by `make test-slow`")
def test_the_store_of_the_page_conforms(tmp_path: Path) -> None:
    scripts = install(["testing"], tmp_path)
    module = tmp_path / "test_parquet_store.py"
    module.write_text(program(read(PAGE)), encoding="utf-8")
    ran = subprocess.run(
        [scripts / "python", "-m", "pytest", *STRICT, module], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [passed] = re.findall(r"^(\d+) passed in", ran.stdout, re.MULTILINE)  # none is skipped
    assert f"{passed} passed in" in read(PAGE)
