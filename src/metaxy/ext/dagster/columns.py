"""Columns of features, as Dagster shows them: their types, and which columns of other assets they come from."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import dagster as dg
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.ext.dagster.specs import asset_key_of, plain
from metaxy.service.columns import column_sources, columns
from metaxy.service.project import Project

Feature: TypeAlias = FeatureDefinition | CoercibleToFeatureKey
AssetsOf: TypeAlias = Callable[[FeatureKey], Iterable[dg.AssetKey]]


def build_column_schema(feature: Feature) -> dg.TableSchema:
    """Return the columns of a feature and of Metaxy, by name, with their types and descriptions.

    Args:
        feature: The feature, as a class, a definition or a key; one that is external has none.

    Raises:
        UnknownFeatureError: if the active graph does not have it (a KeyError).
    """
    found = columns(known(Project.loaded(), feature))
    return dg.TableSchema([dg.TableColumn(each.name, each.type, each.description) for each in found])


def build_column_lineage(
    feature: Feature, feature_spec: FeatureSpec | None = None, *, key_prefix: str | Sequence[str] | None = None
) -> dg.TableColumnLineage | None:
    """Return the columns of its parents' assets that each column of a feature comes from; None if it has no parents.

    Args:
        feature: The feature, as a class, a definition or a key.
        feature_spec: Use this spec instead of its own.
        key_prefix: What comes before the keys of the assets, as `metaxify` takes it.

    Raises:
        UnknownFeatureError: if the active graph does not have it, or one of its parents (a KeyError).
    """
    project = Project.loaded()
    definition = known(project, feature)
    if feature_spec is not None:
        definition = definition.model_copy(update={"spec": feature_spec})
    return lineage(project, definition, lambda key: [asset_key_of(project, key, key_prefix)])


def lineage(project: Project, definition: FeatureDefinition, assets_of: AssetsOf) -> dg.TableColumnLineage | None:
    """Return the columns that each column of a feature comes from, in the assets that a function gives for a parent."""
    if definition.is_external or not definition.spec.deps:
        return None
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(key, source.column) for source in sources for key in assets_of(source.feature)]
            for column, sources in column_sources(project, definition).items()
        }
    )


def known(project: Project, feature: Feature) -> FeatureDefinition:
    """Return the definition of a feature.

    Raises:
        UnknownFeatureError: if the project does not have it (a KeyError).
    """
    return feature if isinstance(feature, FeatureDefinition) else project.graph.get_feature_definition(feature)


def merged_schema(own: Any, added: dg.TableSchema) -> dg.TableSchema:
    """Return the columns that a user describes, then those of ``added`` that they do not describe."""
    if (schema := plain(own)) is None:
        return added
    names = {column.name for column in schema.columns}
    more = [column for column in added.columns if column.name not in names]
    return dg.TableSchema([*schema.columns, *more], schema.constraints)


def merged_lineage(own: Any, added: dg.TableColumnLineage) -> dg.TableColumnLineage:
    """Return the sources of each column that a user names, then those of ``added``."""
    if (given := plain(own)) is None:
        return added
    first, then = given.deps_by_column, added.deps_by_column
    return dg.TableColumnLineage(
        {column: list(dict.fromkeys([*first.get(column, ()), *then.get(column, ())])) for column in {**first, **then}}
    )
