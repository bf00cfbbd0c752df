"""Tables of the released metaxy 0.1.11 are ours, and ours are its: the same project runs under both."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent / "project.py"


def run(python: Path, command: str, root: Path) -> Any:
    done = subprocess.run(
        [python, PROJECT, command, root], capture_output=True, text=True, check=False, cwd=root.parent, env={"PATH": ""}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout) if done.stdout else None


@pytest.mark.parametrize("writer", ["ours", "released"])
def test_both_packages_read_the_same(writer: str, released_python: Path, tmp_path: Path) -> None:
    pythons = {"ours": Path(sys.executable), "released": released_python}
    root = tmp_path / "tables"
    run(pythons[writer], "write", root)
    ours, theirs = (run(python, "read", root) for python in pythons.values())
    assert ours == theirs
    new, stale, orphaned = ours["crop update"]
    assert [len(new), len(stale), len(orphaned)] == [1, 0, 0]  # v5 is new; v2 changed its audio, which crops do not see
    new, stale, orphaned = ours["both update"]
    assert [len(new), len(stale), len(orphaned)] == [1, 1, 1]  # v2's audio counts here; v4 was deleted
