"""The graph that users work with: definitions plus the hash length and the project of the active configuration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from typing_extensions import Self

from metaxy import context
from metaxy.config import current_settings
from metaxy.dag.graph import DefinitionGraph
from metaxy.dag.plan import FQFieldKey
from metaxy.dag.snapshot import SerializedFeature
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey


class FeatureGraph(DefinitionGraph):
    """Registry of features: versions, plans, order and snapshots.

    >>> graph = FeatureGraph()
    >>> with graph.use():
    ...     FeatureGraph.get_active() is graph
    True
    """

    @staticmethod
    def get_active() -> "FeatureGraph":
        """Return the active graph: that of this context, else the default one."""
        active = context.active_graph()
        return graph if active is None else active

    get = get_active

    @staticmethod
    def set_active(active: "FeatureGraph | None") -> None:
        """Make a graph the active one of this context; None stands for the default graph."""
        context.set_active_graph(active)

    @contextmanager
    def use(self) -> Iterator[Self]:
        """Make this the active graph until the block ends."""
        with context.using_graph(self):
            yield self

    # -- versions ------------------------------------------------------------------------------------------------------

    def get_field_version(self, key: FQFieldKey) -> str:
        """Return the version of one field.

        Args:
            key: Feature and field.
        """
        return self.field_version(key, _length())

    def get_feature_version_by_field(self, key: CoercibleToFeatureKey) -> dict[str, str]:
        """Return the version of each field of a feature.

        Args:
            key: Key of a registered feature.
        """
        return self.field_versions(key, _length())

    def get_feature_version(self, key: CoercibleToFeatureKey) -> str:
        """Return the version of a feature.

        Args:
            key: Key of a registered feature.
        """
        return self.feature_version(key, _length())

    def get_project_version(self, project: str) -> str:
        """Return the version of a project.

        Args:
            project: Name of the project.
        """
        return self.version_of_project(project, _length())

    @property
    def project_version(self) -> str:
        """The version of the configured project, else of the only one in the graph."""
        return self.get_project_version(self._current_project())

    # -- features ------------------------------------------------------------------------------------------------------

    def list_features(
        self, projects: str | Sequence[str] | None = None, *, only_current_project: bool = True
    ) -> list[FeatureKey]:
        """Return the keys of features, in the order of their registration.

        Args:
            projects: Only features of these projects.
            only_current_project: Without projects, only features of the configured project, if there is one.
        """
        current = current_settings().project if only_current_project else None
        wanted = [projects] if isinstance(projects, str) else projects or ([current] if current else None)
        definitions = self.feature_definitions_by_key.values()
        return [d.key for d in definitions if wanted is None or d.project in wanted]

    def to_snapshot(self, *, project: str | None = None) -> dict[str, SerializedFeature]:
        """Return the features of a project as plain data.

        Args:
            project: Name of the project; the configured one by default, else the only one in the graph.
        """
        return self.snapshot(project or self._current_project(), _length())

    def _current_project(self) -> str:
        return current_settings().project or self.project


def _length() -> int:
    return current_settings().hash_truncation_length


graph: Final = FeatureGraph()


def current_graph() -> FeatureGraph:
    """Return the active graph."""
    return FeatureGraph.get_active()


def get_feature_by_key(key: CoercibleToFeatureKey) -> FeatureDefinition:
    """Return the definition of a feature from the active graph.

    Args:
        key: Key of the feature.

    Raises:
        UnknownFeatureError: if the graph has no such feature (a KeyError).
    """
    return current_graph().get_feature_definition(key)
