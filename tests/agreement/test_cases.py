"""In CI the generated cases are always the same, whatever ran before in the process and however Python hashes."""

import os
import subprocess
import sys
from pathlib import Path

PRINT_CASES = """
from tests.agreement.test_agreement import check_cases

check_cases(40, 0, lambda case: print([spec.model_dump_json() for spec in case.specs], ascii(case.steps)))
"""
LOADING_MORE = "import metaxy.cli.app, metaxy.project.scaffold, metaxy.service.health\n" + PRINT_CASES


def test_the_cases_of_ci_are_always_the_same() -> None:
    processes = [drawing("0", PRINT_CASES), drawing("1", LOADING_MORE)]
    first, second = (process.communicate()[0] for process in processes)
    assert len(first.splitlines()) >= 40
    assert first == second


def drawing(hash_seed: str, code: str) -> "subprocess.Popen[str]":
    """Start a process that prints the first cases of CI."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("METAXY_AGREE")}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=variables | {"CI": "true", "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        text=True,
    )
