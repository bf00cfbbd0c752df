"""Delta tables on disk that lost a part: delta-rs reads what is left as if it were all, Polars panics."""

import re
from pathlib import Path

from deltalake import DeltaTable

from metaxy.storage.damage import damaged, refuse_short_files, size_of

LOG = "_delta_log"
COMMITS = f"{LOG}/*.json"
LEAST = len('{"txn":{}}')  # bytes of a commit: what is shorter says nothing
DATA = "**/part-*.parquet"  # as all writers of Delta call them
VERSION = re.compile(r"\d{20}\.(json|checkpoint\.([\w.-]+\.)?parquet)")  # and not the names while they are written


def refuse_empty_commits(table: Path) -> None:
    """Refuse a log with commits that have no content, as power cuts leave them; delta-rs takes them for no changes.

    Raises:
        StoreConnectionError: naming the first.
    """
    sizes = {file.name: size_of(file) for file in (table / LOG).iterdir() if VERSION.fullmatch(file.name)}
    known = max((name for name in sizes if ".checkpoint" in name), default="")  # holds all until its version
    for name in sorted(sizes):
        size = sizes[name]  # None if another process has just removed it
        if size is not None and size < LEAST and (name[:20] > known[:20] or ".checkpoint" in name):
            raise damaged(f"{table}/{LOG}/{name} is empty, and what it said of the table is lost")


def refuse_short_data(table: DeltaTable, folder: Path) -> None:
    """Refuse a version of a table whose files are not as they were written.

    Raises:
        StoreConnectionError: naming the first.
    """
    sizes = table._table.get_add_file_sizes()
    refuse_short_files(f"{folder}/", {name: size for name, size in sizes.items() if "://" not in name})
