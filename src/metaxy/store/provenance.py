"""Provenance of rows that the user joined: the field formulas alone, without tables and comparison."""

from typing import TYPE_CHECKING, Any

import narwhals as nw

from metaxy.columns import (
    METAXY_DATA_VERSION,
    METAXY_DATA_VERSION_BY_FIELD,
    METAXY_PROVENANCE,
    METAXY_PROVENANCE_BY_FIELD,
    is_system_column,
)
from metaxy.dag.plan import FeaturePlan
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.hashing import HashSettings
from metaxy.store.given import given_frame
from metaxy.store.result import Result, shows_polars
from metaxy.store.scope import Scope
from metaxy.versioning.codec import ByField, form_of
from metaxy.versioning.engine import PolarsEngine, Rows
from metaxy.versioning.fields import field_formulas, needed_members
from metaxy.versioning.frames import Frame, as_lazy
from metaxy.versioning.recipe import Column, Input, Latest, Recipe, Version

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


def compute_provenance(store: "MetadataStore", scope: Scope, feature: Any, df: Any) -> Any:
    """Add the four version columns to rows that hold the data versions of all parents.

    Raises:
        MetadataSchemaError: if a parent's data versions are missing or NULL.
    """
    plan = scope.graph.get_feature_plan(scope.definition(feature).key)
    frame = given_frame(df, f"the frame for feature {plan.feature.key}")
    in_database = isinstance(frame, nw.LazyFrame) and not frame.implementation.is_polars()
    engine = store.engine.hashing(scope.algorithm) if in_database else PolarsEngine()
    rows = engine.take(frame) if in_database else as_lazy(frame)
    schema = rows.collect_schema()
    recipe = _recipe(plan, schema, scope.hash)
    forms = {column: form_of(schema[column]) for column in {v.column for v in recipe.inputs[0].versions}}
    by_field: dict[str, ByField] = {column: form for column, form in forms.items() if form}
    inputs = [Rows(rows, by_field=by_field, schema=schema)]
    result = Result(engine, recipe, inputs, None, scope.shape, shows_polars(engine, frame), untyped={})
    computed: Frame = result.eager().new if isinstance(frame, nw.DataFrame) else result.lazy().new
    return computed if isinstance(df, (nw.DataFrame, nw.LazyFrame)) else computed.to_native()


def _recipe(plan: FeaturePlan, schema: nw.Schema, settings: HashSettings) -> Recipe:
    """Build a recipe with the user's frame as its only input."""
    if not plan.feature_deps:
        raise DefinitionError(f"feature {plan.feature.key} is a root: its provenance is given, not computed")
    versions: dict[Any, Version] = {}
    dropped = {METAXY_PROVENANCE, METAXY_PROVENANCE_BY_FIELD, METAXY_DATA_VERSION, METAXY_DATA_VERSION_BY_FIELD}
    for dep in plan.feature_deps:
        suffix = dep.feature.to_column_suffix()
        column = METAXY_DATA_VERSION_BY_FIELD + suffix
        if column not in schema:
            raise MetadataSchemaError(
                f"feature {plan.feature.key}: the frame lacks {column}, the data versions of its parent {dep.feature}; "
                f"rename {METAXY_DATA_VERSION_BY_FIELD} to it before the parents are joined"
            )
        dropped |= {column, METAXY_PROVENANCE + suffix, METAXY_PROVENANCE_BY_FIELD + suffix}
        for member, field in needed_members(plan, dep.feature):
            label = f"{dep.feature}.{field}"
            versions[dep.feature, field] = Version(member, f"d0_{len(versions)}", label, column)
    kept = [name for name in schema if name not in dropped and not is_system_column(name)]
    columns = tuple(Column(name, f"k{n}", name) for n, name in enumerate(kept))
    latest = Latest((), None, one_per_sample=False, include_deleted=True)
    given = Input("", latest, columns, tuple(versions.values()))
    optional = {dep.feature for dep in plan.feature_deps if dep.optional}
    nullable = frozenset(v.short for (key, _), v in versions.items() if key in optional)
    formulas = field_formulas(plan, versions)
    return Recipe(
        str(plan.feature.key), (given,), formulas, (), columns, settings, compare=False, optional_versions=nullable
    )
