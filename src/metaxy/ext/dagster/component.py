"""`MetaxyComponent`: the features of a project as assets of Dagster, as a YAML file says."""

import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

from pydantic import Field

import dagster as dg
from metaxy import _lazy
from metaxy.config.files import find_config_file
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import ConfigFileNotFoundError, InvalidConfigError
from metaxy.ext.dagster.computing import AssetOptions, assets_from_functions
from metaxy.ext.dagster.constants import DAGSTER_METAXY_FEATURE_METADATA_KEY
from metaxy.ext.dagster.specs import asset_key_of
from metaxy.process import Computed, computed
from metaxy.service.project import Project
from metaxy.service.selecting import select
from metaxy.wording import did_you_mean


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
            functions = {**computed(), **_functions(project, self.functions)}
            made = assets_from_functions(
                functions,
                features=[feature for feature in features if feature in functions],
                store_resource_key=key,
                **self._placing(),
            )
        found = [self._external(project, feature) for feature in features if feature not in functions]
        return dg.Definitions(assets=[*made, *found], resources={key: resource})

    def _selected(self, project: Project) -> list[FeatureKey]:
        """Return the features that are meant, dependencies first."""
        patterns = [self.features] if isinstance(self.features, str) else self.features
        if not patterns:
            raise InvalidConfigError("features: names none; leave it out for all features of the project")
        for name, levels in {"up": self.up, "down": self.down}.items():
            if levels < 0:
                raise InvalidConfigError(f"{name}: {levels} is no number of levels: write 0 or more")
        return select(project, patterns, up=self.up, down=self.down)

    def _placing(self) -> AssetOptions:
        """Return what is said of where assets stand, without what is not said."""
        said = {"key_prefix": self.key_prefix, "group_name": self.group_name}
        return cast("AssetOptions", {name: value for name, value in said.items() if value is not None})

    def _external(self, project: Project, feature: FeatureKey) -> dg.AssetSpec:
        """Return the asset of a feature that others compute."""
        deps = project.graph.get_feature_definition(feature).spec.deps
        return dg.AssetSpec(
            asset_key_of(project, feature, self.key_prefix),
            deps=[asset_key_of(project, dep.feature, self.key_prefix) for dep in deps],
            metadata={DAGSTER_METAXY_FEATURE_METADATA_KEY: str(feature)},
            group_name=self.group_name,
        )


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


def _store(project: Project, name: str) -> tuple[str, dg.ResourceDefinition]:
    """Return a store of a project as a resource, with its key, which no store of another project has.

    Raises:
        InvalidConfigError: if there is no such store, or it cannot be built.
    """
    project.config.get_store(name)
    return re.sub(r"\W", "_", f"metaxy_{project.name or 'project'}_{name}"), _resource(project, name)


@cache
def _resource(project: Project, name: str) -> dg.ResourceDefinition:
    """Return one object for each store: two would be a conflict to Dagster."""

    @dg.resource(description=f"Store {name} of project {project.name}")
    def store(context: dg.InitResourceContext) -> Any:
        run = context.run.run_id if context.run else None
        return project.config.get_store(name, materialization_id=run)

    return store


def _functions(project: Project, named: Mapping[str, str]) -> dict[FeatureKey, Computed]:
    """Return the functions that texts name for features.

    Raises:
        InvalidConfigError: if there is no such feature or function.
    """
    keys = {str(key): key for key in project.graph.feature_definitions_by_key}
    if unknown := next((feature for feature in named if feature not in keys), None):
        message = f"functions: there is no feature {unknown!r} in project {project.name}.{did_you_mean(unknown, keys)}"
        raise InvalidConfigError(f"{message} Known: {', '.join(sorted(keys)) or 'none'}")
    return {keys[feature]: Computed.of(_function(feature, target)) for feature, target in named.items()}


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
        function = _lazy.resolve(target)
    except ImportError as error:
        raise InvalidConfigError(f"{where} cannot be imported: {error}") from error
    except AttributeError:
        near = did_you_mean(name, vars(sys.modules[module]))
        raise InvalidConfigError(f"{where}: module {module} has no {name!r}.{near}") from None
    if not callable(function):
        raise InvalidConfigError(f"{where} is no function, but a {type(function).__name__}")
    return function
