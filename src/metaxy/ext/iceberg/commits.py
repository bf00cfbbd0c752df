"""Commits to Iceberg that have all rows, or are not made."""

from typing import Any

import polars as pl
from pyiceberg.catalog import Catalog
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.update import AddSnapshotUpdate, TableRequirement, TableUpdate

from metaxy.errors import StoreConnectionError


def sink_whole(rows: pl.LazyFrame, table: Table, height: int, **options: Any) -> None:
    """Write rows to a table in one commit, with what `polars.LazyFrame.sink_iceberg` takes.

    When a source of rows fails, Polars may commit those that it has written before it says so.

    Args:
        rows: what to write.
        table: where to.
        height: how many rows these are.
        options: what Polars must know besides.

    Raises:
        StoreConnectionError: if some of the rows were not written, so that nothing is committed.
    """
    catalog: Any = WholeCommits(table.catalog, height)
    whole = Table(table.name(), table.metadata, table.metadata_location, table.io, catalog, table.config)
    rows.sink_iceberg(whole, **options)


class WholeCommits:
    """A catalog that makes no commit unless it adds a number of rows."""

    def __init__(self, catalog: Catalog, height: int) -> None:
        self._catalog = catalog
        self._height = height

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit, if all rows are there."""
        summaries = [update.snapshot.summary for update in updates if isinstance(update, AddSnapshotUpdate)]
        added = sum(int(summary["added-records"] or 0) for summary in summaries if summary)
        if added != self._height:
            raise StoreConnectionError(
                f"only {added} of {self._height} rows could be written to {'.'.join(table.name())}; nothing is stored"
            )
        return self._catalog.commit_table(table, requirements, updates)
