"""Mistakes that type checkers must find, each on a line that ends with `# wrong`; nothing here runs."""

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore

mx.FeatureSpec(key="video")  # wrong
mx.FeatureSpec(key="video", id_columns=["id"], field=["audio"])  # wrong
mx.FeatureSpec(key=1, id_columns=["id"])  # wrong
mx.FieldSpec(key="audio", code_version=1)  # wrong
mx.FeatureDep(feature="video", columns=["id"])  # wrong


def mistakes(store: DuckDBMetadataStore) -> None:
    store.open("a")  # wrong
    store.read("video", column=["id"])  # wrong
    store.resolve_update("video", versioning_engine="pandas")  # wrong
    print(store.resolve_update("video").fresh)  # wrong
