"""Months of a project in a minute: what is computed is what a plain model of the project names, and no dead row stays.

Texts are cut into chunks, chunks are scored, and scores are summed up per text. Texts shrink, come out empty, vanish
and move; a folder is not mounted; code, names and a branch change. After each of it one pipeline runs, which knows
nothing of what happened, and reports what it computed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.stores import STORES, THREE

import metaxy as mx
from metaxy.config import MetaxyConfig
from metaxy.errors import TooManyOrphansError
from metaxy.store.store import MetadataStore

WIDTH = 10  # letters in a chunk
Computed = set[tuple[object, ...]]


@dataclass(frozen=True)
class World:
    """What the project is made of: texts by their name, where each lies, and the code of today."""

    texts: Mapping[str, str]
    paths: Mapping[str, str]
    tone: str = "1"
    summary: str = "1"
    score: str = "score"
    former: str | None = None
    column: str = "path"

    def samples(self) -> pl.DataFrame:
        bodies = [{"body": f"version of {text!r}"} for text in self.texts.values()]
        paths = [self.paths[name] for name in self.texts]
        return pl.DataFrame({"doc": list(self.texts), self.column: paths, "metaxy_provenance_by_field": bodies})

    def chunks(self, doc: str) -> list[str]:
        text = self.texts[doc]
        return [text[start : start + WIDTH] for start in range(0, len(text), WIDTH)]

    @contextmanager
    def code(self) -> Iterator[None]:
        """Define the features as they are written today."""
        with mx.FeatureGraph().use(), MetaxyConfig(project="tests", auto_create_tables=True).use():
            doc, chunk = ["doc"], ["doc", "chunk"]
            texts = mx.FeatureSpec(key="text", id_columns=doc, fields=["body"])
            cut = mx.FeatureDep(feature="text", lineage=mx.LineageRelationship.expansion(on=doc))
            fields: list[Any] = ["length", mx.FieldSpec(key="tone", code_version=self.tone)]
            summed = mx.FeatureDep(feature="chunk", lineage=mx.LineageRelationship.aggregation(on=doc))
            total = [mx.FieldSpec(key="total", code_version=self.summary)]
            names: dict[str, Any] = {"renamed_from": self.former} if self.former else {}
            for spec in (
                texts,
                mx.FeatureSpec(key="chunk", id_columns=chunk, deps=[cut]),
                mx.FeatureSpec(key=self.score, id_columns=chunk, deps=["chunk"], fields=fields, **names),
                mx.FeatureSpec(key="summary", id_columns=doc, deps=[summed], fields=total),
            ):
                type("Feature", (mx.BaseFeature,), {"__module__": __name__}, spec=spec)
            yield


@dataclass
class Model:
    """What was computed of what, in plain Python: for each sample and field a signature of all that went into it."""

    known: dict[tuple[object, ...], object] = field(default_factory=dict)

    @staticmethod
    def expected(world: World) -> dict[tuple[object, ...], object]:
        signatures: dict[tuple[object, ...], object] = {}
        for doc, text in world.texts.items():
            signatures["chunk", doc] = text
            for n, _ in enumerate(world.chunks(doc)):
                signatures["score", doc, n, "length"] = text
                signatures["score", doc, n, "tone"] = (text, world.tone)
            if world.chunks(doc):
                signatures["summary", doc] = (text, world.summary)
        return signatures

    def follow(self, world: World) -> Computed:
        """Say what must be computed, and take it for computed."""
        expected = self.expected(world)
        changed = {key for key, signature in expected.items() if self.known.get(key) != signature}
        self.known = expected
        return changed


def pipeline(store: MetadataStore, world: World) -> Computed:
    """Bring everything up to date, and return what was computed."""
    done: Computed = set()
    listed = store.resolve_update("text", samples=world.samples(), payload="warn")
    store.delete_orphaned("text", listed)
    for frame in (listed.new, listed.stale, listed.drifted):
        if frame is not None and len(frame):
            store.write("text", frame)

    for parents in store.resolve_update("chunk").batches(50):
        cut = [(row, n, words) for row in rowwise(parents) for n, words in enumerate(world.chunks(row["doc"]))]
        rows = [{**row, "chunk": n, "words": words} for row, n, words in cut]
        children = parents.to_polars().clear().with_columns(chunk=pl.lit(0), words=pl.lit(""))
        store.write("chunk", pl.DataFrame(rows, children.schema), replaces=parents)
        done |= {("chunk", row["doc"]) for row in rowwise(parents)}
    store.delete_orphaned("chunk")

    for batch in store.resolve_update(world.score, previous=True).batches(500):
        results = []
        for row in rowwise(batch):
            changed, before = row["metaxy_changed_fields"], row["metaxy_previous"]
            done |= {("score", row["doc"], row["chunk"], name) for name in changed}
            length = len(row["words"]) if "length" in changed else before["length"]
            tone = f"{row['words'][:1]} {world.tone}" if "tone" in changed else before["tone"]
            results.append({"length": length, "tone": tone})
        store.write(world.score, batch.to_polars().hstack(pl.DataFrame(results)))
    store.delete_orphaned(world.score)

    for batch in store.resolve_update("summary", one_row_per_group=True).batches(500):
        done |= {("summary", row["doc"]) for row in rowwise(batch)}
        store.write("summary", batch.with_columns(total=nw.lit(1)))
    store.delete_orphaned("summary")
    return done


def rowwise(frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.to_polars().to_dicts()
    return rows


def check_rows(store: MetadataStore, world: World) -> None:
    """Compare all rows that are read with those that there should be; nothing is left to do or to clean."""

    def read(key: str, *columns: str) -> list[tuple[Any, ...]]:
        rows = store.read(key, columns=columns).collect().to_polars()
        return sorted(rows.rows())

    chunks = [(doc, n, words) for doc in world.texts for n, words in enumerate(world.chunks(doc))]
    assert read("text", "doc", world.column) == sorted((doc, world.paths[doc]) for doc in world.texts)
    assert read("chunk", "doc", "chunk", "words") == sorted(chunks)
    scores = [(doc, n, len(words), f"{words[:1]} {world.tone}") for doc, n, words in chunks]
    assert read(world.score, "doc", "chunk", "length", "tone") == sorted(scores)
    assert read("summary", "doc") == sorted({(doc,) for doc, _, _ in chunks})
    for key in ("chunk", world.score, "summary"):
        assert not store.resolve_update(key), key
    listed = store.resolve_update("text", samples=world.samples(), payload="warn")
    assert not listed
    assert listed.counts["drifted"] == 0


def first_day() -> World:
    texts = {f"d{n:03}": f"{n} " * (4 + n % 9) for n in range(300)}
    return World(texts, {doc: f"{'abc'[n % 3]}/{doc}.txt" for n, doc in enumerate(texts)})


@pytest.mark.parametrize("name", THREE)
@pytest.mark.filterwarnings("ignore::metaxy.errors.MetaxyWarning", "ignore::metaxy.errors.PolarsMaterializationWarning")
def test_only_what_changed_is_computed_for_months(name: str, tmp_path: Path) -> None:
    model, world = Model(), first_day()
    for folder in ("prod", "preview"):
        (tmp_path / folder).mkdir()
    prod = STORES[name](tmp_path / "prod", name="prod")

    def day(world: World) -> Computed:
        """Run the pipeline; what it computed is what the model names."""
        with world.code(), prod.open("w"):
            computed = pipeline(prod, world)
            assert computed == model.follow(world)
            check_rows(prod, world)
        return computed

    assert len(day(world)) > 1500
    assert day(world) == set()

    texts = dict(world.texts)
    texts |= {f"d{n:03}": "short" for n in range(0, 20, 2)} | {f"d{n:03}": "" for n in range(1, 11, 2)}
    gone = {f"d{n:03}" for n in range(100, 107)}
    world = replace(world, texts={doc: text for doc, text in texts.items() if doc not in gone})
    assert {key[1] for key in day(world)} == {f"d{n:03}" for n in (*range(0, 20, 2), *range(1, 11, 2))}

    one = replace(world, texts={doc: t for doc, t in world.texts.items() if not world.paths[doc].startswith("c")})
    with world.code(), prod.open("w"):  # less than half is what only an own limit refuses
        listed = prod.resolve_update("text", samples=one.samples())
        with pytest.raises(TooManyOrphansError, match=r"max_share=0\.1"):
            prod.delete_orphaned("text", listed, max_share=0.1)
    assert day(world) == set()

    mounted = replace(world, texts={d: t for d, t in world.texts.items() if not world.paths[d].startswith(("b", "c"))})
    with world.code(), prod.open("w"), pytest.raises(TooManyOrphansError, match="max_share"):
        pipeline(prod, mounted)
    assert day(world) == set()

    world = replace(world, paths={**world.paths, "d020": "moved/d020.txt", "d021": "moved/d021.txt"})
    assert day(world) == set()

    world = replace(world, tone="2")
    assert {key[3] for key in day(world)} == {"tone"}

    world = replace(world, score="chunk/score", former="score", column="uri")
    with world.code(), prod.open("w"):
        prod.rename_column("text", "path", "uri")
    assert day(world) == set()

    branch = replace(world, summary="2", texts={**world.texts, "d030": "a text that the branch has changed"})
    preview = STORES[name](tmp_path / "preview", name="preview", fallback_stores=[prod], fallback="rows")
    with branch.code():
        with preview.open("w"):
            computed = pipeline(preview, branch)
            assert computed == Model(dict(model.known)).follow(branch)
            check_rows(preview, branch)
        assert {key[1] for key in computed if key[0] != "summary"} == {"d030"}
    assert day(world) == set()  # production is as it was
    with branch.code(), prod.open("w"), preview:
        preview.promote(prod)
    model.follow(branch)
    assert day(branch) == set()
