"""Graphs that the released metaxy 0.1.11 pushed can be loaded here, and ours there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "snapshots.py"


def run(python: Path, *arguments: str | Path) -> Any:
    done = subprocess.run(
        [python, SCRIPT, *arguments], capture_output=True, text=True, check=False, cwd=SCRIPT.parent, env={"PATH": ""}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("pusher", ["ours", "released"])
def test_both_packages_load_the_same_graph(pusher: str, released_python: Path, tmp_path: Path) -> None:
    pythons = {"ours": Path(sys.executable), "released": released_python}
    root = tmp_path / "tables"
    version = run(pythons[pusher], "push", root)
    ours, theirs = (run(python, "load", root, version) for python in pythons.values())
    assert ours == theirs
    assert len(ours["versions"]) == 5
    assert (ours["counts"], ours["tags"]) == ([5], ["test"])
