"""A small project that runs under metaxy 0.1.11 and under this package, unchanged.

python project.py write ROOT     for each case, makes a store below ROOT and gives it a past: two versions of a feature,
                                 rewritten and deleted samples, children that follow
python project.py extend ROOT    goes on with these stores: more rows, and one deletion
python project.py settle ROOT    computes all that is new or stale, and deletes what is orphaned
python project.py read ROOT      prints what is there, and what would have to be computed, as JSON
python project.py types ROOT     prints the physical types of the columns of all tables
Several of these, with commas between them, are done one after the other: what is printed is a list of their answers.
The last argument may be "maps": versions by field are kept and shown as maps.

POSTGRESQL holds the parameters of a connection, as JSON; each case on PostgreSQL has a schema of its own.
"""

import hashlib
import itertools
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import polars as pl
import psycopg
from metaxy.ext.polars.handlers.delta import DeltaMetadataStore
from metaxy.models.fields_mapping import FieldsMapping
from metaxy.models.lineage import LineageRelationship
from metaxy.utils import collect_to_polars

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.postgresql import PostgreSQLMetadataStore

FEATURES = ("video/raw", "crop", "frame", "speaker", "both")
CHILDREN = FEATURES[1:]
FLAGS = ("with_feature_history", "with_sample_history", "include_soft_deleted")
# DuckDB has md5 of itself; for its other algorithms 0.1.11 would download an extension.
CASES = [
    *(("delta", algorithm, 8) for algorithm in ("md5", "sha256", "xxhash32", "xxhash64", "xxh3_64", "wyhash")),
    *(("delta", "sha256", length) for length in (12, 64)),
    *(("duckdb", "md5", length) for length in (8, 16, 32)),
    *(("postgresql", algorithm, 8) for algorithm in ("md5", "xxhash32")),
]


def define(code: str = "2") -> None:
    """Define a root, an identity child, an expansion, an aggregation, and a child with an optional parent."""

    class Video(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="video/raw", id_columns=["id"], fields=[mx.FieldSpec(key="audio"), mx.FieldSpec(key="frames")]
        ),
    ):
        id: str
        path: str
        speaker: str

    class Crop(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="crop",
            id_columns=["id"],
            deps=[mx.FeatureDep(feature=Video, rename={"path": "video_path"})],
            fields=[mx.FieldSpec(key="frames", code_version=code)],
        ),
    ):
        id: str

    class Frame(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="frame",
            id_columns=["id", "n"],
            deps=[
                mx.FeatureDep(feature=Video, select=("path",), lineage=LineageRelationship.expansion(on=["id"])),
            ],
        ),
    ):
        id: str
        n: int

    class Speaker(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="speaker",
            id_columns=["speaker"],
            deps=[
                mx.FeatureDep(
                    feature=Video,
                    lineage=LineageRelationship.aggregation(on=["speaker"]),
                    fields_mapping=FieldsMapping.all(),
                )
            ],
        ),
    ):
        speaker: str

    class Both(
        mx.BaseFeature,
        spec=mx.FeatureSpec(
            key="both",
            id_columns=["id"],
            deps=[
                mx.FeatureDep(feature=Video, select=("path",)),
                mx.FeatureDep(feature=Crop, select=("video_path",), optional=True),
            ],
        ),
    ):
        id: str


def rows(*numbers: int, audio: str = "a") -> pl.DataFrame:
    """Return samples of the root feature."""
    return pl.DataFrame(
        {
            "id": [f"v{n}" for n in numbers],
            "path": [f"/{n}.mp4" for n in numbers],
            "speaker": ["odd" if n % 2 else "even" for n in numbers],
            "shape": [
                {"w": n, "ratio": n / 3, "name": f"<{n}>", "at": {"tags": [f"t{n}"], "on": n > 2}} for n in numbers
            ],
            "metaxy_provenance_by_field": [{"audio": f"{audio}{n}", "frames": f"f{n}"} for n in numbers],
        }
    )


