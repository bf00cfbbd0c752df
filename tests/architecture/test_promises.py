"""Each defect of metaxy 0.1 that this package promises not to have is met by a test that carries its number."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NUMBERS = {f"db{number:02}" for number in range(31)} | {"db08b"}
ELSEWHERE = {"db01", "db29"}  # in the conformance kit, see test_known_defects.py; of PostgreSQL only


def test_every_number_has_a_test() -> None:
    functions = (
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    )
    found = {match[1] for name in functions if (match := re.match(r"test_(db\d\db?)_", name))}
    assert found - NUMBERS == set()
    assert NUMBERS - found <= ELSEWHERE
