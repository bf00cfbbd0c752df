"""A part of a feature, such as one day: which rows of its parents its samples come from, before they are computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import narwhals as nw
import polars as pl
from narwhals.dtypes import DType

from metaxy.dag.plan import FeaturePlan, Parent
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError
from metaxy.store.given import given_frame
from metaxy.store.reading import find, find_or_none
from metaxy.store.store import MetadataStore
from metaxy.versioning.expressions import both, columns_of, renamed
from metaxy.workers.results import ResultError

Conditions: TypeAlias = Callable[[Mapping[str, DType]], Sequence[nw.Expr]]
"""Conditions that rows fulfil, made for the types of the columns of their table."""


def everything(types: Mapping[str, DType]) -> Sequence[nw.Expr]:  # noqa: ARG001 - as all `Conditions`
    """Mean all rows."""
    return ()


@dataclass(frozen=True)
class Part:
    """Some rows of a feature: conditions, made for the types of columns, and the columns that they name."""

    columns: Sequence[str]
    conditions: Conditions

    def __bool__(self) -> bool:
        return bool(self.columns)


WHOLE: Final = Part((), everything)


@dataclass(frozen=True)
class _Columns:
    """Columns of a parent that say in which part a sample is: by the names they have in the feature, and their own."""

    key: FeatureKey
    own_names: Mapping[str, str]
    types: Mapping[str, DType]

    @classmethod
    def of(cls, store: MetadataStore, parent: Parent, plan: FeaturePlan, wanted: Sequence[str]) -> "_Columns":
        """Look into the table of a parent.

        Raises:
            FeatureNotFoundError: if it has none.
        """
        dep, types = parent.dep, find(store, parent.spec.key, allow_fallback=True).scan.schema
        named = dict(zip(dep.renamed(types), types, strict=True))
        known = {*wanted} if dep.select is None else {*dep.select, *parent.id_columns}
        if dep.aggregates:  # conditions on anything else would take rows out of a group
            known &= {*(dep.lineage.get_aggregation_columns(plan.feature.id_columns) or ())}
        own_names = {name: named[name] for name in wanted if name in named and name in known}
        return cls(parent.spec.key, own_names, {name: types[own] for name, own in own_names.items()})


def options_of(store: MetadataStore, feature: FeatureKey, part: Part, samples: Any = None) -> dict[str, Any]:
    """Return options of `MetadataStore.resolve_update` that look at a part of a feature only; the store is open.

    Raises:
        MetadataSchemaError: if nothing says before they are computed which samples are in it.
        FeatureNotFoundError: if a parent has no table.
    """
    if not part:
        return {}
    plan = store.session.scope("r").graph.get_feature_plan(feature)
    table = find_or_none(store, feature, allow_fallback=store.overlays)
    own = [] if table is None else list(part.conditions(table.scan.schema))
    if not plan.feature_deps:
        if samples is not None:
            own = list(part.conditions(given_frame(samples, f"the samples for feature {feature}").collect_schema()))
        return {"target_filters": own}
    return {"filters": _filters(store, plan, part), "target_filters": own}


def _filters(store: MetadataStore, plan: FeaturePlan, part: Part) -> dict[FeatureKey, list[nw.Expr]]:
    """Return the conditions on the rows of parents: each on all parents that have its columns."""
    required = [parent for parent in plan.parents if not parent.dep.optional]  # rows of others take no sample out
    found = [_Columns.of(store, parent, plan, part.columns) for parent in required]
    types = {name: dtype for each in reversed(found) for name, dtype in each.types.items()}
    _refuse_missing(plan, [name for name in part.columns if name not in types])
    filters: dict[FeatureKey, list[nw.Expr]] = {}
    for condition in part.conditions(types):
        names = columns_of(condition)
        names = list(part.columns) if names is None else names
        having = [each for each in found if {*names} <= {*each.own_names}]
        _refuse_missing(plan, names if not having else [])
        for each in having:
            filters.setdefault(each.key, []).append(renamed(condition, each.own_names))
    return filters


def _refuse_missing(plan: FeaturePlan, columns: Sequence[str]) -> None:
    if columns:
        parents = ", ".join(str(parent.spec.key) for parent in plan.parents)
        raise MetadataSchemaError(
            f"feature {plan.feature.key}: no parent that every sample needs has {' and '.join(map(repr, columns))}, of "
            f"an aggregation among the columns of its groups, so nothing says which samples are in a partition before "
            f"they are computed; let one of them have it ({parents}), or compute the asset without partitions"
        )


def within(part: Part, rows: pl.DataFrame) -> pl.DataFrame:
    """Return results that are all in a part: others would be neither read nor counted in it, and so be new for ever.

    Raises:
        ResultError: if one is not.
        MetadataSchemaError: if they lack a column that says so.
    """
    frame = nw.from_native(rows, eager_only=True)
    conditions = part.conditions(frame.schema)
    holds = both(*conditions) if conditions else nw.lit(value=True)
    others = frame.filter(~holds | holds.is_null()).select(*part.columns)
    if len(others):
        shown = ", ".join(f"{name} = {value}" for name, value in others.to_native().row(0, named=True).items())
        raise ResultError(f"returned a row with {shown}, which is in another partition than the sample")
    return rows
