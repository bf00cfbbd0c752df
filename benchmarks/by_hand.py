"""What someone would write by hand for one graph: SQL for databases, Polars for Delta, plain writes of finished rows.

The tables and the rows to write are made by this package first, so that they are the same for all contestants. Nothing
is checked here, nothing is escaped, and a NULL would go unnoticed: the point is how fast the same answer can be had.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import polars_hash  # noqa: F401 - registers the namespace `nchash`

import cases
import packages

INITIAL = "__metaxy_initial__"
FEATURE = "metaxy_feature_version"
TIME = "metaxy_updated_at"
BY_FIELD = "metaxy_data_version_by_field"


def texts(case: cases.Case) -> dict[str, list[tuple[str, str, str]]]:
    """Return for each field of the leaf what is hashed: literal text, then root and field whose version follows."""
    parts = sorted((f"{root}.{name}", root, name) for root, fields in case.roots.items() for name in fields)
    return {
        own: [
            (f"{f'{own}|{INITIAL}' if not n else ''}|{label}|", root, name)
            for n, (label, root, name) in enumerate(parts)
        ]
        for own in case.leaf
    }


class Finished:
    """Rows as this package would store them, made once and kept; and the versions of the features."""

    def __init__(self, case: cases.Case, engine: str, rows: int, folder: Path, url: str | None) -> None:
        self.case, self.engine, self.folder, self.url = case, engine, folder, url
        own = packages.Package(case, engine, rows, folder, url)
        self.versions = {key: _version(key) for key in case.features}
        own.write_root()
        own.fill()
        own.leaf = cases.computed(case, own.resolve())
        own.write_leaf()
        self.rows = {key: _stored(own, key) for key in case.features}
        own.change()
        self.changed = _stored(own, "video", since=self.rows["video"][TIME].max())
        own.close()


def _version(key: str) -> str:
    import metaxy as mx

    return str(mx.FeatureGraph.get_active().get_feature_version(key))


def _stored(package: packages.Package, key: str, since: Any = None) -> pl.DataFrame:
    frame: pl.DataFrame = (
        package.store.read(key, with_sample_history=True, with_feature_history=True).collect().to_polars()
    )
    return frame if since is None else frame.filter(pl.col(TIME) > since)


# -- DuckDB ------------------------------------------------------------------------------------------------------------


def window(table: str, version: str, columns: str, ids: str = "id") -> str:
    """Take the latest rows by a window over one key, which DuckDB turns into a maximum and a join on row ids."""
    return (
        f"SELECT {columns} FROM {table} WHERE {FEATURE} = '{version}'"
        f" QUALIFY row_number() OVER (PARTITION BY {ids} ORDER BY {TIME} DESC) = 1"
    )


def maximum(table: str, version: str, columns: str, ids: str = "id") -> str:
    """Take the latest rows by the row id that goes with the greatest time."""
    best = f"SELECT arg_max(rowid, {TIME}) FROM {table} WHERE {FEATURE} = '{version}' GROUP BY {ids}"
    return f"SELECT {columns} FROM {table} WHERE rowid IN ({best})"


def everything(table: str, version: str, columns: str, _ids: str = "id") -> str:
    """Take all rows, as if none were ever replaced: the floor, with wrong answers."""
    return f"SELECT {columns} FROM {table} WHERE {FEATURE} = '{version}'"


LATEST: dict[str, Callable[..., str]] = {"window": window, "maximum": maximum, "floor": everything}


def duckdb_update(case: cases.Case, versions: dict[str, str], latest: Callable[..., str], *, compare: bool) -> str:
    """Write the update of the leaf as one statement: latest rows, join, md5, FULL JOIN."""
    steps = [f"{root} AS ({latest(root, versions[root], '*')})" for root in case.roots]
    payload = [f"{root}.{root}_path, {root}.{root}_size" for root in case.roots]
    keys = ["id"]
    if case.lineage == "aggregation":
        fields = [
            f"left(md5(string_agg({BY_FIELD}.{name}, '|' ORDER BY id)), 16) AS {name}" for name in case.roots["video"]
        ]
        steps.append(
            f"grouped AS (SELECT owner, {', '.join(fields)} FROM video WHERE metaxy_deleted_at IS NULL GROUP BY owner)"
        )
        payload, keys = ["video.id", *payload], ["owner"]
    hashes = []
    for own, parts in texts(case).items():
        member = "grouped.{1}" if case.lineage == "aggregation" else "{0}." + BY_FIELD + ".{1}"
        text = " || ".join(f"'{literal}' || {member.format(root, name)}" for literal, root, name in parts)
        hashes.append(f'left(md5({text}), 16) AS "{own}"')
    alive = " AND ".join(f"{root}.metaxy_deleted_at IS NULL" for root in case.roots)
    joined = "video" + "".join(f" JOIN {root} USING (id)" for root in list(case.roots)[1:])
    joined += " JOIN grouped USING (owner)" if case.lineage == "aggregation" else ""
    key = keys[0]
    steps.append(f"fields AS (SELECT {key}, {', '.join([*payload, *hashes])} FROM {joined} WHERE {alive})")
    sample = " || '|' || ".join(f'"{name}"' for name in sorted(case.leaf))
    packed = ", ".join(f'"{name}" := "{name}"' for name in case.leaf)
    steps.append(f"expected AS (SELECT *, left(md5({sample}), 16) AS p, struct_pack({packed}) AS by_field FROM fields)")
    if not compare:
        return f"WITH {', '.join(steps)} SELECT 1 AS status, * FROM expected"
    ids = "id, part" if case.lineage == "expansion" else key
    stored = latest("leaf", versions["leaf"], "*", ids)
    steps.append(f"latest AS ({stored})")
    if case.lineage == "expansion":
        steps.append(f"stored AS (SELECT {key}, min(metaxy_provenance) AS p FROM latest GROUP BY {key})")
    else:
        steps.append(f"stored AS (SELECT {key}, metaxy_provenance AS p FROM latest)")
    status = f"CASE WHEN s.{key} IS NULL THEN 1 WHEN e.{key} IS NULL THEN 3 WHEN e.p IS DISTINCT FROM s.p THEN 2 END"
    return (
        f"WITH {', '.join(steps)} SELECT * FROM (SELECT {status} AS status, e.*, s.{key} AS stored"
        f" FROM expected e FULL JOIN stored s ON e.{key} = s.{key}) WHERE status IS NOT NULL"
    )


class DuckDB:
    """Statements by hand on a DuckDB file of their own; ``form`` says how latest rows are taken."""

    def __init__(self, form: str, finished: Finished) -> None:
        self.form, self.finished, self.case = LATEST[form], finished, finished.case
        self.connection = duckdb.connect(finished.folder / "by-hand.duckdb")
        self.connection.execute("SET TimeZone = 'UTC'")
        self.compare = False

    def close(self) -> None:
        self.connection.close()

    def _create(self, key: str, frame: pl.DataFrame) -> None:
        arrow = frame.to_arrow()  # noqa: F841 - named in the statement
        self.connection.execute(f"CREATE TABLE {key} AS SELECT * FROM arrow")

    def clear_roots(self) -> None:
        for root in self.case.roots:
            self.connection.execute(f"DROP TABLE IF EXISTS {root}")

    def write_root(self) -> None:
        self._create("video", self.finished.rows["video"])

    def fill(self) -> None:
        for root in list(self.case.roots)[1:]:
            self._create(root, self.finished.rows[root])

    def clear_leaf(self) -> None:
        self.connection.execute("DROP TABLE IF EXISTS leaf")

    def write_leaf(self) -> None:
        self._create("leaf", self.finished.rows["leaf"])
        self.compare = True

    def change(self) -> None:
        changed = self.finished.changed.to_arrow()  # noqa: F841 - named in the statement
        self.connection.execute("INSERT INTO video BY NAME SELECT * FROM changed")

    def resolve(self) -> Any:
        statement = duckdb_update(self.case, self.finished.versions, self.form, compare=self.compare)
        return self.connection.sql(statement).to_arrow_table()

    def outcome(self, result: Any) -> dict[str, Any]:
        return outcome(result)


def outcome(result: Any) -> dict[str, Any]:
    """Return what `Package.outcome` returns, for a table with a status."""
    frame = pl.DataFrame(result)
    counts = [frame.filter(pl.col("status") == status).height for status in (1, 2, 3)]
    changed = frame.filter(pl.col("status") < 3)
    return {"counts": counts, "provenance": packages.provenance(changed.select(metaxy_provenance="p"))}


# -- Polars on Delta ---------------------------------------------------------------------------------------------------


def sorted_first(rows: pl.LazyFrame, ids: list[str]) -> pl.LazyFrame:
    """Sort by one key, which is stable, and keep the first row of each sample."""
    return rows.sort(TIME, descending=True, maintain_order=True).unique(ids, keep="first", maintain_order=True)


def indexed(rows: pl.LazyFrame, ids: list[str]) -> pl.LazyFrame:
    """Take the row number that goes with the greatest time, and gather those rows."""
    frame = rows.collect()
    best = frame.lazy().with_row_index("row").group_by(ids).agg(pl.col("row").get(pl.col(TIME).arg_max()))
    return frame[best.select("row").collect().to_series()].lazy()


def repeated_only(rows: pl.LazyFrame, ids: list[str]) -> pl.LazyFrame:
    """Order only the samples that have several rows."""
    frame = rows.collect()
    repeated = frame.select(ids).is_duplicated()
    if not repeated.any():
        return frame.lazy()
    several = frame.filter(repeated).sort(TIME, descending=True).unique(ids, keep="first")
    return pl.concat([frame.filter(~repeated), several]).lazy()


POLARS = {"sort": sorted_first, "index": indexed, "repeated": repeated_only}


def hashed(text: pl.Expr) -> pl.Expr:
    """Hash as all contestants do on Delta."""
    digest: Any = text
    hexadecimal: pl.Expr = digest.nchash.xxhash32().cast(pl.String)
    return hexadecimal.str.slice(0, packages.HASHES["delta"][1])


class Delta:
    """Polars by hand on Delta tables of their own; ``form`` says how latest rows are taken."""

    def __init__(self, form: str, finished: Finished) -> None:
        self.form, self.finished, self.case = POLARS[form], finished, finished.case
        self.compare = False

    def close(self) -> None:
        """Nothing is open."""

    def path(self, key: str) -> Path:
        return self.finished.folder / "by-hand" / key

    def _remove(self, key: str) -> None:
        import shutil

        shutil.rmtree(self.path(key), ignore_errors=True)

    def clear_roots(self) -> None:
        for root in self.case.roots:
            self._remove(root)

    def _append(self, key: str, frame: pl.DataFrame) -> None:
        self.path(key).mkdir(parents=True, exist_ok=True)
        frame.write_delta(str(self.path(key)), mode="append")

    def write_root(self) -> None:
        self._append("video", self.finished.rows["video"])

    def fill(self) -> None:
        for root in list(self.case.roots)[1:]:
            self._append(root, self.finished.rows[root])

    def clear_leaf(self) -> None:
        self._remove("leaf")

    def write_leaf(self) -> None:
        self._append("leaf", self.finished.rows["leaf"])
        self.compare = True

    def change(self) -> None:
        self._append("video", self.finished.changed)

    def _rows(self, key: str, columns: list[Any]) -> pl.LazyFrame:
        rows = pl.scan_delta(str(self.path(key))).filter(pl.col(FEATURE) == self.finished.versions[key])
        rows = rows.select("id", TIME, "metaxy_deleted_at", *columns)
        return self.form(rows, ["id"]).filter(pl.col("metaxy_deleted_at").is_null()).drop(TIME, "metaxy_deleted_at")

    def resolve(self) -> Any:
        rows: pl.LazyFrame | None = None
        for root, fields in self.case.roots.items():
            versions = [pl.col(BY_FIELD).struct.field(name).alias(f"{root}.{name}") for name in fields]
            parent = self._rows(root, [f"{root}_path", f"{root}_size", *versions])
            rows = parent if rows is None else rows.join(parent, on="id")
        assert rows is not None
        hashes = [
            hashed(
                pl.concat_str(
                    [piece for literal, root, name in parts for piece in (pl.lit(literal), pl.col(f"{root}.{name}"))]
                )
            ).alias(own)
            for own, parts in texts(self.case).items()
        ]
        payload = [f"{root}_{column}" for root in self.case.roots for column in ("path", "size")]
        sample = pl.concat_str([pl.col(name) for name in sorted(self.case.leaf)], separator="|")
        expected = rows.select("id", *payload, *hashes).with_columns(
            p=hashed(sample), by_field=pl.struct(self.case.leaf)
        )
        if not self.compare:
            return expected.with_columns(status=pl.lit(1)).collect()
        stored = self._rows("leaf", ["metaxy_provenance"])
        both = expected.join(stored, on="id", how="full", suffix="_stored", coalesce=False)
        status = pl.when(pl.col("id_stored").is_null()).then(1).when(pl.col("id").is_null()).then(3)
        status = status.when(pl.col("p").ne_missing(pl.col("metaxy_provenance"))).then(2)
        return both.with_columns(status=status).filter(pl.col("status").is_not_null()).collect()

    def outcome(self, result: Any) -> dict[str, Any]:
        return outcome(result)


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


class Copy:
    """Plain COPY of finished rows into a new table; versions by field are JSON, as the store keeps them."""

    def __init__(self, form: str, finished: Finished) -> None:
        import psycopg

        self.finished = finished
        parameters = packages.connection_of(json.loads(finished.url or ""))
        self.connection = psycopg.connect(**parameters, autocommit=True)
        self.connection.execute(f"DROP SCHEMA IF EXISTS {form}_by_hand CASCADE")
        self.connection.execute(f"CREATE SCHEMA {form}_by_hand")
        self.connection.execute(f"SET search_path TO {form}_by_hand")

    def close(self) -> None:
        self.connection.close()

    def _copy(self, key: str, frame: pl.DataFrame) -> None:
        structs = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Struct)]
        types = {name: POSTGRESQL.get(dtype.base_type(), "text") for name, dtype in frame.schema.items()}
        columns = ", ".join(f'"{name}" {types[name]}' for name in frame.columns)
        text = frame.with_columns(pl.col(name).struct.json_encode() for name in structs).write_csv(include_header=False)
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {key} ({columns})".encode())
            with cursor.copy(f"COPY {key} FROM STDIN (FORMAT csv)".encode()) as copy:
                copy.write(text)

    def _drop(self, key: str) -> None:
        self.connection.execute(f"DROP TABLE IF EXISTS {key}".encode())

    def clear_roots(self) -> None:
        for root in self.finished.case.roots:
            self._drop(root)

    def write_root(self) -> None:
        self._copy("video", self.finished.rows["video"])

    def fill(self) -> None:
        for root in list(self.finished.case.roots)[1:]:
            self._copy(root, self.finished.rows[root])

    def clear_leaf(self) -> None:
        self._drop("leaf")

    def write_leaf(self) -> None:
        self._copy("leaf", self.finished.rows["leaf"])

    def change(self) -> None:
        """Nothing that is measured reads what was changed."""


# -- ClickHouse --------------------------------------------------------------------------------------------------------


def windowed(key: str, version: str) -> str:
    """Take the latest rows by a window over one key."""
    number = f"row_number() OVER (PARTITION BY id ORDER BY {TIME} DESC)"
    return f"SELECT * FROM (SELECT *, {number} AS n FROM {key} WHERE {FEATURE} = '{version}') WHERE n = 1"


def limited(key: str, version: str) -> str:
    """Sort by time, and keep the first row of each sample."""
    return f"SELECT * FROM {key} WHERE {FEATURE} = '{version}' ORDER BY {TIME} DESC LIMIT 1 BY id"


def clickhouse_update(case: cases.Case, versions: dict[str, str], latest: Callable[..., str], *, compare: bool) -> str:
    """Write the update of the leaf as one statement, as `duckdb_update` does; versions are maps."""
    steps = [f"{root}_rows AS ({latest(root, versions[root])})" for root in case.roots]
    first, *others = case.roots
    payload = [f"{root}_rows.{root}_{name} AS {root}_{name}" for root in case.roots for name in ("path", "size")]
    hashes = []
    for own, parts in texts(case).items():
        text = ", ".join(f"'{literal}', {root}_rows.{BY_FIELD}['{name}']" for literal, root, name in parts)
        hashes.append(f"substring(lower(hex(MD5(concat({text})))), 1, 16) AS {own}")
    alive = " AND ".join(f"{root}_rows.metaxy_deleted_at IS NULL" for root in case.roots)
    joined = f"{first}_rows" + "".join(f" JOIN {root}_rows ON {first}_rows.id = {root}_rows.id" for root in others)
    columns = ", ".join([f"{first}_rows.id AS id", *payload, *hashes])
    steps.append(f"fields AS (SELECT {columns} FROM {joined} WHERE {alive})")
    sample = ", '|', ".join(sorted(case.leaf))
    packed = ", ".join(f"'{name}', {name}" for name in case.leaf)
    p = f"substring(lower(hex(MD5(concat({sample})))), 1, 16) AS p"
    steps.append(f"expected AS (SELECT *, {p}, map({packed}) AS by_field, 1 AS here FROM fields)")
    if not compare:
        return f"WITH {', '.join(steps)} SELECT 1 AS status, * FROM expected"
    steps.append(f"leaf_rows AS ({latest('leaf', versions['leaf'])})")
    steps.append("stored AS (SELECT id, metaxy_provenance AS p, 1 AS here FROM leaf_rows)")
    status = "multiIf(s.here IS NULL, 1, e.here IS NULL, 3, e.p <> s.p, 2, 0)"
    return (
        f"WITH {', '.join(steps)} SELECT {status} AS status, e.*, s.id AS stored"
        " FROM expected AS e FULL JOIN stored AS s ON e.id = s.id WHERE status > 0"
    )


class ClickHouse:
    """Statements by hand on tables like ours, whose rows were fetched as Arrow before."""

    def __init__(self, form: str, finished: Finished) -> None:
        import clickhouse_connect

        self.form = {"window": windowed, "limit": limited}[form]
        self.finished, self.case = finished, finished.case
        parameters = packages.clickhouse_database(finished.folder, finished.url)
        self.client = clickhouse_connect.get_client(**parameters, settings={"join_use_nulls": 1})
        first = finished.changed[TIME].dt.to_string("%Y-%m-%d %H:%M:%S%.6f").min()
        before = f"{TIME} < '{first!s}'"
        self.rows = {key: self._fetched(key, before) for key in self.case.features}
        self.changed = self._fetched("video", f"NOT {before}")
        for key in self.case.features:
            self.client.command(f"RENAME TABLE {key} TO {key}_made")
        self.compare = False

    def close(self) -> None:
        self.client.close()

    def _fetched(self, key: str, where: str) -> bytes:
        rows: bytes = self.client.raw_query(f"SELECT * FROM {key} WHERE {where}", fmt="ArrowStream")
        return rows

    def _create(self, key: str) -> None:
        self.client.command(f"CREATE TABLE {key} AS {key}_made")
        self.client.raw_insert(key, insert_block=self.rows[key], fmt="ArrowStream")

    def clear_roots(self) -> None:
        for root in self.case.roots:
            self.client.command(f"DROP TABLE IF EXISTS {root}")

    def write_root(self) -> None:
        self._create("video")

    def fill(self) -> None:
        for root in list(self.case.roots)[1:]:
            self._create(root)

    def clear_leaf(self) -> None:
        self.client.command("DROP TABLE IF EXISTS leaf")

    def write_leaf(self) -> None:
        self._create("leaf")
        self.compare = True

    def change(self) -> None:
        self.client.raw_insert("video", insert_block=self.changed, fmt="ArrowStream")

    def resolve(self) -> Any:
        statement = clickhouse_update(self.case, self.finished.versions, self.form, compare=self.compare)
        return self.client.query_arrow(statement, use_strings=True)

    def outcome(self, result: Any) -> dict[str, Any]:
        return outcome(result)


POSTGRESQL = {pl.Int64: "bigint", pl.Datetime: "timestamptz", pl.Struct: "jsonb", pl.Boolean: "boolean"}
ENGINES: dict[str, Callable[[str, Finished], Any]] = {
    "duckdb": DuckDB,
    "delta": Delta,
    "postgresql": Copy,
    "clickhouse": ClickHouse,
}
