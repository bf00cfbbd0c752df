"""Latest rows: the one total order, and the SQL that picks them.

Order of a sample's rows: time of its last event (delete or write), last write, first write, data version, provenance;
newest first, NULLs last, text by bytes. The order in which rows were inserted plays no part.
"""

from dataclasses import dataclass, replace

from metaxy.columns import (
    METAXY_CREATED_AT,
    METAXY_DATA_VERSION,
    METAXY_DELETED_AT,
    METAXY_PROVENANCE,
    METAXY_UPDATED_AT,
)
from metaxy.versioning.dialect import Dialect, as_cte
from metaxy.versioning.recipe import Latest
from metaxy.versioning.sources import Source

TIME_ORDER = (METAXY_UPDATED_AT, METAXY_CREATED_AT)
TEXT_ORDER = (METAXY_DATA_VERSION, METAXY_PROVENANCE)


@dataclass(frozen=True)
class LatestRows:
    """Rows that count: what follows FROM, where ``mx_t`` is the source, and the conditions that follow WHERE."""

    from_: str
    where: tuple[str, ...]

    def select(self, columns: list[str]) -> str:
        """Write a query over the picked rows."""
        where = f"\n  WHERE {' AND '.join(self.where)}" if self.where else ""
        return f"SELECT {', '.join(columns)}\n  FROM {self.from_}{where}"


def order_by(source: Source, dialect: Dialect, table: str) -> str:
    """Write the total order, over those of its columns that the table has."""
    name = {column: f"{table}.{dialect.quote(column)}" for column in source.columns}
    times = [name[c] for c in TIME_ORDER if c in name]
    texts = [dialect.byte_order.format(name[c]) for c in TEXT_ORDER if c in name]
    event = last_event(source, dialect, table)
    return ", ".join(f"{term} DESC NULLS LAST" for term in [*([event] if event else []), *times, *texts]) or "1"


def last_event(source: Source, dialect: Dialect, table: str) -> str | None:
    """Write the time of a row's last event, which comes first in the order; None if the table has no such times."""
    events = [f"{table}.{dialect.quote(c)}" for c in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if c in source.columns]
    return f"coalesce({', '.join(events)})" if len(events) > 1 else next(iter(events), None)


def pick(source: Source, latest: Latest, dialect: Dialect, prefix: str) -> tuple[list[str], LatestRows]:
    """Write the steps that pick the rows that count; ``prefix`` keeps the names of several inputs apart.

    Returns: CTEs, and the rows they lead to.
    """
    ctes, picked = _pick(source, latest, dialect, prefix)
    return ctes, replace(picked, from_=dialect.many.format(picked.from_))


def _pick(source: Source, latest: Latest, dialect: Dialect, prefix: str) -> tuple[list[str], LatestRows]:
    version = []
    if latest.feature_version is not None:
        version = [f"mx_t.{dialect.quote(latest.version_column)} = {dialect.literal(latest.feature_version)}"]
    after = []
    if not latest.include_deleted and METAXY_DELETED_AT in source.columns:
        after.append(f"mx_t.{dialect.quote(METAXY_DELETED_AT)} IS NULL")
    if source.keep:
        after.append(f"mx_t.{dialect.quote(source.keep)}")
    if not latest.one_per_sample:
        return [], LatestRows(f"{source.sql} AS mx_t", (*version, *after))
    if source.row_id:
        pick_rows = _pick_from_ends if source.deep else _pick_by_row_id if dialect.hash_joins else _pick_by_hiding
        return pick_rows(source, latest, dialect, prefix, version, after)
    return _pick_by_window(source, latest, dialect, version, after)


def _pick_by_window(
    source: Source, latest: Latest, dialect: Dialect, version: list[str], after: list[str]
) -> tuple[list[str], LatestRows]:
    where = _where(version)
    if dialect.first_of_each:
        first = dialect.first_of_each.format(dialect.names(latest.ids, "mx_t"), order_by(source, dialect, "mx_t"))
        return [], LatestRows(f"(SELECT mx_t.* FROM {source.sql} AS mx_t{where} {first}) AS mx_t", tuple(after))
    inner = (
        f"(SELECT mx_t.*, {_number(source, latest, dialect)} AS __metaxy_n FROM {source.sql} AS mx_t{where}) AS mx_t"
    )
    return [], LatestRows(inner, ("mx_t.__metaxy_n = 1", *after))


