"""Texts are embedded, and embeddings have topics; then two features and a column get better names."""

from importlib import import_module
from types import ModuleType

import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore


def load(name: str) -> tuple[mx.FeatureGraph, ModuleType]:
    """Load a module of features into a graph of its own, as a process would that knows only this code."""
    with mx.FeatureGraph().use() as graph:
        return graph, import_module(name)


def update(store: DuckDBMetadataStore, features: ModuleType, column: str) -> None:
    """Compute what is new or stale, and say of what."""
    for feature, values in ((features.Embedding, {column: [0.1, 0.2]}), (features.Topic, {"topic": "cats"})):
        increment = store.resolve_update(feature)
        for samples in increment.batches(100):
            print(f"computed {feature.spec().key}: {sorted(samples['text'].to_list())}")
            store.write(feature, samples.to_polars().with_columns(pl.lit(v).alias(name) for name, v in values.items()))


store = DuckDBMetadataStore("texts.duckdb", auto_create_tables=True)

before, old = load("before")
with before.use(), store.open("w"):
    versions = [{"default": version} for version in "123"]
    store.write(old.Text, pl.DataFrame({"text": ["a", "b", "c"], "metaxy_provenance_by_field": versions}))
    update(store, old, "vec")
    store.write(old.Text, pl.DataFrame({"text": ["b"], "metaxy_provenance_by_field": [{"default": "4"}]}))

after, new = load("after")
with after.use(), store.open("w"):
    for done in store.rename_features(drop_old=True):
        print(f"{done.feature}: {done.copied} rows copied, {done.rebased} samples keep what they were")
    print(f"{store.rename_column(new.Embedding, 'vec', 'vector')} values are called vector")
    update(store, new, "vector")
    print(f"left over: {store.unknown_tables()}")
