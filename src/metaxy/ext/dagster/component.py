"""`MetaxyComponent`: the features of a project as assets of Dagster, as a YAML file says."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field

import dagster as dg
from dagster import AssetExecutionContext
from metaxy import _lazy
from metaxy.config.files import find_config_file
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import ConfigFileNotFoundError, InvalidConfigError
from metaxy.ext.dagster.assets import metaxify
from metaxy.ext.dagster.automation import automation_sensor, has_changes
from metaxy.ext.dagster.checks import build_in_sync_checks, build_row_error_checks
from metaxy.ext.dagster.computing import AssetOptions, assets_from_functions
from metaxy.ext.dagster.constants import DAGSTER_METAXY_FEATURE_METADATA_KEY
from metaxy.ext.dagster.events import generate_observe_results
from metaxy.ext.dagster.resources import MetaxyStoreFromConfigResource
from metaxy.ext.dagster.specs import asset_key_of
from metaxy.ext.dagster.targets import assets_of
from metaxy.process import computed, computes
from metaxy.service.project import Project
from metaxy.service.selecting import select
from metaxy.wording import did_you_mean, first_line


def _beside_the_file(context: dg.ResolutionContext, value: str | None) -> Path | None:
    return None if value is None else context.resolve_source_relative_path(context.resolve_value(value, as_type=str))


ConfigFile: TypeAlias = Annotated[
    Path | None,
    dg.Resolver(
        _beside_the_file,
        model_field_type=str | None,
        description="The configuration file of the project, seen from this file; the nearest one by default.",
        examples=["../../../metaxy.toml"],
    ),
]


class MetaxyComponent(dg.Component, dg.Resolvable, dg.Model):
    """Features of a Metaxy project as assets.

    A feature that a function computes can be materialized: a run computes the samples that are new or stale. Others are
    external assets, and can be observed.
    """

    project: ConfigFile = None
    store: str | None = Field(None, description="Name of a configured store; the default one if not given.")
    features: str | Sequence[str] = Field(
        "*", description="Keys of features, or patterns such as video/*.", examples=[["video/*", "summary"]]
    )
    up: int = Field(0, description="How many levels of parents of these features as well.")
    down: int = Field(0, description="How many levels of features that depend on these as well.")
    functions: Mapping[str, str] = Field(
        default_factory=dict,
        description="Functions that compute features, beside those that @mx.computes decorates: package.module:name.",
        examples=[{"video/faces": "media.pipeline:count_faces"}],
    )
    key_prefix: str | Sequence[str] | None = Field(None, description="What comes before the keys of all assets.")
    group_name: str | None = Field(None, description="The group of assets whose features name none.")
    checks: bool = Field(True, description="Whether assets have checks: in sync, and no failed samples.")
    automation: bool = Field(False, description="Whether assets are materialized when samples are new or stale.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return an asset for each feature, and the store that they are in.

        Raises:
            MetaxyError: if there is no such configuration, store, feature or function.
        """
        project = _project(_config_file(self.project or context.path))
        key, resource = _store(project, self.store or project.config.store)
        features = self._selected(project)
        with project.active():
            _register(project, self.functions)
            functions = computed()
            made = assets_from_functions(
                features=[feature for feature in features if feature in functions],
                store_resource_key=key,
                **self._options(),
            )
            others = [self._external(project, feature) for feature in features if feature not in functions]
            return dg.Definitions(
                assets=[*made, *([_observed(project, others, key)] if others else [])],
                asset_checks=_checks(project, made, others, key) if self.checks else None,
                sensors=[_sensor(made)] if self.automation and made else None,
                resources={key: resource},
            )

    def _selected(self, project: Project) -> list[FeatureKey]:
        """Return the features that are meant, dependencies first."""
        patterns = [self.features] if isinstance(self.features, str) else self.features
        if not patterns:
            raise InvalidConfigError("features: names none; leave it out for all features of the project")
        for name, levels in {"up": self.up, "down": self.down}.items():
            if levels < 0:
                raise InvalidConfigError(f"{name}: {levels} is no number of levels: write 0 or more")
        return select(project, patterns, up=self.up, down=self.down)

    def _options(self) -> AssetOptions:
        """Return what is said of assets, without what is not said."""
        options: AssetOptions = {"backfill_policy": dg.BackfillPolicy.single_run()}  # one computation for a range
        if self.automation:
            options["automation_condition"] = has_changes(store=self.store)
        if self.key_prefix is not None:
            options["key_prefix"] = self.key_prefix
        if self.group_name is not None:
            options["group_name"] = self.group_name
        return options

    def _external(self, project: Project, feature: FeatureKey) -> dg.AssetSpec:
        """Return the asset of a feature that others compute."""
        metadata = {DAGSTER_METAXY_FEATURE_METADATA_KEY: str(feature)}
        spec = dg.AssetSpec(asset_key_of(project, feature), metadata=metadata, group_name=self.group_name)
        return metaxify(spec, key_prefix=self.key_prefix)


