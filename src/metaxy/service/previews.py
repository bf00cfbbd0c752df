"""Previews of a project: stores over other ones, for a branch of the code, and their end."""

from collections.abc import Sequence
from dataclasses import dataclass

from metaxy.service.project import Project
from metaxy.store.previews import preview_tables, remove


@dataclass(frozen=True)
class Cleaned:
    """The tables that were removed from a preview, or would be, and what messages call its store."""

    store: str
    tables: Sequence[str]


def clean(project: Project, store: str, *, dry_run: bool = False) -> Cleaned:
    """Remove all tables that a preview has itself; the stores below it are not touched.

    Features of the project and those that the preview recorded go, with its history. What keeps the tables, such as a
    file or a schema, stays.

    Raises:
        RequestError: if the store is no preview, or is one that lies below it by another address.
    """
    opened = project.store(store)
    with opened.open("r" if dry_run else "w"), project.graph.use():
        tables = list(preview_tables(opened, opened.session.scope("r")))
        if not dry_run:
            remove(opened, tables)
    return Cleaned(repr(opened), list(map(str, tables)))
