"""What an asset of Dagster is in Metaxy: its feature, the definition of that, and the key that such assets have."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias

import dagster as dg
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, coerce_to_feature_key
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import DefinitionError
from metaxy.ext.dagster.constants import (
    DAGSTER_METAXY_FEATURE_METADATA_KEY,
    DAGSTER_METAXY_PROJECT_TAG_KEY,
    METAXY_DAGSTER_METADATA_KEY,
)
from metaxy.service.project import Project

Metadata: TypeAlias = Mapping[str, Any]
TAG_LENGTH: Final = 63  # Dagster refuses longer ones


def feature_of(spec: dg.AssetSpec) -> FeatureKey | None:
    """Return the feature that an asset is, None if it is none.

    Raises:
        DefinitionError: if its metadata says something that is no key.
    """
    return feature_in(spec.metadata, f"asset {spec.key.to_user_string()!r}")


def feature_in(metadata: Metadata, where: str = "the asset") -> FeatureKey | None:
    """Return the feature that metadata of an asset name, None if they name none; ``where`` is for the error.

    Raises:
        DefinitionError: if they say something that is no key.
    """
    value = metadata.get(DAGSTER_METAXY_FEATURE_METADATA_KEY)
    if value is None:
        return None
    try:
        return coerce_to_feature_key(plain(value))
    except (TypeError, ValueError):
        message = f'{where} has the metadata "{DAGSTER_METAXY_FEATURE_METADATA_KEY}": {value!r}, which is no feature'
        raise DefinitionError(f'{message}: write its key, such as "video/raw"') from None


def plain(value: Any) -> Any:
    """Return what metadata say, as it was before Dagster wrapped it."""
    return value.value if isinstance(value, dg.MetadataValue) else value


def definition_of(project: Project, spec: dg.AssetSpec) -> FeatureDefinition | None:
    """Return the definition of the feature that an asset is, None if it is none.

    Raises:
        UnknownFeatureError: if the project has no such feature (a KeyError); its message has the near name.
    """
    key = feature_of(spec)
    return None if key is None else project.graph.get_feature_definition(key)


def features_of(specs: Iterable[dg.AssetSpec]) -> Iterator[tuple[dg.AssetSpec, FeatureKey]]:
    """Give those of some assets that are features, each with its feature."""
    for spec in specs:
        if (key := feature_of(spec)) is not None:
            yield spec, key


def by_feature(specs: Iterable[dg.AssetSpec]) -> dict[FeatureKey, list[dg.AssetSpec]]:
    """Return those of some assets that are features, by their features."""
    found: dict[FeatureKey, list[dg.AssetSpec]] = {}
    for spec, feature in features_of(specs):
        found.setdefault(feature, []).append(spec)
    return found


def spec_of_source(asset: dg.SourceAsset) -> dg.AssetSpec:
    """Return the spec of a source, which has none."""
    return dg.AssetSpec(
        asset.key,
        metadata=asset.raw_metadata,
        description=asset.description,
        group_name=asset.group_name,
        tags=asset.tags,
        partitions_def=asset.partitions_def,
        automation_condition=asset.automation_condition,
    )


def asset_key_of(
    project: Project, feature: CoercibleToFeatureKey, key_prefix: str | Sequence[str] | None = None
) -> dg.AssetKey:
    """Return the key that the asset of a feature has: the one that its spec names, else that of the feature.

    A feature that the project does not have, such as one of another project, has its own key.

    Args:
        key_prefix: What comes before it.
    """
    key = coerce_to_feature_key(feature)
    definition = project.graph.feature_definitions_by_key.get(key)
    own = own_asset_key(definition.spec) if definition else dg.AssetKey(list(key.parts))
    return with_prefix(own, key_prefix)


def own_asset_key(spec: FeatureSpec) -> dg.AssetKey:
    """Return the key that the spec of a feature names for its asset, else that of the feature.

    Raises:
        DefinitionError: if it names what is no key (a ValueError).
    """
    own = attributes_of(spec).get("asset_key")
    where = f"feature '{spec.key}' has asset_key {own!r} in its \"{METAXY_DAGSTER_METADATA_KEY}\""
    return dg.AssetKey(list(spec.key.parts)) if own is None else checked_key(own, where)


def checked_key(value: Any, where: str) -> dg.AssetKey:
    """Return what someone gave as the key of an asset.

    Raises:
        DefinitionError: if it is none; ``where`` begins the message (a ValueError).
    """
    if isinstance(value, dg.AssetKey):
        return value
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not parts or not all(isinstance(part, str) and part for part in parts):
        raise DefinitionError(f'{where}, which is no key of an asset: write "video", or its parts ["videos", "raw"]')
    return dg.AssetKey(list(parts))


def with_prefix(key: dg.AssetKey, key_prefix: str | Sequence[str] | None) -> dg.AssetKey:
    """Return the key of an asset with what comes before it."""
    return key if key_prefix is None else key.with_prefix(key_prefix)


def attributes_of(spec: FeatureSpec) -> dict[str, Any]:
    """Return the attributes that the spec of a feature gives its assets.

    Raises:
        DefinitionError: if they are no mapping (a ValueError).
    """
    found = spec.metadata.get(METAXY_DAGSTER_METADATA_KEY, {})
    if not isinstance(found, dict):
        raise DefinitionError(
            f"feature '{spec.key}' has the metadata \"{METAXY_DAGSTER_METADATA_KEY}\": {found!r}, which is no "
            'mapping: write attributes of its asset, such as {"group_name": "videos"}'
        )
    return found


def feature_tags(definition: FeatureDefinition) -> dict[str, str]:
    """Return the tags by which the assets of a feature can be selected."""
    return {
        DAGSTER_METAXY_PROJECT_TAG_KEY: definition.project,
        DAGSTER_METAXY_FEATURE_METADATA_KEY: feature_tag(definition.key),
    }


def feature_tag(feature: FeatureKey) -> str:
    """Return a feature as the value of a tag: its parts, joined by two underscores.

    The end of one that is longer than Dagster allows is replaced by a hash, so that each feature still has its own.

    >>> feature_tag(FeatureKey("video/raw"))
    'video__raw'
    """
    name = feature.table_name
    if len(name) <= TAG_LENGTH:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{name[: TAG_LENGTH - len(digest) - 1]}.{digest}"
