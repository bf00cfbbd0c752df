"""Tables beside the columns that the class of their feature declares, and columns that were renamed in code only."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import narwhals as nw

from metaxy.columns import METAXY_DELETED_AT, METAXY_UPDATED_AT, STRAY_COLUMNS, is_system_column
from metaxy.definitions.definition import FeatureDefinition
from metaxy.storage.port import Scan
from metaxy.store.declared import declared_among, missing
from metaxy.store.parts import StoreParts
from metaxy.store.reading import MOMENT, StoredTable, find_or_none, readable
from metaxy.versioning.declared_types import misfit
from metaxy.versioning.engine import View
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.versioning.recipe import Latest
from metaxy.wording import command


def table_problems(store: StoreParts, definition: FeatureDefinition) -> list[str]:
    """Compare the table that a feature has in a store, which must be open, with what its class declares.

    Returns what does not fit: columns that the table lacks, columns of other types, and columns that are NULL since
    another one came in their place. Rows are counted only where the table has columns that are not declared, as a
    renamed column leaves one behind.
    """
    if not definition.declared_columns:
        return []
    found = find_or_none(store, definition.key, allow_fallback=False)
    if found is None:
        return []
    scan = found.scan
    with readable(f"feature {definition.key}"):
        renamed = _renamed(store, definition, found)
        return [*missing(definition, scan.schema), *_misfits(definition, scan), *renamed]


def _misfits(definition: FeatureDefinition, scan: Scan) -> Iterator[str]:
    for name, column in declared_among(definition, scan.schema).items():
        found = None if name in scan.documents else misfit(name, column.annotation, scan.schema[name])
        if found is not None:
            yield str(found)


class Use(NamedTuple):
    """When a column first and last got a value, and how many rows have one."""

    first: datetime | None
    last: datetime | None
    rows: int


def _renamed(store: StoreParts, definition: FeatureDefinition, found: StoredTable) -> Iterator[str]:
    """Find columns that have no value from the write on that brought another one of their type, here undeclared."""
    scan, others = found.scan, {*definition.spec.id_columns, *STRAY_COLUMNS}
    names = [name for name in scan.schema if not is_system_column(name) and name not in others]
    undeclared = set(names) - declared_among(definition, scan.schema).keys()
    if not undeclared or METAXY_UPDATED_AT not in scan.schema:
        return
    rows = scan.frame.filter(nw.col(METAXY_DELETED_AT).is_null()) if METAXY_DELETED_AT in scan.schema else scan.frame
    uses, free = _uses(rows, names), list(names)
    for old in sorted(names, key=lambda name: -uses[name].rows):  # what few rows have is rather NULL by chance
        like = [new for new in free if {old, new} & undeclared and scan.schema[old] == scan.schema[new]]
        for new in like:
            if _follows(rows, uses[old], uses[new]) and (left := _left(found, definition, old)):
                free.remove(new)
                rename = command("metadata", "rename-column", str(definition.key), old, new, store=store.name)
                yield f"{old!r} is NULL since {new!r} came ({left} samples have only it): if renamed, run {rename}"
                break


def _follows(rows: nw.LazyFrame[Any], old: Use, new: Use) -> bool:
    """Return whether a column got its first value in the write after the one that gave another its last."""
    if old.last is None or new.first is None or old.last >= new.first:
        return False
    written = nw.col(METAXY_UPDATED_AT).cast(MOMENT)
    between = (written > nw.lit(old.last).cast(MOMENT)) & (written < nw.lit(new.first).cast(MOMENT))
    return collect_to_polars(rows.filter(between).select(METAXY_UPDATED_AT).head(1)).is_empty()


def _left(found: StoredTable, definition: FeatureDefinition, old: str) -> int:
    """Count the samples whose newest row has a value in a column: none once it was renamed, or all are anew."""
    latest = Latest(tuple(definition.spec.id_columns), None)
    rows = found.engine.latest(found.rows(latest.ids), latest, [*latest.ids, old], View())
    return count_lazy_rows(rows.filter(~nw.col(old).is_null()))


def _uses(rows: nw.LazyFrame[Any], names: list[str]) -> Mapping[str, Use]:
    """Count all columns of a table at once."""
    counts: dict[str, nw.Expr] = {}
    for n, name in enumerate(names):
        written = nw.when(~nw.col(name).is_null()).then(nw.col(METAXY_UPDATED_AT))
        counts |= {f"first_{n}": written.min(), f"last_{n}": written.max(), f"rows_{n}": nw.col(name).count()}
    found: dict[str, Any] = collect_to_polars(rows.select(**counts)).row(0, named=True)
    return {name: Use(found[f"first_{n}"], found[f"last_{n}"], found[f"rows_{n}"]) for n, name in enumerate(names)}
