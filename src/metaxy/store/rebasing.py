"""Rebasing: rows that are still right get the versions of another graph, so that nothing is computed again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import narwhals as nw

from metaxy import columns as c
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.store.given import given_frame
from metaxy.store.parts import StoreParts
from metaxy.store.reading import find_or_none, no_markers
from metaxy.store.request import UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.session import Scope
from metaxy.store.snapshots import recorded_graph
from metaxy.store.system.storage import SystemTableStorage
from metaxy.store.system.tables import COL_PROJECT
from metaxy.store.tables import ExpectedRows
from metaxy.versioning.engine import View
from metaxy.versioning.frames import collect_to_polars, to_polars_lazy
from metaxy.versioning.recipe import BEGUN, Latest
from metaxy.wording import did_you_mean

PROVENANCE = (c.METAXY_PROVENANCE, c.METAXY_PROVENANCE_BY_FIELD)
DATA_VERSIONS = (c.METAXY_DATA_VERSION, c.METAXY_DATA_VERSION_BY_FIELD)
VERSIONS = (c.METAXY_FEATURE_VERSION, c.METAXY_PROJECT_VERSION)


def target_scope(
    store: StoreParts, scope: Scope, feature: Any, to_feature_version: str | None, graph: FeatureGraph | None
) -> Scope:
    """Return the scope of the graph that rows are rebased on: the given one, the active one, or one that was pushed.

    Raises:
        ValueError: if no graph has the version that was asked for.
    """
    target = scope if graph is None else replace(scope, graph=graph)
    key = target.definition(feature).key
    if to_feature_version in (None, target.version(key)):
        return target
    if graph is not None:
        raise DefinitionError(
            f"feature {key}: version {to_feature_version!r} not found, `graph=` has {target.version(key)!r}"
        )
    return replace(scope, graph=_pushed_graph(store, scope, key, to_feature_version))


def _pushed_graph(store: StoreParts, scope: Scope, key: FeatureKey, version: str) -> FeatureGraph:
    """Return the graph in which a feature has this version, as it was pushed last."""
    pushed = SystemTableStorage(store).read_feature_versions(key)
    snapshots = pushed.filter(pushed[c.METAXY_FEATURE_VERSION] == version)
    if snapshots.is_empty():
        known = [scope.version(key), *pushed[c.METAXY_FEATURE_VERSION].to_list()]
        raise DefinitionError(
            f"feature {key}: version {version!r} not found in {store!r}, push first the graph that has it."
            f"{did_you_mean(version, known)} Known versions: {', '.join(dict.fromkeys(known))}"
        )
    row = snapshots.row(0, named=True)
    graph = recorded_graph(store, row[c.METAXY_PROJECT_VERSION], row[COL_PROJECT])
    if graph.get_feature_version(key, scope.hash.length) != version:
        raise DefinitionError(
            f"feature {key}: version {version!r} was pushed, but its parents in other projects or the hash settings "
            "have changed since; pass the graph that has it as `graph=`"
        )
    return graph


def rebase(store: StoreParts, scope: Scope, feature: Any, df: Any, *, same_inputs: bool = False) -> nw.LazyFrame[Any]:
    """Give rows the provenance that they have in the scope's graph; rows without parents there are left out.

    ``same_inputs``: so are those whose provenance by field is another one there.
    """
    definition = scope.definition(feature)
    plan = scope.graph.get_feature_plan(definition.key)
    if not plan.feature_deps:
        raise DefinitionError(
            f"feature {definition.key} is a root: its provenance is given, not computed; write its rows again instead"
        )
    rows = given_frame(df, f"the frame for feature {definition.key}")
    fresh, keys = expected_provenance(store, scope, plan)
    rows = nw.from_native(to_polars_lazy(rows)) if fresh.implementation.is_polars() else store.engine.take(rows)
    names = rows.collect_schema().names()
    on = [*keys, c.METAXY_PROVENANCE] if same_inputs else keys
    for key in on:
        if key not in names:
            raise MetadataSchemaError(
                f"feature {definition.key}: the frame lacks column {key!r}, by which rows are rebased."
                f"{did_you_mean(key, names)} It has: {', '.join(names)}"
            )
    if c.METAXY_FEATURE_VERSION in names:
        rows = _without_begun(store, plan, rows, keys)
    versions = (scope.version(definition.key), scope.project_version(definition))
    versioned = [nw.lit(value).alias(name) for name, value in zip(VERSIONS, versions, strict=True)]
    return _without_provenance(rows, names, on).join(fresh, on=on, how="inner").with_columns(*versioned)


def expected_provenance(
    store: StoreParts,
    scope: Scope,
    plan: FeaturePlan,
    parents: Mapping[FeatureKey, ExpectedRows] = MappingProxyType({}),
) -> tuple[nw.LazyFrame[Any], list[str]]:
    """Return the expected provenance, and the columns that tell its rows apart; ``parents`` stand in for tables.

    Those are the feature's IDs or, where one row of a parent makes many of the feature, the parents'.
    """
    request = UpdateRequest.build(plan, one_row_per_group=True, versioning_engine=store.versioning_engine)
    frame = Resolution.of(store, scope, plan, request, parents).expected()
    ids = list(plan.feature.id_columns)
    keys = ids if set(ids) <= set(frame.collect_schema()) else plan.input_id_columns
    return frame.select(*keys, *PROVENANCE), keys


def _without_begun(
    store: StoreParts, plan: FeaturePlan, rows: nw.LazyFrame[Any], keys: Sequence[str]
) -> nw.LazyFrame[Any]:
    """Leave out children whose parent has more of them to come: they were begun, and not finished."""
    ids, found = plan.feature.id_columns, find_or_none(store, plan.feature.key, allow_fallback=store.overlays)
    own = [name for name in ids if name not in keys]
    if found is None or not (own and no_markers(found.scan.schema, plan.feature)):
        return rows
    marked = found.scan.frame.filter(*(nw.col(name).is_null() for name in own))
    markers = replace(found, scan=replace(found.scan, frame=marked, table=None, row_id=None))
    latest = Latest((*ids, c.METAXY_FEATURE_VERSION), None, include_deleted=True)
    columns = [*keys, c.METAXY_FEATURE_VERSION]
    last = markers.engine.latest(markers.rows(latest.ids), latest, [*columns, c.METAXY_PROVENANCE], View())
    begun = collect_to_polars(last.filter(nw.col(c.METAXY_PROVENANCE) == BEGUN).select(*columns))
    if begun.is_empty():
        return rows
    others: Any = nw.from_native(begun.lazy())
    others = others if rows.implementation.is_polars() else store.engine.take(others)
    return rows.join(others, on=columns, how="anti")


def _without_provenance(rows: nw.LazyFrame[Any], names: list[str], on: Sequence[str]) -> nw.LazyFrame[Any]:
    """Drop what the new graph decides but the columns to join on, and data versions that only repeat the provenance."""
    if all(name in names for name in (c.METAXY_PROVENANCE, *DATA_VERSIONS)):
        custom = nw.col(c.METAXY_DATA_VERSION) != nw.col(c.METAXY_PROVENANCE)
        rows = rows.with_columns(nw.when(custom).then(nw.col(name)).alias(name) for name in DATA_VERSIONS)
    dropped = {*PROVENANCE, *VERSIONS, *c.STRAY_COLUMNS}.difference(on)
    return rows.drop(name for name in names if name in dropped)
