"""Texts are cut into chunks, and no chunk of an earlier text stays: texts shrink, come out empty, and vanish."""

from typing import Any

import polars as pl

import metaxy as mx
from metaxy.errors import TooManyOrphansError
from metaxy.ext.duckdb import DuckDBMetadataStore

LETTERS = 20  # in a chunk, at most


class Text(mx.BaseFeature, spec=mx.FeatureSpec(key="text", id_columns=["name"], fields=["body"])):
    name: str


class Chunk(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="chunk",
        id_columns=["name", "number"],
        deps=[mx.FeatureDep(feature=Text, lineage=mx.LineageRelationship.expansion(on=["name"]))],
    ),
):
    name: str
    number: int


def found(texts: dict[str, str]) -> pl.DataFrame:
    """List the texts that there are; the version of a body is the body itself, where you would take its hash."""
    return pl.DataFrame(
        {"name": list(texts), "metaxy_provenance_by_field": [{"body": text} for text in texts.values()]}
    )


def cut(parents: pl.DataFrame, texts: dict[str, str]) -> pl.DataFrame:
    """Cut texts into chunks, none for a text without letters."""
    chunks = [
        (name, number, texts[name][start : start + LETTERS])
        for name in parents["name"]
        for number, start in enumerate(range(0, len(texts[name]), LETTERS))
    ]
    schema: dict[str, Any] = {"name": pl.String, "number": pl.Int64, "words": pl.String}
    return parents.join(pl.DataFrame(chunks, schema, orient="row"), on="name")


def run(what: str, store: DuckDBMetadataStore, texts: dict[str, str]) -> None:
    """Bring the store up to date with the texts, and say what was cut and which chunks there are."""
    listed = store.resolve_update(Text, samples=found(texts))
    try:
        store.delete_orphaned(Text, listed)
    except TooManyOrphansError as error:
        print(f"{what}: {error}")
        return
    for samples in (listed.new, listed.stale):
        store.write(Text, samples)
    done: list[str] = []
    for batch in store.resolve_update(Chunk).batches(1000):
        parents = batch.to_polars()
        store.write(Chunk, cut(parents, texts), replaces=parents)
        done += parents["name"].to_list()
    store.delete_orphaned(Chunk)
    chunks = store.read(Chunk, columns=["name", "number"]).collect().to_polars()
    there = [f"{count} of {name}" for name, count in chunks.group_by("name").len().sort("name").iter_rows()]
    print(f"{what}: cut {', '.join(sorted(done)) or 'nothing'}; chunks: {', '.join(there)}")


texts = {
    "fable": "A fox looked at grapes that hung too high, and called them sour.",
    "letter": "Dear reader, all is well here, and it rains.",
    "note": "Buy milk, bread and apples.",
    "poem": "Roses are red, and so on, as you know.",
}

with DuckDBMetadataStore("texts.duckdb", auto_create_tables=True).open("w") as store:
    run("first run", store, texts)
    run("nothing changed", store, texts)
    texts["fable"] = "Sour grapes."
    run("a text shrinks", store, texts)
    texts["note"] = ""
    run("a text comes out empty", store, texts)
    run("nothing changed", store, texts)
    del texts["poem"]
    run("a text vanishes", store, texts)
    run("most are not mounted", store, {"letter": texts["letter"]})
    run("all are mounted again", store, texts)
    texts["note"] = "Buy nothing today, all is there."
    run("a text has words again", store, texts)
