"""From `resolve_update` to the SQL and back: how many files and calls a newcomer has to follow."""

import sys
from collections import Counter
from types import FrameType

from tests.architecture.tree import SOURCE
from tests.factory import define, rows

from metaxy.config import MetaxyConfig
from metaxy.ext.duckdb import DuckDBMetadataStore

FILES = 15
CALLS = 250


def test_an_update_passes_few_files_and_calls() -> None:
    define("video", fields=["audio", "frames"])
    define("crop", "video", fields=["audio", "frames"])
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(SOURCE)):
            calls[frame.f_code.co_filename.removeprefix(str(SOURCE))] += 1

    with MetaxyConfig(auto_create_tables=True).use(), DuckDBMetadataStore(":memory:").open("w") as store:
        store.write("video", rows({"audio": "1", "frames": "2"}, id=["a"]))
        store.write("crop", store.resolve_update("crop").new)
        store.write("video", rows({"audio": "1", "frames": "2"}, id=["b"]))
        store.resolve_update("crop")
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            increment = store.resolve_update("crop")
        finally:
            sys.setprofile(before)
    assert len(increment.new) == 1
    assert len(calls) <= FILES, "\n".join(sorted(calls))
    assert sum(calls.values()) <= CALLS, calls.most_common()
