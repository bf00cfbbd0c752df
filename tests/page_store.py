"""The store that a page of the documentation builds, with the code that stands there."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from metaxy.store.store import MetadataStore

PAGE = Path(__file__).parents[1] / "docs" / "table-format.md"
NAME = "docs_table_format"


def source() -> str:
    """Return the first block of code of the page."""
    found = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def store_class() -> Callable[..., MetadataStore]:
    """Return the class, in a module of its own, as if the page were one."""
    if NAME not in sys.modules:
        module = sys.modules[NAME] = ModuleType(NAME)
        exec(compile(source(), str(PAGE), "exec"), module.__dict__)
    found: Callable[..., MetadataStore] = sys.modules[NAME].__dict__["ParquetStore"]
    return found