def _pick_by_row_id(
    source: Source, latest: Latest, dialect: Dialect, prefix: str, version: list[str], after: list[str]
) -> tuple[list[str], LatestRows]:
    """Order only the samples that have several rows, and by all of the order only those with equally late ones."""
    ids, row, table = dialect.names(latest.ids, "mx_t"), f"mx_t.{source.row_id}", f"{source.sql} AS mx_t"
    where = _where(version)
    repeated, tied, best = f"{prefix}_repeated", f"{prefix}_tied", f"{prefix}_best"
    same = _same_sample(latest, dialect, "mx_t")
    event = last_event(source, dialect, "mx_t") or dialect.null_text  # without it, all are equally late
    as_late = dialect.equal([("mx_b.__metaxy_event", event)])
    other = f"NOT ({dialect.equal([('mx_b.__metaxy_row', row)])})"
    newest = f"max({event}) AS __metaxy_event, {dialect.row_of_max.format(row, event)} AS __metaxy_row"
    late = f"{dialect.names(latest.ids, 'mx_a')}, mx_a.__metaxy_row FROM {repeated} AS mx_a"
    steps = {
        repeated: f"SELECT {ids}, {newest} FROM {table}{where} GROUP BY {ids} HAVING count(*) > 1",
        tied: f"SELECT {ids} FROM {table} JOIN {repeated} AS mx_b ON {same} AND {as_late} AND {other}{where}",
        best: f"SELECT {late} ANTI JOIN {tied} AS mx_b ON {_same_sample(latest, dialect, 'mx_a')}\n  UNION ALL"
        f" SELECT {dialect.names(latest.ids)}, __metaxy_row FROM {_first_of(tied, source, latest, dialect, where)}",
    }
    ctes = [as_cte(name, body, dialect, materialized=True) for name, body in steps.items()]
    from_ = f"{table} LEFT JOIN {best} AS mx_b ON {same}"
    return ctes, LatestRows(from_, (*version, f"(mx_b.__metaxy_row IS NULL OR mx_b.__metaxy_row = {row})", *after))


def _pick_by_hiding(
    source: Source, latest: Latest, dialect: Dialect, prefix: str, version: list[str], after: list[str]
) -> tuple[list[str], LatestRows]:
    """Order only the samples that have several rows, and hide all of their rows but the first."""
    ids, row, table = dialect.names(latest.ids, "mx_t"), f"mx_t.{source.row_id}", f"{source.sql} AS mx_t"
    repeated, hidden = f"{prefix}_repeated", f"{prefix}_hidden"
    nulls = [f"mx_t.{dialect.quote(i)} IS NULL" for i in latest.ids]  # which are in no list
    among = f"({' OR '.join([f'({ids}) IN (SELECT {dialect.names(latest.ids)} FROM {repeated})', *nulls])})"
    number = _number(source, latest, dialect)
    numbered = f"SELECT {row} AS __metaxy_row, {number} AS __metaxy_n FROM {table}{_where([*version, among])}"
    steps = {
        repeated: f"SELECT {ids} FROM {table}{_where(version)} GROUP BY {ids} HAVING count(*) > 1",
        hidden: f"SELECT __metaxy_row FROM ({numbered}) WHERE __metaxy_n > 1",
    }
    ctes = [as_cte(name, body, dialect, materialized=True) for name, body in steps.items()]
    return ctes, LatestRows(table, (*version, f"{row} NOT IN (SELECT __metaxy_row FROM {hidden})", *after))


def _pick_from_ends(
    source: Source, latest: Latest, dialect: Dialect, prefix: str, version: list[str], after: list[str]
) -> tuple[list[str], LatestRows]:
    """Find the first and the last of the latest rows of each sample by one number; order samples where they differ."""
    ids, row, table = dialect.names(latest.ids, "mx_t"), f"mx_t.{source.row_id}", f"{source.sql} AS mx_t"
    where = _where(version)
    ends, tied, best = f"{prefix}_ends", f"{prefix}_tied", f"{prefix}_best"
    time = (dialect.wide_time or "").format(last_event(source, dialect, "mx_t"))
    last = f"{dialect.row_of_wide.format('hi')} AS __metaxy_row FROM {ends} WHERE hi - lo"
    twice = f"2 * {dialect.row_of_wide.format('hi')}"  # what lies between the ends of one row
    steps = {
        ends: f"SELECT max(mx_time + mx_row) AS hi, max(mx_time - mx_row) AS lo FROM"
        f" (SELECT {ids}, {row} AS mx_row, {time} AS mx_time FROM {table}{where}) AS mx_t GROUP BY {ids}",
        tied: f"SELECT {ids} FROM {table} SEMI JOIN (SELECT {last} <> {twice}) AS mx_b ON mx_b.__metaxy_row = {row}",
        best: f"SELECT {last} = {twice}\n  UNION ALL"
        f" SELECT __metaxy_row FROM {_first_of(tied, source, latest, dialect, where)}",
    }
    ctes = [as_cte(name, body, dialect, materialized=True) for name, body in steps.items()]
    return ctes, LatestRows(f"{table} SEMI JOIN {best} AS mx_b ON mx_b.__metaxy_row = {row}", (*version, *after))


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _number(source: Source, latest: Latest, dialect: Dialect) -> str:
    """Number the rows of each sample in the total order."""
    ids, order = dialect.names(latest.ids, "mx_t"), order_by(source, dialect, "mx_t")
    return f"row_number() OVER (PARTITION BY {ids} ORDER BY {order})"


def _same_sample(latest: Latest, dialect: Dialect, table: str) -> str:
    return dialect.equal((f"mx_b.{dialect.quote(i)}", f"{table}.{dialect.quote(i)}") for i in latest.ids)


def _first_of(samples: str, source: Source, latest: Latest, dialect: Dialect, where: str) -> str:
    """Write what follows FROM to have the IDs and the first ``__metaxy_row`` of some samples in the total order."""
    columns = f"{dialect.names(latest.ids, 'mx_t')}, mx_t.{source.row_id} AS __metaxy_row"
    rows = f"{source.sql} AS mx_t SEMI JOIN {samples} AS mx_b ON {_same_sample(latest, dialect, 'mx_t')}{where}"
    return f"(SELECT {columns}, {_number(source, latest, dialect)} AS __metaxy_n FROM {rows}) WHERE __metaxy_n = 1"
