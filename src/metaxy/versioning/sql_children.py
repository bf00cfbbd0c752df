"""Expansions in SQL: the children that a feature has of each parent, as one row to compare, and those that are lost.

A parent is ``here`` if a child lives. ``low`` and ``high`` differ from what is expected, or ``stale`` is set, as soon
as one child disagrees. A parent that was computed to no children counts with the provenance that its marker recorded.
"""

from collections.abc import Sequence
from typing import Final

from metaxy.columns import METAXY_DELETED_AT, METAXY_PROVENANCE
from metaxy.versioning.dialect import Dialect
from metaxy.versioning.latest import last_event
from metaxy.versioning.recipe import BEGUN, DRIFTED, ORPHANED, STALE, WRITTEN, Current
from metaxy.versioning.sources import Source

IS_LOST: Final = f"status = {ORPHANED} OR (kept = 1 AND own <> p)"


def child_columns(current: Current, source: Source, dialect: Dialect) -> list[str]:
    """Write what is needed of each stored row, deleted ones too: they say what happened to a parent last."""
    name = {
        column: f"mx_t.{dialect.quote(column)}" for column in (*source.columns, source.keep, source.stale) if column
    }
    deleted, provenance = name.get(METAXY_DELETED_AT), name[METAXY_PROVENANCE]
    lives = " AND ".join(filter(None, [deleted and f"{deleted} IS NULL", source.keep and name[source.keep]]))
    marked = " AND ".join(f"{name[own]} IS NULL" for own in current.own) if deleted else ""
    mark = f"CASE WHEN {marked} AND {deleted} IS NOT NULL THEN {provenance} END" if marked else dialect.null_text
    stale = f"coalesce({name[source.stale]}, FALSE)" if source.stale else "FALSE"
    return [
        *(f"{name[key]} AS c{n}" for n, key in enumerate(current.keys)),
        f"{provenance} AS own",
        f"{stale} AS stale",
        f"CASE WHEN {lives or 'TRUE'} THEN 1 ELSE 0 END AS live",
        f"{mark} AS mark",
        f"{last_event(source, dialect, 'mx_t') or dialect.timestamp(None)} AS event",
    ]


def with_older(rows: str, same: str, differ: Sequence[str]) -> str:
    """Write all children, and which of those that live have a column ``older`` than their parents'."""
    older = f"CASE WHEN mx_s.live = 1 AND ({' OR '.join(differ)}) THEN 1 ELSE 0 END AS older"
    return f"SELECT mx_s.*, {older}\n  FROM {rows} AS mx_s LEFT JOIN expected AS mx_e ON {same}"


def _state(dialect: Dialect, over: str = "", *, copies: bool = False) -> tuple[list[str], str]:
    """Write what the children of a parent come to, by groups or windows; and whether it was computed at all."""
    mark, here = f"max(mx_r.mark){over}", f"max(mx_r.live){over}"
    begun = f"mx_r.mark = {dialect.literal(BEGUN)}"
    disagrees = f"mx_r.live = 1 AND (mx_r.stale OR mx_r.own IS NULL) OR {begun}"
    own = "CASE WHEN mx_r.live = 1 THEN mx_r.own END"
    columns = [
        f"coalesce(min({own}){over}, {mark}) AS low",
        f"coalesce(max({own}){over}, {mark}) AS high",
        f"(max(CASE WHEN {disagrees} THEN 1 ELSE 0 END){over}) = 1 AS stale",
        f"{here} AS here",
        *([f"max(mx_r.older){over} AS behind"] if copies else []),
    ]
    last = f"max(CASE WHEN mx_r.mark IS NOT NULL THEN mx_r.event END){over} >= max(mx_r.event){over}"
    some = ", ".join(map(dialect.literal, (BEGUN, WRITTEN)))
    return columns, f"({here} = 1 OR ({mark} NOT IN ({some}) AND {last}))"


# -- rows that have an id: parents are compared, and children looked up where they are lost ---------------------------


def parents(keys: Sequence[str], dialect: Dialect, *, copies: bool) -> str:
    """Write one row per parent that was computed."""
    names = ", ".join(f"mx_r.{key}" for key in keys)
    columns, computed = _state(dialect, copies=copies)
    select = ", ".join([*(f"mx_r.{key} AS {key}" for key in keys), *columns])
    return f"SELECT {select} FROM stored_rows AS mx_r\n  GROUP BY {names} HAVING {computed}"


