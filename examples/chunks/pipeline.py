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


def run(what: str, store: DuckDBMetadataStore, texts: dict[str, str]) -> None:
    """Bring the store up to date with the texts, and say what was cut and which chunks there are."""
    done: list[str] = []

    def keep(rows: pl.DataFrame) -> pl.DataFrame:
        return rows

    def cut(row: dict[str, Any]) -> list[dict[str, Any]]:
        """Cut a text into chunks, none if it has no letters."""
        text = texts[row["name"]]
        done.append(row["name"])
        starts = range(0, len(text), LETTERS)
        return [{"number": number, "words": text[start : start + LETTERS]} for number, start in enumerate(starts)]

    try:
        store.process(Text, keep, samples=found(texts), orphaned="soft_delete", progress=False)
    except TooManyOrphansError as error:
        print(f"{what}: {error}")
        return
    store.process(Chunk, cut, orphaned="soft_delete", progress=False)
    with store:
        chunks = store.read(Chunk, columns=["name", "number"]).collect().to_polars()
    there = [f"{count} of {name}" for name, count in chunks.group_by("name").len().sort("name").iter_rows()]
    print(f"{what}: cut {', '.join(sorted(done)) or 'nothing'}; chunks: {', '.join(there)}")


texts = {
    "fable": "A fox looked at grapes that hung too high, and called them sour.",
    "letter": "Dear reader, all is well here, and it rains.",
    "note": "Buy milk, bread and apples.",
    "poem": "Roses are red, and so on, as you know.",
}

store = DuckDBMetadataStore("texts.duckdb", auto_create_tables=True)
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
