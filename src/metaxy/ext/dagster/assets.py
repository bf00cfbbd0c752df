"""Assets of features: an asset of Dagster gets the key, the dependencies and the versions of the feature that it is."""

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar, overload

import dagster as dg
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import DefinitionError, DefinitionWarning, warn_user
from metaxy.ext.dagster.columns import build_column_schema, lineage, merged_lineage, merged_schema
from metaxy.ext.dagster.constants import (
    DAGSTER_COLUMN_LINEAGE_METADATA_KEY,
    DAGSTER_COLUMN_SCHEMA_METADATA_KEY,
    DAGSTER_METAXY_FEATURE_METADATA_KEY,
    DAGSTER_METAXY_INFO_METADATA_KEY,
    DAGSTER_METAXY_KIND,
    METAXY_DAGSTER_METADATA_KEY,
)
from metaxy.ext.dagster.event_metadata import feature_info
from metaxy.ext.dagster.specs import (
    asset_key_of,
    attributes_of,
    by_feature,
    checked_key,
    definition_of,
    feature_of,
    feature_tags,
    spec_of_source,
    with_prefix,
)
from metaxy.ext.dagster.validating import missing_column, refuse_shared_features, refuse_unknown_columns
from metaxy.service.project import Project
from metaxy.wording import did_you_mean, first_line

Asset = TypeVar("Asset", dg.AssetsDefinition, dg.AssetSpec, dg.SourceAsset)
Key = str | Sequence[str] | dg.AssetKey

MOST_KINDS: Final = 3  # as many as Dagster shows on an asset
# Those that a feature may give its assets, beside their key.
ATTRIBUTES: Final = frozenset(inspect.signature(dg.AssetSpec.replace_attributes).parameters) - {"self", "key"}
# What a source has that a spec has not.
SOURCE_KEEPS: Final = (
    *("io_manager_key", "io_manager_def", "resource_defs", "observe_fn", "op_tags", "auto_observe_interval_minutes"),
    *("legacy_freshness_policy", "_required_resource_keys"),
)
SUBSET_INPUT: Final = "__subset_input__"  # how Dagster names inputs from assets of the same op


class Decorator(Protocol):
    """What `metaxify` returns without an asset."""

    def __call__(self, asset: Asset) -> Asset:
        """Return the asset with what Metaxy knows of its feature."""


@overload
def metaxify(
    asset: Asset,
    *,
    key: Key | None = None,
    key_prefix: str | Sequence[str] | None = None,
    inject_metaxy_kind: bool = True,
    inject_code_version: bool = True,
    set_description: bool = True,
    inject_column_schema: bool = True,
    inject_column_lineage: bool = True,
) -> Asset: ...
@overload
def metaxify(
    asset: None = None,
    *,
    key: Key | None = None,
    key_prefix: str | Sequence[str] | None = None,
    inject_metaxy_kind: bool = True,
    inject_code_version: bool = True,
    set_description: bool = True,
    inject_column_schema: bool = True,
    inject_column_lineage: bool = True,
) -> Decorator: ...
def metaxify(
    asset: Any = None,
    *,
    key: Key | None = None,
    key_prefix: str | Sequence[str] | None = None,
    inject_metaxy_kind: bool = True,
    inject_code_version: bool = True,
    set_description: bool = True,
    inject_column_schema: bool = True,
    inject_column_lineage: bool = True,
) -> Any:
    """Make an asset the one of the feature that its metadata ``metaxy/feature`` names.

    It gets the key of the feature, a dependency on the asset of each parent, a code version that changes with the
    feature, tags to select it by, and metadata: its definition, its columns and where they come from. What the asset
    has itself stays. The features must be in the active graph; assets of none keep all but gain ``key_prefix``.

    Args:
        asset: Assets, the spec of one, or a source; without, a decorator is returned.
        key: The key of the asset, instead of that of the feature.
        key_prefix: What comes before the key of the asset, and before those of the assets that it depends on.
        inject_metaxy_kind: Add the kind ``metaxy``, if there are fewer than three.
        inject_code_version: Add the code version of the feature to that of the asset.
        set_description: Describe an asset that has no description as the feature is described.
        inject_column_schema: Add the columns that the feature declares.
        inject_column_lineage: Add which columns of its parents they come from.

    Raises:
        DefinitionError: if the asset, or the feature about its assets, says something that cannot be (a ValueError).
        UnknownFeatureError: if the active graph does not have the feature (a KeyError).
    """
    if key is not None and key_prefix is not None:
        raise DefinitionError(
            f"metaxify got key={key!r} and key_prefix={key_prefix!r}: give one of them; a key may have its prefix in it"
        )
    adds = Injected(
        inject_metaxy_kind, inject_code_version, set_description, inject_column_schema, inject_column_lineage
    )
    wanted = None if key is None else checked_key(key, f"metaxify got key={key!r}")
    if key_prefix:
        checked_key(key_prefix, f"metaxify got key_prefix={key_prefix!r}")

    def decorate(asset: Any) -> Any:
        return _metaxified(asset, wanted, key_prefix or None, adds)

    return decorate if asset is None else decorate(asset)