def open_store(kind: str, folder: Path, algorithm: str) -> Any:
    """Return a store of a kind in a folder; the released package must not look for extensions of DuckDB."""
    algorithm = mx.HashAlgorithm(algorithm)
    if kind == "delta":
        return DeltaMetadataStore(folder, hash_algorithm=algorithm).open("w")
    if kind == "postgresql":
        return PostgreSQLMetadataStore(
            connection_params=schema(folder), hash_algorithm=algorithm, auto_create_tables=True
        ).open("w")
    folder.mkdir(parents=True, exist_ok=True)
    store = DuckDBMetadataStore(folder / "store.duckdb", hash_algorithm=algorithm, auto_create_tables=True)
    getattr(store, "extensions", []).clear()
    return store.open("w")


def schema(folder: Path) -> dict[str, Any]:
    """Return parameters for the schema that stands for a folder."""
    address = json.loads(os.environ["POSTGRESQL"])
    name = f"compat_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    with connect(address) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}".encode())
    return {**address, "schema": name}


def connect(address: dict[str, Any]) -> Any:
    """Connect without a store."""
    parameters = {name: value for name, value in address.items() if name not in ("database", "schema")}
    return psycopg.connect(**parameters, dbname=address["database"])


def write(store: Any) -> None:
    """Write everything under two versions of a feature, then change some of it."""
    store.write("video/raw", rows(1, 2, 3, 4))
    for code in ("1", "2"):
        with mx.FeatureGraph().use():
            define(code)
            store.write("crop", collect_to_polars(store.resolve_update("crop").new).sort("id").head(3))
    store.write("frame", frames(collect_to_polars(store.resolve_update("frame").new)))
    store.write("speaker", collect_to_polars(store.resolve_update("speaker").new).unique("speaker"))
    store.write("both", store.resolve_update("both").new)
    store.write("video/raw", rows(2, audio="new"))
    store.write("video/raw", rows(5))
    store.delete("video/raw", nw.col("id") == "v4", soft=True)
    if hasattr(store, "rename_feature"):
        rename(store)


def rename(store: Any) -> None:
    """Let a feature get another key, which leaves a system table that metaxy 0.1 does not know."""
    for key in ("former", "renamed"):
        with mx.FeatureGraph().use():
            type("Named", (mx.BaseFeature,), {"__module__": __name__}, spec=mx.FeatureSpec(key=key, id_columns=["id"]))
            if key == "former":
                store.write(key, rows(1).with_columns(metaxy_provenance_by_field=pl.struct(default=pl.lit("1"))))
            else:
                store.rename_feature("former", key)


def frames(videos: pl.DataFrame) -> pl.DataFrame:
    """Make two rows of each."""
    return videos.drop("n", strict=False).unique("id").join(pl.DataFrame({"n": [0, 1]}), how="cross")


def extend(store: Any) -> None:
    """Write to tables that are there, add a column to one, delete and write again."""
    store.write("video/raw", rows(6, 7))
    store.write("video/raw", rows(1, audio="newer"))
    store.write("crop", collect_to_polars(store.resolve_update("crop").new).sort("id").head(1))
    store.delete("crop", nw.col("id") == "v3", soft=True)
    store.delete("frame", nw.col("n") == 1, soft=False)
    store.delete("video/raw", nw.col("id") == "v7", soft=True)
    store.write("video/raw", rows(7, audio="again"))


def settle(store: Any) -> None:
    """Bring all children up to date."""
    for key in CHILDREN:
        increment = store.resolve_update(key)
        new, stale, orphaned = map(collect_to_polars, (increment.new, increment.stale, increment.orphaned))
        changed = pl.concat([new, stale.select(new.columns)])
        if key == "frame":
            changed = frames(changed)
        if key == "speaker":
            changed = changed.unique("speaker")
        store.write(key, changed.drop(c for c in changed.columns if c.startswith("metaxy_deleted_at")))
        ids = "speaker" if key == "speaker" else "id"
        gone = orphaned[ids].unique().to_list()
        if gone:
            store.delete(key, nw.col(ids).is_in(gone), soft=True)


