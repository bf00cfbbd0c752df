"""Tables of the released metaxy 0.1.11 are ours, and ours are its: the same project runs under both.

This is the checklist for those who change from one to the other: rows under every flag, updates that find nothing to
do, physical types, for each hash algorithm and several lengths, on DuckDB, Delta and PostgreSQL.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.services import running

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent / "project.py"
ALSO_THEIRS = {"metaxy_deleted_at_right"}  # 0.1.11 writes it to children of two parents


@pytest.fixture(scope="module")
def pythons(released_python: Path) -> dict[str, Path]:
    return {"ours": Path(sys.executable), "released": released_python}


def run(python: Path, commands: str, root: Path, *options: str) -> list[Any]:
    """Run commands in one process, as each start costs about two seconds, and return the answer to each."""
    arguments: list[str | Path] = [python, PROJECT, commands, root, *options]
    environment = {"PATH": "", "POSTGRESQL": json.dumps(running.address("postgres"))}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=root.parent, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[Any] = json.loads(done.stdout)
    return answers


def same(ours: Any, released: Any) -> Any:
    """Return what both packages find, which must be the same."""
    assert ours.keys() == released.keys()
    for case, found in ours.items():
        for what, answer in found.items():
            assert answer == released[case][what], f"{case}: {what}"
    return ours


def counts(found: Any, key: str) -> list[int]:
    return [len(part) for part in found[f"{key} update"]]


@pytest.fixture(scope="module")
def written(pythons: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tables of each writer."""
    roots = {name: tmp_path_factory.mktemp(name) / "tables" for name in pythons}
    for name, python in pythons.items():
        run(python, "write", roots[name])
    return roots


@pytest.mark.parametrize("writer", ["ours", "released"])
def test_both_packages_read_go_on_and_settle(writer: str, pythons: dict[str, Path], written: dict[str, Path]) -> None:
    """One after the other, as each step goes on with the tables of the step before."""
    root = written[writer]
    ours, released = (partial(run, python, root=root) for python in pythons.values())
    if writer == "ours":
        [ours_before] = ours("read")
        [released_before, _, _, released_after] = released("read,extend,settle,read")
    else:
        [released_before] = released("read")
        [ours_before, _] = ours("read,extend")
        [_, released_after] = released("settle,read")
    [ours_after] = ours("read")
    for case, found in same(ours_before, released_before).items():
        assert counts(found, "video/raw") == [0, 0, 0], case
        assert counts(found, "crop") == [1, 0, 0], case  # v5 is new; v2's audio does not concern crops
        assert counts(found, "both") == [1, 1, 1], case  # v2's audio counts here; v4 was deleted
        assert len(found["crop of the older version"]) == 3, case
    for case, found in same(ours_after, released_after).items():
        for key in ("video/raw", "crop", "frame", "speaker", "both"):
            assert counts(found, key) == [0, 0, 0], f"{case}: {key}"


def test_tables_have_the_same_physical_types(pythons: dict[str, Path], written: dict[str, Path]) -> None:
    [ours], [released] = (run(pythons["ours"], "types", root) for root in written.values())
    assert ours.keys() == released.keys()
    for kind, tables in released.items():
        for key, columns in tables.items():
            stray = {name for name in ALSO_THEIRS if name in columns and key == "both"}
            expected = {name: dtype for name, dtype in columns.items() if name not in stray}
            assert ours[kind][key] == expected, f"{kind}: {key}"


@pytest.mark.parametrize("writer", ["ours", "released"])
def test_both_packages_read_maps(writer: str, released_python_with_maps: Path, tmp_path: Path) -> None:
    """Versions by field may be kept as maps; the released package cannot do that beside Polars 2."""
    pythons = {"ours": Path(sys.executable), "released": released_python_with_maps}
    root = tmp_path / "tables"
    found: dict[str, Any] = {}
    for name in sorted(pythons, key=writer.__ne__):  # who writes is the first
        *_, found[name] = run(pythons[name], "write,read" if name == writer else "read", root, "maps")
    for case, answers in same(**found).items():
        assert [counts(answers, key) for key in ("video/raw", "crop")] == [[0, 0, 0], [1, 0, 0]], case
