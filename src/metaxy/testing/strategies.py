"""Strategies for Hypothesis: any feature, and any rows of a root feature."""

from typing import Any, Final

import polars as pl
from hypothesis import strategies as st

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec

LETTERS: Final = "abcdefgh"
PARTS: Final = st.text(LETTERS, min_size=1, max_size=4)
VERSIONS: Final = st.text("0123456789abcdef", min_size=1, max_size=4)
IDS: Final = st.text(max_size=6).filter(lambda text: text.isprintable())


def keys() -> st.SearchStrategy[FeatureKey]:
    """Draw feature keys of one to three parts."""
    return st.lists(PARTS, min_size=1, max_size=3).map(FeatureKey)


def field_specs() -> st.SearchStrategy[FieldSpec]:
    """Draw fields that depend on their parents in the default way."""
    return st.builds(FieldSpec, key=PARTS, code_version=VERSIONS)


@st.composite
def feature_specs(draw: st.DrawFn, *parents: FeatureSpec) -> FeatureSpec:
    """Draw specs of a feature: a root, or one that depends on all parents, which have the same ID columns.

    Args:
        parents: What the feature depends on.
    """
    taken = {str(parent.key) for parent in parents}
    own_ids = st.lists(PARTS.map("id_{}".format), min_size=1, max_size=2, unique=True)
    fields = st.lists(field_specs(), min_size=1, max_size=3, unique_by=lambda field: str(field.key))
    return FeatureSpec(
        key=draw(keys().filter(lambda key: str(key) not in taken)),
        id_columns=parents[0].id_columns if parents else draw(own_ids),
        deps=[parent.key for parent in parents],
        fields=draw(fields),
    )


@st.composite
def root_rows(draw: st.DrawFn, spec: FeatureSpec, *, min_size: int = 0, max_size: int = 5) -> pl.DataFrame:
    """Draw rows of a root feature: distinct text IDs, and a version of each field."""
    ids = st.tuples(*(IDS for _ in spec.id_columns))
    samples = draw(st.lists(ids, min_size=min_size, max_size=max_size, unique=True))
    versions = st.fixed_dictionaries({field.key.to_struct_key(): VERSIONS for field in spec.fields})
    rows = [
        dict(zip(spec.id_columns, sample, strict=True)) | {METAXY_PROVENANCE_BY_FIELD: draw(versions)}
        for sample in samples
    ]
    return pl.DataFrame(rows, schema=_schema(spec))


def _schema(spec: FeatureSpec) -> dict[str, Any]:
    members = {field.key.to_struct_key(): pl.String for field in spec.fields}
    return dict.fromkeys(spec.id_columns, pl.String) | {METAXY_PROVENANCE_BY_FIELD: pl.Struct(members)}
