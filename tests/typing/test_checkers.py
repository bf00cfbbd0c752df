"""Type checkers agree on user code: what is right is accepted, what is wrong is found."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECKERS = {
    "mypy": ["mypy", "--strict", "--config-file=", "--cache-dir=cache", "--python-executable", sys.executable],
    "pyright": ["pyright", "--pythonpath", sys.executable],
    "ty": ["ty", "check", "--python", sys.prefix, "--output-format", "concise"],
}

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("checker", CHECKERS)]


def lines_found(checker: str, file: str, folder: Path) -> tuple[set[int], str]:
    """Return the lines that a checker finds wrong in a file of this folder, and all it says.

    It runs in an empty folder, as nothing of this project's settings may help it.
    """
    shutil.copy(HERE / file, folder)
    result = subprocess.run(
        [sys.executable, "-m", *CHECKERS[checker], file], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )
    said = result.stdout + result.stderr
    found = {int(line) for line in re.findall(rf"{re.escape(file)}:(\d+)\S* (?:- )?error", said)}
    assert bool(found) == bool(result.returncode), said
    return found, said


def test_user_code_is_right(checker: str, tmp_path: Path) -> None:
    found, said = lines_found(checker, "user_code.py", tmp_path)
    assert found == set(), said


def test_mistakes_are_found(checker: str, tmp_path: Path) -> None:
    lines = (HERE / "wrong_code.py").read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")}
    found, said = lines_found(checker, "wrong_code.py", tmp_path)
    assert found == wrong, said
