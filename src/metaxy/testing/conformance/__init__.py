"""The conformance kit: what every store must do, as tests that run on yours.

A class in one of your test modules is all that it needs; ``docs/table-format.md`` shows it at work:

    class TestParquetStore(StoreConformance):
        @pytest.fixture
        def make_store(self):
            return ParquetStore  # called with a folder, and with options of `MetadataStore`

Nothing runs in pytest for those who do not import this module, and it needs only what the extra ``testing`` has.
"""

import pytest

# Before the modules are imported: only then do their assertions show what they compared.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            *("port", "tables", "evolution", "updates"),
            *("columns", "deleting", "names", "reading", "resolving", "threads"),
        )
    )
)

from metaxy.testing.conformance.case import StoreCase, StoreFactory  # noqa: E402
from metaxy.testing.conformance.columns import Columns, sample_columns  # noqa: E402
from metaxy.testing.conformance.deleting import Deleting  # noqa: E402
from metaxy.testing.conformance.evolution import Evolution  # noqa: E402
from metaxy.testing.conformance.names import Names  # noqa: E402
from metaxy.testing.conformance.port import Port  # noqa: E402
from metaxy.testing.conformance.reading import Reading  # noqa: E402
from metaxy.testing.conformance.resolving import Resolving  # noqa: E402
from metaxy.testing.conformance.tables import Tables  # noqa: E402
from metaxy.testing.conformance.threads import Threads  # noqa: E402
from metaxy.testing.conformance.updates import Updates  # noqa: E402

__all__ = ["EngineConformance", "StorageConformance", "StoreCase", "StoreConformance", "StoreFactory", "sample_columns"]


class StorageConformance(Port, Tables, Evolution, Updates):
    """What the storage decides: tables are made, grow, are read, lose rows and are gone, and every verb works on them.

    It is part of `StoreConformance`; use it alone for another place of a store that has passed that, such as a bucket.
    """


class EngineConformance(Columns, Deleting, Names, Reading, Resolving, Threads):
    """What the engine and its types decide: which rows count, conditions, NULLs, odd names and values, threads."""


class StoreConformance(StorageConformance, EngineConformance):
    """All that a store must do; see `StoreCase` for what a subclass must and may say."""
