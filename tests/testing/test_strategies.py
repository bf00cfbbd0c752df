"""Drawn features and rows are valid, and obey the rules that make updates worth trusting."""

from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factory import values

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.spec import FeatureSpec
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.testing.strategies import feature_specs, root_rows


def add(graph: FeatureGraph, *specs: FeatureSpec) -> None:
    for spec in specs:
        definition = FeatureDefinition(spec=spec, feature_schema={}, feature_class_path="code.X", project="test")
        graph.add_feature_definition(definition)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_what_was_computed_is_up_to_date(data: Any) -> None:
    root = data.draw(feature_specs())
    child = data.draw(feature_specs(root))
    frame = data.draw(root_rows(root, max_size=4))
    store = DuckDBMetadataStore(":memory:", auto_create_tables=True)
    with MetaxyConfig().use(), FeatureGraph().use() as graph, store.open("w"):
        add(graph, root, child)
        store.write(root.key, frame)
        first = store.resolve_update(child.key)
        assert values(first.new, *root.id_columns) == values(frame, *root.id_columns)
        store.write(child.key, first.new)
        second = store.resolve_update(child.key)
        assert [len(part) for part in (second.new, second.stale, second.orphaned)] == [0, 0, 0]


@given(st.data())
@settings(max_examples=30)
def test_rows_fit_their_feature(data: Any) -> None:
    spec = data.draw(feature_specs())
    frame = data.draw(root_rows(spec, min_size=2, max_size=3))
    assert frame.columns == [*spec.id_columns, METAXY_PROVENANCE_BY_FIELD]
    assert frame.select(spec.id_columns).is_duplicated().any() is False
    assert 2 <= len(frame) <= 3
    members = frame.schema[METAXY_PROVENANCE_BY_FIELD]
    assert isinstance(members, pl.Struct)
    assert [member.name for member in members.fields] == [field.key.to_struct_key() for field in spec.fields]


@given(st.data())
def test_children_depend_on_their_parents(data: Any) -> None:
    root = data.draw(feature_specs())
    child = data.draw(feature_specs(root))
    assert [dep.feature for dep in child.deps] == [root.key] != [child.key]
    assert child.id_columns == root.id_columns