def _observed(project: Project, specs: Sequence[dg.AssetSpec], store: str) -> dg.AssetsDefinition:
    """Return assets that others compute as what Dagster can look at, with one opening of the store for all of them."""

    def observe(context: AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        yield from generate_observe_results(context, getattr(context.resources, store), project=project)

    name = _name("observation_of", [spec.key for spec in specs])
    decorate = dg.multi_observable_source_asset(specs=specs, name=name, can_subset=True, required_resource_keys={store})
    made: dg.AssetsDefinition = decorate(observe)
    return made


def _name(what: str, keys: Sequence[dg.AssetKey]) -> str:
    """Return a name for what is done with some assets, that nothing else in the code location has."""
    more = f"_and_{len(keys) - 1}_more" if keys[1:] else ""
    return f"{what}_{keys[0].to_python_identifier()}{more}"


def _checks(
    project: Project, made: Sequence[dg.AssetsDefinition], others: Sequence[dg.AssetSpec], store: str
) -> list[dg.AssetChecksDefinition]:
    """Return the checks of assets: have they what they should and, of those made here, did all samples succeed?"""
    every: list[dg.AssetsDefinition | dg.AssetSpec] = [*made, *others]
    can_be_counted = any(asset.can_be_counted for asset in assets_of(project, every))
    return [
        *(build_in_sync_checks(every, store_resource_key=store) if can_be_counted else ()),
        *(build_row_error_checks(made, store_resource_key=store) if made else ()),
    ]


def _sensor(made: Sequence[dg.AssetsDefinition]) -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that looks after some assets, under a name that is theirs; it runs unless somebody stops it."""
    keys = [asset.key for asset in made]
    chosen, running = dg.AssetSelection.assets(*keys), dg.DefaultSensorStatus.RUNNING
    return automation_sensor(_name("automation_of", keys), chosen, default_status=running)


@cache
def _project(config_file: Path) -> Project:
    """Return the project of a file: one per process, as its modules are imported once."""
    return Project(config_file)


def _config_file(start: Path) -> Path:
    """Return a configuration file, the nearest one where a folder is named."""
    if not start.is_dir():
        return start
    if (found := find_config_file(start, search_parents=True)) is None:
        message = f"no metaxy.toml, nor a pyproject.toml with [tool.metaxy], in {start} or a folder above"
        raise ConfigFileNotFoundError(f"{message}; write one, or name it: `project: path/to/metaxy.toml`")
    return found


def _store(project: Project, name: str) -> tuple[str, MetaxyStoreFromConfigResource]:
    """Return a store of a project as a resource, with its key, which no store of another project has.

    Raises:
        InvalidConfigError: if there is no such store, or it cannot be built.
    """
    project.config.get_store(name)
    return re.sub(r"\W", "_", f"metaxy_{project.name or 'project'}_{name}"), _resource(project, name)


@cache
def _resource(project: Project, name: str) -> MetaxyStoreFromConfigResource:
    """Return one object for each store: two would be a conflict to Dagster."""
    with project.active():
        return MetaxyStoreFromConfigResource(name=name)


def _register(project: Project, functions: Mapping[str, str]) -> None:
    """Name the functions of features for all that asks for them, as `metaxy.process.computes` does.

    Raises:
        InvalidConfigError: if there is no such feature or function.
    """
    keys = {str(key): key for key in project.graph.feature_definitions_by_key}
    for feature, target in functions.items():
        if feature not in keys:
            message = f"functions: there is no feature {feature!r} in project {project.name}."
            known = ", ".join(sorted(keys)) or "none"
            raise InvalidConfigError(f"{message}{did_you_mean(feature, keys)} Known: {known}")
        computes(keys[feature])(_function(feature, target))


def _function(feature: str, target: str) -> Any:
    """Return the function that a text names.

    Raises:
        InvalidConfigError: if it names none.
    """
    where = f"functions: {feature}: {target!r}"
    module, colon, name = target.partition(":")
    if not (colon and module and name):
        raise InvalidConfigError(f"{where} is not written as package.module:function")
    try:
        found = _lazy.resolve(module)
    except ImportError as error:
        raise InvalidConfigError(f"{where} cannot be imported: {first_line(error)}") from error
    if not hasattr(found, name):
        raise InvalidConfigError(f"{where}: module {module} has no {name!r}.{did_you_mean(name, dir(found))}")
    if not callable(function := getattr(found, name)):
        raise InvalidConfigError(f"{where} is no function, but has the type {type(function).__name__}")
    return function
