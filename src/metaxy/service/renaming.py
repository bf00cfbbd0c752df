"""Renamed features, and tables of features that are no more: list, show, drop, and take rows over to new keys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metaxy.errors import RequestError
from metaxy.service.maintenance import Outcome
from metaxy.service.project import Project, Track, feature_key
from metaxy.service.rows import Rows, shown
from metaxy.store.renaming import Renamed
from metaxy.store.request import as_filters
from metaxy.wording import did_you_mean

__all__ = ["Renamed", "Table", "drop", "named", "rename", "rename_column", "rows", "tables"]


@dataclass(frozen=True)
class Table:
    """The table of a feature that the project does not have: how many rows it holds, and when it was last written."""

    feature: str
    rows: int
    feature_versions: int
    last_write: datetime | None

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**vars(self), "last_write": self.last_write.isoformat() if self.last_write else None}


def tables(project: Project, *, store: str | None = None) -> list[Table]:
    """Return the tables of features that the graph of the project does not have, with counts of their rows."""
    with project.graph.use(), project.store(store) as opened:
        found = opened.unknown_tables()
    return [Table(str(each.key), each.rows, each.feature_versions, each.last_write) for each in found]


def rows(
    project: Project,
    feature: str,
    *,
    store: str | None = None,
    limit: int = 10,
    columns: Sequence[str] | None = None,
    system_columns: bool = False,
    filters: Sequence[str] = (),
) -> Rows:
    """Return rows of such a table, of all versions; by default without Metaxy's own columns.

    Raises:
        RequestError: if there is no such table.
    """
    wanted = as_filters(filters)
    [name] = _names(project, [feature], store, tables(project, store=store))
    with project.graph.use(), project.store(store) as opened:
        frame = opened.read(
            name,
            filters=wanted,
            columns=columns,
            with_feature_history=True,
            with_sample_history=True,
            allow_fallback=False,
        )
        return shown(frame, limit, all_columns=bool(columns) or system_columns)


def named(project: Project, features: Sequence[str], *, store: str | None = None) -> list[str]:
    """Return what such tables are called.

    Raises:
        RequestError: if there is no such table.
    """
    return _names(project, features, store, tables(project, store=store))


def drop(
    project: Project, features: Sequence[str], *, store: str | None = None, dry_run: bool = False, track: Track = iter
) -> Iterator[Outcome]:
    """Remove such tables, with all that is in them, one after the other.

    Raises:
        RequestError: if there is no such table.
    """
    there = tables(project, store=store)
    counts = {table.feature: table.rows for table in there}
    keys = [feature_key(name) for name in _names(project, features, store, there)]
    with project.graph.use(), project.store(store).open("r" if dry_run else "w") as opened:
        for key in track(keys):
            if not dry_run:
                opened.drop_feature_metadata(key)
            yield Outcome(str(key), counts[str(key)])


def _names(project: Project, features: Sequence[str], store: str | None, there: Sequence[Table]) -> list[str]:
    """Return what such tables are called, of those that are there, as the graph or a snapshot has it."""
    known = {feature_key(table.feature).table_name: table.feature for table in there}
    exact = {feature_key(table.feature): table.feature for table in there}
    names = []
    for key in map(feature_key, features):
        here = key in project.graph.feature_definitions_by_key
        name = exact.get(key, None if here else known.get(key.table_name))
        if name is None:
            message = f"{project.store_name(store)} has no table of a former feature {str(key)!r}."
            message += did_you_mean(str(key), known.values())
            hint = "the project has this feature: use `mx metadata show` or `drop`" if here else None
            hint = hint or (f"there are: {', '.join(known.values())}" if known else "there are none")
            raise RequestError("TABLE_NOT_FOUND", message, hint=hint)
        names.append(name)
    return list(dict.fromkeys(names))


def rename(
    project: Project,
    old: str | None = None,
    new: str | None = None,
    *,
    store: str | None = None,
    drop_old: bool = False,
    dry_run: bool = False,
) -> list[Renamed]:
    """Take rows over from an old key to the feature that has a new one, or to all features with ``renamed_from``.

    Raises:
        RequestError: if only one key is given, or no feature says ``renamed_from``.
    """
    if (old is None) != (new is None):
        raise RequestError("CONFLICTING_FLAGS", "name the old key and the new one, or neither", kind="request")
    with project.graph.use(), project.store(store).open("r" if dry_run else "w") as opened:
        if old is not None and new is not None:
            [key] = project.keys([new])
            return opened.rename_feature(feature_key(old), key, drop_old=drop_old, dry_run=dry_run)
        if not project.graph.has_renames:
            hint = 'say FeatureSpec(renamed_from="old/key"), or name both: mx metadata rename OLD NEW'
            raise RequestError("NOTHING_RENAMED", "no feature of the project says renamed_from", hint=hint)
        return opened.rename_features(drop_old=drop_old, dry_run=dry_run)


def rename_column(
    project: Project, feature: str, old: str, new: str, *, store: str | None = None, dry_run: bool = False
) -> int:
    """Give a column of a feature's table another name; nothing becomes stale. Returns how many rows have a value."""
    [key] = project.keys([feature])
    with project.graph.use(), project.store(store).open("r" if dry_run else "w") as opened:
        return opened.rename_column(key, old, new, dry_run=dry_run)
