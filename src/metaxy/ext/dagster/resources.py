"""Stores of the configuration as resources of Dagster."""

from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from pydantic import PrivateAttr

import dagster as dg
from metaxy import MetadataStore
from metaxy.config import MetaxyConfig
from metaxy.service.project import Project


def project_if_set() -> Project | None:
    """Return what this process has loaded, None as long as it has no configuration."""
    return Project.loaded() if MetaxyConfig.is_set() else None


class OfProject:
    """A resource that keeps the project of the process that made it, in all copies that Dagster makes of it."""

    _project: Project | None

    @property
    def project(self) -> Project:
        """The project: what was loaded when this was made or, without a configuration then, what is loaded now."""
        return self._project or Project.loaded()

    def _with_updated_values(self, values: Mapping[str, Any] | None) -> Any:
        copy = super()._with_updated_values(values)  # type: ignore[misc]  # that of the class beside this one
        copy._project = self._project
        return copy


class MetaxyStoreFromConfigResource(OfProject, dg.ConfigurableResource[MetadataStore]):
    """A store of the configuration; what is written through it has the id of the run as its materialization id.

    Args:
        name: which of its stores; the default one by default.
    """

    name: str | None = None
    _project: Project | None = PrivateAttr(default_factory=project_if_set)

    def create_resource(self, context: dg.InitResourceContext) -> MetadataStore:
        """Build the store; it is not opened yet.

        Raises:
            InvalidConfigError: if the configuration has no such store.
        """
        run_id = context.run.run_id if context.run else None
        project = self.project
        store: MetadataStore = project.config.get_store(self.name, materialization_id=run_id)
        _PROJECTS[store] = project
        return store


# Ops are made before any project: they find theirs by the store that they are given.
_PROJECTS: Final[WeakKeyDictionary[MetadataStore, Project]] = WeakKeyDictionary()


def project_of(store: MetadataStore) -> Project:
    """Return the project of the resource that made a store, without one what is loaded now."""
    return _PROJECTS.get(store) or Project.loaded()
