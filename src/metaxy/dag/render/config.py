"""Options of pictures: every renderer honours the same ones, which are those of `mx graph render`."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from metaxy.dag.folding import Fold
from metaxy.dag.view import NodeStatus
from metaxy.definitions.keys import FeatureKey

Direction: TypeAlias = Literal["TB", "LR"]
ColorScheme: TypeAlias = Literal["light", "dark"]


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """What to show of a graph.

    Args:
        show_code_versions: The code versions of fields, and of features as a hash.
        hash_length: How many characters of hashes are shown; 0 shows them whole.
        direction: Whether graphs grow to the bottom or to the right, in Mermaid, Graphviz and SVG.
        feature: Show only what is around this feature; ``a/b`` or ``a__b``.
        up: How many levels of its dependencies to show; all by default.
        down: How many levels of its dependents to show.
        project: Show only features of this project, and those they directly depend on.
        show_changes: What changed, in words; in comparisons.
        fold: Show features whose keys begin with the same part (``key``), or those of a project (``project``), as one
            box, in pictures of features and in Markdown; a feature that ``feature`` names stays as it is. HTML pages
            begin like that.
        title: Headline, in Mermaid, Graphviz, Markdown, HTML and SVG.
        color_scheme: Whether an SVG is light or dark; by default as its reader prefers.

    >>> RenderConfig(feature="video__crop").get_feature_key()
    video/crop
    """

    show_fields: bool = True
    show_feature_versions: bool = True
    show_field_versions: bool = True
    show_code_versions: bool = False
    show_project_version: bool = True
    hash_length: int = 8
    direction: Direction = "TB"
    feature: str | None = None
    up: int | None = None
    down: int | None = None
    project: str | None = None
    show_projects: bool = True
    show_changes: bool = True
    fold: Fold | None = None
    title: str | None = None
    color_scheme: ColorScheme | None = None

    @classmethod
    def default(cls) -> "RenderConfig":
        """Return what is shown where nothing is asked for."""
        return cls()

    @classmethod
    def minimal(cls, show_projects: bool = True) -> "RenderConfig":
        """Show names only: features and fields, no versions."""
        return cls(
            show_feature_versions=False,
            show_field_versions=False,
            show_code_versions=False,
            show_project_version=False,
            show_projects=show_projects,
        )

    @classmethod
    def verbose(cls, show_projects: bool = True) -> "RenderConfig":
        """Show everything, hashes whole."""
        return cls(show_code_versions=True, hash_length=0, show_projects=show_projects)

    def around(self, other: "RenderConfig") -> "RenderConfig":
        """Return these options, for the part of the graph and with the directions that another config names."""
        kept = ("direction", "feature", "up", "down", "project", "show_changes", "fold", "title", "color_scheme")
        return replace(self, **{name: getattr(other, name) for name in kept})

    def get_feature_key(self) -> FeatureKey | None:
        """Return the feature to show, None for all."""
        if self.feature is None:
            return None
        return FeatureKey(self.feature.split("/" if "/" in self.feature else "__"))


class Theme(BaseModel):
    """Colours of pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature_color: str = "#00FFFF"
    field_color: str = "#5F87AF"
    version_color: str = "#FFFF00"
    edge_color: str = "#808080"
    snapshot_color: str = "#FF00FF"
    added_color: str = "#00FF00"
    removed_color: str = "#FF0000"
    changed_color: str = "#FFAA00"
    affected_color: str = "#00AAFF"
    described_color: str = "#5F87AF"
    unchanged_color: str = "#808080"
    missing_color: str = "#FF00FF"
    old_version_color: str = "#FF0000"
    new_version_color: str = "#00FF00"

    def of_status(self, status: NodeStatus) -> str:
        """Return the colour of a status."""
        return str(getattr(self, f"{status.value}_color", self.feature_color))