@dataclass(frozen=True)
class Injected:
    """What assets get, beside their keys, dependencies and tags."""

    kind: bool
    code_version: bool
    description: bool
    column_schema: bool
    column_lineage: bool


@dataclass(frozen=True)
class Features:
    """What is known when assets are made: the project, and the assets that are made together."""

    project: Project
    specs: Sequence[dg.AssetSpec]
    key_prefix: str | Sequence[str] | None

    @cached_property
    def assets(self) -> dict[FeatureKey, list[dg.AssetKey]]:
        """The assets of each feature."""
        return {feature: [spec.key for spec in specs] for feature, specs in by_feature(self.specs).items()}

    def key_of(self, spec: dg.AssetSpec, wanted: dg.AssetKey | None) -> dg.AssetKey:
        """Return the key that an asset gets: several assets of one feature keep theirs."""
        feature = feature_of(spec)
        if feature is None or len(self.assets[feature]) > 1:
            return with_prefix(spec.key, self.key_prefix)
        return wanted or asset_key_of(self.project, feature, self.key_prefix)

    def assets_of(self, feature: FeatureKey) -> list[dg.AssetKey]:
        """Return the assets that a feature has, if they are made together, else the one that it should have."""
        return self.assets.get(feature) or [asset_key_of(self.project, feature, self.key_prefix)]


def _metaxified(asset: Any, key: dg.AssetKey | None, key_prefix: str | Sequence[str] | None, adds: Injected) -> Any:
    project = Project.loaded()
    if isinstance(asset, dg.AssetSpec):
        features = Features(project, [asset], key_prefix)
        renamed = asset.replace_attributes(key=features.key_of(asset, key))
        return _described(Features(project, [renamed], key_prefix), renamed, adds)
    if isinstance(asset, dg.SourceAsset):
        return _source(asset, _metaxified(spec_of_source(asset), key, key_prefix, adds))
    if isinstance(asset, dg.AssetsDefinition):
        return _assets(Features(project, list(asset.specs), key_prefix), asset, key, adds)
    raise DefinitionError(f"metaxify takes assets, their specs and sources, not {asset!r}: apply it above @dg.asset")


# -- assets ------------------------------------------------------------------------------------------------------------


def _assets(
    features: Features, asset: dg.AssetsDefinition, key: dg.AssetKey | None, adds: Injected
) -> dg.AssetsDefinition:
    if key is not None and len(features.specs) > 1:
        names = ", ".join(spec.key.to_user_string() for spec in features.specs)
        raise DefinitionError(
            f"metaxify got key={key.path!r} for several assets ({names}): leave it out, give key_prefix, "
            'or name asset_key in the "dagster/attributes" of each feature'
        )
    refuse_shared_features(features.specs)
    keys = {spec.key: features.key_of(spec, key) for spec in features.specs}
    renamed = asset.with_attributes(asset_key_replacements=keys)
    named = Features(features.project, list(renamed.specs), features.key_prefix)
    return _with_specs(renamed, [_described(named, spec, adds) for spec in named.specs])


def _with_specs(asset: dg.AssetsDefinition, specs: Sequence[dg.AssetSpec]) -> dg.AssetsDefinition:
    """Return assets with other specs; their op waits for what they depend on, and does otherwise what it did."""
    attributes = {**asset.get_attributes_dict(), "specs": specs}
    more = _waiting(asset, specs)
    if more and isinstance(node := asset.node_def, dg.OpDefinition):
        inputs = {each.name: dg.In.from_definition(each) for each in node.input_defs}
        inputs |= {name: dg.In(dg.Nothing) for name in more}
        attributes["node_def"] = node.with_replaced_properties(name=node.name, ins=inputs)
        attributes["keys_by_input_name"] = {**asset.node_keys_by_input_name, **more}
    return type(asset).dagster_internal_init(**attributes)


def _waiting(asset: dg.AssetsDefinition, specs: Iterable[dg.AssetSpec]) -> dict[str, dg.AssetKey]:
    """Return names for inputs without a value: those of dependencies that the op has no input for.

    Without one, a run would not wait for them: Dagster orders ops by their inputs.
    """
    if not asset.is_materializable:
        return {}
    taken = set(asset.node_keys_by_input_name)
    known = set(asset.node_keys_by_input_name.values())
    outputs = {key: name for name, key in asset.node_keys_by_output_name.items()}
    found: dict[str, dg.AssetKey] = {}
    for key in dict.fromkeys(dep.asset_key for spec in specs for dep in spec.deps):
        if key in known or (key in outputs and not asset.can_subset):
            continue
        name = SUBSET_INPUT + outputs[key] if key in outputs else key.to_python_identifier()
        while name in taken:
            name += "_"
        taken.add(name)
        found[name] = key
    return found


