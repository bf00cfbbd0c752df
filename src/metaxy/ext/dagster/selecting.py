"""Selections of assets by what Metaxy knows of them."""

import dagster as dg
from metaxy.definitions.keys import CoercibleToFeatureKey
from metaxy.errors import DefinitionError
from metaxy.ext.dagster.constants import DAGSTER_METAXY_FEATURE_METADATA_KEY, DAGSTER_METAXY_PROJECT_TAG_KEY
from metaxy.ext.dagster.specs import feature_tag
from metaxy.service.project import Project


def select_metaxy_assets(
    *, project: str | None = None, feature: CoercibleToFeatureKey | None = None, include_sources: bool = False
) -> dg.AssetSelection:
    """Select the assets of a project, or those of one of its features.

    Args:
        project: The project; by default that of the feature, without one the configured project.
        feature: A feature of the active graph.
        include_sources: Select those, too, that Dagster does not materialize, such as those that are only observed.

    Raises:
        UnknownFeatureError: if the active graph does not have the feature (a KeyError).
        DefinitionError: if it is not known which project is meant (a ValueError).
    """
    loaded = Project.loaded()
    definition = None if feature is None else loaded.graph.get_feature_definition(feature)
    named = project or (definition.project if definition else loaded.config.project)
    if named is None:
        raise DefinitionError('select_metaxy_assets needs a project: pass project="…", or set it in metaxy.toml')
    selection = dg.AssetSelection.tag(DAGSTER_METAXY_PROJECT_TAG_KEY, named, include_sources)
    if definition is None:
        return selection
    tag = feature_tag(definition.key)
    return selection & dg.AssetSelection.tag(DAGSTER_METAXY_FEATURE_METADATA_KEY, tag, include_sources)
