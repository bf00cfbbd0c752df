"""Assets that cannot be what they say: refused where they are defined, not when they run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import dagster as dg
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import DefinitionError
from metaxy.ext.dagster.constants import DAGSTER_METAXY_PARTITION_KEY, DAGSTER_METAXY_PARTITION_METADATA_KEY
from metaxy.ext.dagster.partitions import fixed_values, partition_columns
from metaxy.ext.dagster.specs import by_feature, definition_of, spec_of_source
from metaxy.service.columns import undeclared
from metaxy.service.project import Project


def validate_definitions(defs: dg.Definitions) -> dg.Definitions:
    """Refuse definitions whose features cannot all be what their assets say, and return them otherwise.

    Each feature must be in the active graph, have one asset, or several that each say which rows they have, and depend
    on the assets that its parents have here, so that runs wait for these.

    Args:
        defs: All definitions of a code location.

    Raises:
        DefinitionError: if they do not fit (a ValueError).
        UnknownFeatureError: if there is no such feature (a KeyError).
    """
    project = Project.loaded()
    specs = list({spec.key: spec for asset in defs.assets or () for spec in _specs(asset)}.values())
    refuse_shared_features(specs)
    assets = by_feature(specs)
    for spec in specs:
        if (definition := definition_of(project, spec)) is not None:
            refuse_unknown_columns(project, spec, definition)
            refuse_keys_without_column(spec)
            _refuse_strangers(spec, definition, assets)
    return defs


def refuse_shared_features(specs: Iterable[dg.AssetSpec]) -> None:
    """Refuse several assets of one feature, unless each says which of its rows it has.

    Raises:
        DefinitionError: if one does not, or two may have the same row.
    """
    for feature, shared in by_feature(specs).items():
        if any(not _are_apart(*pair) for pair in combinations(map(_part, shared), 2)):
            raise DefinitionError(
                f"assets {_names(shared)} are all feature '{feature}': give each the metadata "
                f'"{DAGSTER_METAXY_PARTITION_METADATA_KEY}": {{"column": "value"}} with the rows that only it has'
            )


def refuse_unknown_columns(project: Project, spec: dg.AssetSpec, definition: FeatureDefinition) -> None:
    """Refuse partitions that are told apart by a column which the feature cannot have.

    Raises:
        DefinitionError: if it declares other columns.
    """
    names = [*partition_columns(spec.metadata, spec.partitions_def).values(), *fixed_values(spec.metadata)]
    for name, hint in undeclared(project, definition, names).items():
        raise DefinitionError(
            f"the rows of asset {spec.key.to_user_string()!r} are told apart by {name!r}, which feature "
            f"'{definition.key}' does not declare.{hint} Add the column to its class, or name one that it has"
        )


def refuse_keys_without_column(spec: dg.AssetSpec) -> None:
    """Refuse partitions of which nothing says what rows they have.

    Raises:
        DefinitionError: if there is no column for their keys.
    """
    if message := missing_column(spec):
        raise DefinitionError(message)


def missing_column(spec: dg.AssetSpec) -> str | None:
    """Say that the partitions of an asset have no column, and how to name it; None if they have, or there are none."""
    if spec.partitions_def is None or partition_columns(spec.metadata, spec.partitions_def):
        return None
    return (
        f"asset {spec.key.to_user_string()!r} has partitions, but nothing says which rows are in one, so that each run "
        f'would work on all: give it the metadata "{DAGSTER_METAXY_PARTITION_KEY}": "<column>"'
    )


def _refuse_strangers(
    spec: dg.AssetSpec, definition: FeatureDefinition, assets: Mapping[FeatureKey, Sequence[dg.AssetSpec]]
) -> None:
    """Refuse an asset that depends on none of the assets that a parent has."""
    deps = {dep.asset_key for dep in spec.deps}
    for dep in definition.spec.deps:
        parents = assets.get(dep.feature, ())
        if parents and not deps & {parent.key for parent in parents}:
            raise DefinitionError(
                f"asset {spec.key.to_user_string()!r} does not depend on {_names(parents)}, of its parent feature "
                f"'{dep.feature}': metaxify both with the same key_prefix, name the parent's asset_key in its "
                '"dagster/attributes", or give deps=[…]'
            )


def _part(spec: dg.AssetSpec) -> dict[str, set[str]]:
    """Return what the metadata say, as texts: a day may be one or be written as one."""
    return {column: {str(value) for value in values} for column, values in fixed_values(spec.metadata).items()}


def _are_apart(one: Mapping[str, set[str]], other: Mapping[str, set[str]]) -> bool:
    """Whether no row can be of both parts: some column would need two values."""
    return any(one[column].isdisjoint(other[column]) for column in one.keys() & other.keys())


def _specs(asset: Any) -> Iterator[dg.AssetSpec]:
    if isinstance(asset, dg.AssetSpec):
        yield asset
    elif isinstance(asset, dg.AssetsDefinition):
        yield from asset.specs
    elif isinstance(asset, dg.SourceAsset):
        yield spec_of_source(asset)


def _names(specs: Iterable[dg.AssetSpec]) -> str:
    return " and ".join(repr(spec.key.to_user_string()) for spec in specs)
