"""A report of a hundred paragraphs is edited: all of it is cut again, and one paragraph is embedded again."""

from pathlib import Path
from typing import Any

import polars as pl

import metaxy as mx
from metaxy import content
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.process import run

FOLDER = Path("reports")


class Report(mx.BaseFeature, spec=mx.FeatureSpec(key="report", id_columns=["report"], fields=["text"])):
    report: str
    text: str


class Paragraph(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="paragraph",
        id_columns=["report", "number"],
        deps=[mx.FeatureDep(feature=Report, lineage=mx.LineageRelationship.expansion(on=["report"]))],
    ),
):
    report: str
    number: int
    words: str


class Embedding(
    mx.BaseFeature, spec=mx.FeatureSpec(key="embedding", id_columns=["report", "number"], deps=[Paragraph])
):
    report: str
    number: int


@mx.computes(Report)
def find_reports() -> pl.DataFrame:
    """List the files, each with the hash of its bytes."""
    return content.scan(FOLDER, {"text": "{report}.txt"})


def hash_words(paragraphs: pl.DataFrame) -> pl.DataFrame:
    """Compare paragraphs by their words, whatever is between them."""
    return content.hash_texts(paragraphs["words"], whitespace=True)


@mx.computes(Paragraph, data_version=hash_words)
def cut(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Cut a report into its paragraphs."""
    text = (FOLDER / row["text"]).read_text(encoding="utf-8")
    return [{"number": number, "words": words} for number, words in enumerate(text.split("\n\n"))]


@mx.computes(Embedding)
def embed(row: dict[str, Any]) -> dict[str, Any]:
    """Embed a paragraph, as a model would that takes its time."""
    return {"vector": [float(len(word)) for word in row["words"].split()[:3]]}


def update(what: str, store: DuckDBMetadataStore) -> None:
    """Compute what is to do, and say how much that was."""
    reports = run(store, progress=False, orphaned="delete").reports
    print(f"{what}: {', '.join(f'{each.rows} rows of {each.feature}' for each in reports)}")


FOLDER.mkdir()
file = FOLDER / "spring.txt"
file.write_text("\n\n".join(f"This is paragraph {number}." for number in range(100)), encoding="utf-8")
store = DuckDBMetadataStore("reports.duckdb", auto_create_tables=True)

update("a new report", store)
file.write_text(file.read_text().replace("paragraph 42.", "paragraph 42, edited."), encoding="utf-8")
update("a paragraph is edited", store)
file.write_text(file.read_text().replace(" is ", "\n is "), encoding="utf-8")
update("lines are broken elsewhere", store)
file.write_text(file.read_text() + "\n\nThe end.", encoding="utf-8")
update("a paragraph is added", store)