def read(store: Any, every_flag: bool) -> dict[str, Any]:
    """Describe what the store has."""
    found: dict[str, Any] = {}
    with mx.FeatureGraph().use() as older:
        define("1")
        version = older.get_feature_version("crop")
    for key in FEATURES:
        for flags in itertools.product([False, True], repeat=3) if every_flag else [(False, True, True)]:
            asked = dict(zip(FLAGS, flags, strict=True))
            found[f"{key} {flags}"] = sorted_rows(store.read(key, **asked))
        found[f"{key} update"] = update(store, key)
    old = store.read("crop", with_feature_history=True, feature_version=version)
    found["crop of the older version"] = sorted_rows(old)
    asked = {"filters": [nw.col("id").is_in(["v1", "v2", "v4"])], "columns": ["path", "id"]}
    found["filters and columns"] = sorted_rows(store.read("video/raw", **asked))
    found["nothing"] = sorted_rows(store.read("video/raw", filters=[nw.col("path") == "nowhere"]))
    return found


def update(store: Any, key: str) -> list[list[str]]:
    """Return what is new, stale and orphaned; of the root, compared with what it has."""
    options = {}
    if key == "video/raw":
        given = collect_to_polars(store.read(key))
        options = {"samples": given.select("id", "path", "speaker", "metaxy_provenance_by_field")}
    increment = store.resolve_update(key, **options)
    # Of the children of an orphaned parent, 0.1.11 shows any, and we all.
    ignored = ("metaxy_deleted_at", "metaxy_deleted_at_right", "n")
    new, stale, orphaned = (sorted_rows(f, *ignored) for f in (increment.new, increment.stale, increment.orphaned))
    return [new, stale, sorted(set(orphaned))]


def all_types(kind: str, folder: Path) -> dict[str, dict[str, str]]:
    """Return the physical columns of all tables: types of the database, or of the files."""
    if kind == "delta":
        schemas = {key: pl.read_delta(str(folder / f"{key}.delta")).schema for key in FEATURES}
        return {key: {name: str(dtype) for name, dtype in schema.items()} for key, schema in schemas.items()}
    if kind == "postgresql":
        question = (
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = %s ORDER BY ordinal_position"
        )
        address, types = schema(folder), {key: dict[str, str]() for key in FEATURES}
        with connect(address) as connection:
            for table, column, kind_of_column in connection.execute(question, [address["schema"]]).fetchall():
                types.get(table.replace("__", "/"), {})[column] = kind_of_column
        return types
    with duckdb.connect(str(folder / "store.duckdb")) as connection:
        tables = {key: connection.sql(f'FROM "{key.replace("/", "__")}"') for key in FEATURES}
        return {key: dict(zip(t.columns, map(str, t.types), strict=True)) for key, t in tables.items()}


def sorted_rows(frame: Any, *ignored: str) -> list[str]:
    """Turn a frame into sorted rows, without the columns that only one package passes on."""
    collected = collect_to_polars(frame)
    wanted = sorted(c for c in collected.columns if c not in (*IGNORED, *ignored))
    dicts = ({name: plain(value) for name, value in row.items()} for row in collected.select(wanted).to_dicts())
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in dicts)


def plain(value: Any) -> Any:
    """Turn the entries of a map into a dict."""
    return {entry["key"]: entry["value"] for entry in value} if isinstance(value, list) else value


# Definition texts differ between the packages, and so do project versions, which nothing at sample level depends on.
IGNORED = {"metaxy_project_version"}


COMMANDS = {"write": write, "extend": extend, "settle": settle}


def run(command: str, root: Path, *, maps: bool = False) -> dict[str, Any]:
    """Do the same in the store of each case; those with maps are one of each kind."""
    if command == "types":
        return {kind: all_types(kind, root / f"{kind}-md5-8") for kind in ("delta", "duckdb", "postgresql")}
    done = {}
    with_maps = [("delta", "md5", 8), ("duckdb", "md5", 8)]
    for kind, algorithm, length in with_maps if maps else CASES:
        name = f"{kind}-{algorithm}-{length}"
        config = mx.MetaxyConfig(hash_truncation_length=length, project="compat", enable_map_datatype=maps)
        with config.use(), mx.FeatureGraph().use():
            define()
            with open_store(kind, root / name, algorithm) as store:
                if command == "read":
                    done[name] = read(store, every_flag=(algorithm, length) == ("md5", 8))
                else:
                    COMMANDS[command](store)
    return done


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with_maps = sys.argv[3:] == ["maps"]
    print(json.dumps([run(command, Path(sys.argv[2]), maps=with_maps) for command in sys.argv[1].split(",")]))