def lost_parents(changed: str, keys: Sequence[str]) -> str:
    """Write the parents that are gone, and those whose children differ, with the one provenance that is expected."""
    names, differ = ", ".join(keys), f"status = {STALE} AND low <> high"
    return (
        f"SELECT {names}, min(status) AS status, min(p) AS p FROM {changed}"
        f" WHERE status = {ORPHANED} OR ({differ}) GROUP BY {names} HAVING count(DISTINCT p) < 2"
    )


def children_of_lost(keys: Sequence[str], dialect: Dialect) -> str:
    """Write the children that live of these parents; ``kept``: one of them carries the provenance that is expected."""
    same = dialect.equal((f"mx_r.{key}", f"mx_l.{key}") for key in keys)
    partition = ", ".join(f"mx_r.{key}" for key in keys)
    kept = f"max(CASE WHEN mx_r.own = mx_l.p THEN 1 ELSE 0 END) OVER (PARTITION BY {partition}) AS kept"
    return (
        f"SELECT mx_r.rc AS rc, mx_r.own AS own, mx_l.p AS p, mx_l.status AS status, {kept}"
        f" FROM lost_parents AS mx_l JOIN stored_rows AS mx_r ON {same} WHERE mx_r.live = 1"
    )


# -- rows that have none: all children are compared, each with what is known of its parent -----------------------------


def each_with_its_parent(keys: Sequence[str], payload: Sequence[str], dialect: Dialect, *, copies: bool) -> str:
    """Write each child with the state of its parent; the first one of a parent lives, if any does."""
    partition = f"PARTITION BY {', '.join(f'mx_r.{key}' for key in keys)}"
    columns, computed = _state(dialect, f" OVER ({partition})", copies=copies)
    first = f"row_number() OVER ({partition} ORDER BY mx_r.live DESC) AS mx_n"
    kept = [f"mx_r.{name} AS {name}" for name in (*keys, "own", "live", *payload)]
    return f"SELECT {', '.join([*kept, *columns, f'{computed} AS computed', first])} FROM children AS mx_r"


def judged(changed: str, keys: Sequence[str], *, repeats: bool) -> str:
    """Write the changed rows, and which children are lost: none where several provenances are expected of a parent."""
    over = f"OVER (PARTITION BY {', '.join(f'mx_j.{key}' for key in keys)})"
    kept = f"max(CASE WHEN mx_j.live = 1 AND mx_j.own = mx_j.p THEN 1 ELSE 0 END) {over} = 1"
    once = "1"
    if repeats:
        kept += f" AND min(mx_j.p) {over} = max(mx_j.p) {over}"
        once = f"row_number() OVER (PARTITION BY {', '.join(f'mx_j.{key}' for key in (*keys, 'mx_n'))} ORDER BY mx_j.p)"
    return f"SELECT mx_j.*, {kept} AS kept, {once} AS mx_m FROM {changed} AS mx_j"


def parted(rows: str, columns: Sequence[str], *, drifts: bool) -> str:
    """Write each sample once, and once more each child that is lost; where a parent drifts, its children instead."""
    shown = ", ".join(f"mx_j.{column} AS {column}" for column in dict.fromkeys(columns))
    first = "mx_parts.mx_part = 1"
    kinds = [f"{first} AND mx_j.status <> {ORPHANED} AND coalesce(mx_j.mx_n, 1) = 1"]
    if drifts:
        kinds = [f"{kinds[0]} AND mx_j.status <> {DRIFTED}", f"{first} AND mx_j.status = {DRIFTED} AND mx_j.older = 1"]
    lost = f"mx_j.status = {ORPHANED} OR (mx_j.status = {STALE} AND mx_j.kept AND mx_j.own <> mx_j.p)"
    kinds.append(f"mx_parts.mx_part = 2 AND mx_j.live = 1 AND mx_j.mx_m = 1 AND ({lost})")
    return (
        f"SELECT CASE WHEN mx_parts.mx_part = 1 THEN mx_j.status ELSE {ORPHANED} END AS status, {shown}"
        f" FROM {rows} AS mx_j CROSS JOIN (SELECT 1 AS mx_part UNION ALL SELECT 2 AS mx_part) AS mx_parts"
        f" WHERE {' OR '.join(f'({kind})' for kind in kinds)}"
    )