# -- sources -----------------------------------------------------------------------------------------------------------


def _source(asset: dg.SourceAsset, spec: dg.AssetSpec) -> dg.SourceAsset:
    """Return a source with what its spec says; sources have no dependencies and no code versions."""
    metadata = {key: value for key, value in spec.metadata.items() if key != DAGSTER_COLUMN_LINEAGE_METADATA_KEY}
    own = {name: getattr(asset, name) for name in SOURCE_KEEPS}
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, dg.BetaWarning):  # Dagster's, of sources: the user has one already
            warnings.simplefilter("ignore", kind)
        return dg.SourceAsset.dagster_internal_init(
            **own,
            key=spec.key,
            metadata=metadata,
            description=spec.description,
            partitions_def=spec.partitions_def,
            group_name=spec.group_name,
            automation_condition=spec.automation_condition,
            tags=spec.tags,
        )


# -- what an asset gets ------------------------------------------------------------------------------------------------


def _described(features: Features, spec: dg.AssetSpec, adds: Injected) -> dg.AssetSpec:
    definition = definition_of(features.project, spec)
    if definition is None:
        return spec
    spec = _with_attributes(spec, definition)
    refuse_unknown_columns(features.project, spec, definition)
    if message := missing_column(spec):
        warn_user(message, DefinitionWarning)
    tags = {name: value for name, value in spec.tags.items() if not name.startswith("dagster/kind/")}
    kinds = set(spec.kinds)
    if adds.kind and len(kinds) < MOST_KINDS:
        kinds.add(DAGSTER_METAXY_KIND)
    return spec.replace_attributes(
        deps=_deps(features, spec, definition),
        description=spec.description or (definition.spec.description if adds.description else None),
        code_version=_code_version(spec.code_version, definition) if adds.code_version else spec.code_version,
        kinds=kinds,
        tags={**tags, **feature_tags(definition)},
        metadata={**spec.metadata, **_metadata(features, spec, definition, adds)},
    )


def _deps(features: Features, spec: dg.AssetSpec, definition: FeatureDefinition) -> list[dg.AssetDep]:
    own = {dep.asset_key: dep for dep in spec.deps}
    parents = {key: dg.AssetDep(key) for dep in definition.spec.deps for key in features.assets_of(dep.feature)}
    return list({**parents, **own}.values())


def _code_version(own: str | None, definition: FeatureDefinition) -> str:
    version = f"{DAGSTER_METAXY_KIND}:{definition.spec.code_version}"
    given = own.split(",") if own else []
    return ",".join(given if version in given else [*given, version])


def _metadata(features: Features, spec: dg.AssetSpec, definition: FeatureDefinition, adds: Injected) -> dict[str, Any]:
    own, project = spec.metadata, features.project
    found: dict[str, Any] = {
        DAGSTER_METAXY_FEATURE_METADATA_KEY: str(definition.key),
        DAGSTER_METAXY_INFO_METADATA_KEY: feature_info(project, definition.key),
    }
    if adds.column_schema and not definition.is_external:
        name = DAGSTER_COLUMN_SCHEMA_METADATA_KEY
        found[name] = merged_schema(own.get(name), build_column_schema(definition))
    if adds.column_lineage and (comes_from := lineage(project, definition, features.assets_of)):
        name = DAGSTER_COLUMN_LINEAGE_METADATA_KEY
        found[name] = merged_lineage(own.get(name), comes_from)
    return found


def _with_attributes(spec: dg.AssetSpec, definition: FeatureDefinition) -> dg.AssetSpec:
    """Return an asset with the attributes that the spec of its feature gives it.

    They replace its own, but for what must not get lost: description, code version, dependencies and metadata.
    """
    given = {name: value for name, value in attributes_of(definition.spec).items() if name != "asset_key"}
    for name in given:
        if name not in ATTRIBUTES:
            raise DefinitionError(
                f"{_where(definition)} has {name!r}, which assets do not have.{did_you_mean(name, ATTRIBUTES)} "
                f"Take one of {', '.join(sorted({*ATTRIBUTES, 'asset_key'}))}"
            )
    for name in ("description", "code_version"):
        if getattr(spec, name):
            given.pop(name, None)
    try:
        return spec.replace_attributes(**_for_dagster(spec, given))
    except Exception as error:  # Dagster has many kinds
        raise DefinitionError(f"{_where(definition)} has what no asset can have: {first_line(error)}") from error


def _for_dagster(spec: dg.AssetSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as Dagster takes them; a spec of Metaxy holds only what JSON has."""
    found = dict(given)
    if "kinds" in found:
        found["kinds"] = set(found["kinds"])
    if "deps" in found:
        found["deps"] = [*spec.deps, *found["deps"]]
    if "metadata" in found:
        found["metadata"] = {**spec.metadata, **found["metadata"]}
    return found


def _where(definition: FeatureDefinition) -> str:
    return f"the metadata \"{METAXY_DAGSTER_METADATA_KEY}\" of feature '{definition.key}'"
