"""`mx demo`: see Metaxy work on small real files."""

from pathlib import Path

from rich.console import Console

from metaxy.demo.project import StoreType
from metaxy.demo.story import run_demo


def demo(path: Path = Path("metaxy-demo"), *, store: StoreType = "duckdb", fresh: bool = False) -> None:
    """Write a small project with real media files, change things, and show what is computed again.

    Running it again goes on with what is there.

    Args:
        path: The folder of the project.
        store: Where the metadata is kept.
        fresh: Delete the folder of an earlier demo first.
    """
    run_demo(path, store, fresh, Console())
