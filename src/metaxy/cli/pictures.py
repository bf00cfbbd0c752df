"""Shared by `mx graph render` and `mx graph-diff render`: options, formats, and where the picture goes."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.failures import conflict, usage_error
from metaxy.cli.output import done, print_painted, print_text
from metaxy.cli.selection import Flag
from metaxy.service.graph import ColorScheme, Direction, Fold, RenderConfig

PictureFormat: TypeAlias = Annotated[
    Literal["terminal", "cards", "mermaid", "graphviz", "json", "yaml", "markdown", "html", "svg"],
    Parameter(alias="-f"),
]
"""The type of the option --format, of commands that show a graph."""
Output: TypeAlias = Annotated[Path | None, Parameter(alias="-o")]
"""The type of the option --output."""
Count: TypeAlias = Annotated[int | None, Parameter(validator=Number(gte=0))]
FOR_MACHINES: Final = ("json", "yaml")
PRESETS: Final = ("minimal", "verbose")  # of the other options


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """What to show of a graph.

    Args:
        minimal: Show names only.
        verbose: Show everything, hashes whole.
        show_fields: Show the fields of each feature.
        show_feature_versions: Show the version of each feature.
        show_field_versions: Show the version of each field.
        show_code_versions: Show code versions.
        show_project_version: Show the version of the project.
        show_projects: Show the project of each feature.
        show_changes: Say in comparisons what changed.
        hash_length: How many characters of hashes to show, 0 for all; 8 by default, all in JSON and YAML.
        direction: Whether Mermaid, Graphviz and SVG draw to the bottom or to the right.
        feature: Show only what is around this feature.
        up: How many levels of its dependencies to show; all by default.
        down: How many levels of its dependents to show; all by default.
        fold: Show features whose keys begin with the same part, or those of a project, as one box; the feature of
            --feature stays as it is. A page in HTML begins like that.
        title: Headline.
        color_scheme: Whether an SVG is light or dark; by default it is as its reader prefers.
    """

    minimal: Flag = False
    verbose: Flag = False
    show_fields: bool = True
    show_feature_versions: bool = True
    show_field_versions: bool = True
    show_code_versions: bool = False
    show_project_version: bool = True
    show_projects: bool = True
    show_changes: bool = True
    hash_length: Count = None
    direction: Direction = "TB"
    feature: str | None = None
    up: Count = None
    down: Count = None
    fold: Fold | None = None
    title: str | None = None
    color_scheme: ColorScheme | None = None

    def config(self, format: str, project: str | None = None) -> RenderConfig:
        """Return the options as the renderers take them.

        Raises:
            RequestError: if options do not go together.
        """
        if self.minimal and self.verbose:
            raise conflict("--minimal and --verbose say the opposite; give one of them", "--minimal", "--verbose")
        if self.feature is None and (self.up, self.down) != (None, None):
            message, flags = "--up and --down count from a feature", ["--feature"]
            raise usage_error(message, code="MISSING_REQUIRED_FLAG", hint="add --feature KEY", required_flags=flags)
        if self.fold and format in FOR_MACHINES:
            raise conflict("--fold is for pictures: JSON and YAML have all features", "--fold", "--format")
        given: dict[str, Any] = {name: value for name, value in vars(self).items() if name not in PRESETS}
        given["show_field_versions"] = self.show_field_versions and self.show_fields
        if self.hash_length is None:
            given["hash_length"] = 0 if format in FOR_MACHINES else 8
        config = RenderConfig(**given, project=project)
        if self.minimal:
            return RenderConfig.minimal(self.show_projects).around(config)
        return RenderConfig.verbose(self.show_projects).around(config) if self.verbose else config


def wants_color(format: str, output: Path | None) -> bool:
    """Return whether the picture has colours, and goes to a terminal that shows them."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return format == "terminal" and output is None and sys.stdout.isatty() and not plain


def deliver(text: str, output: Path | None, message: str, *, painted: bool = False) -> None:
    """Print a picture, or write it into a file."""
    if output is None:
        (print_painted if painted else print_text)(text)
        return
    output.write_text(f"{text}\n" if text else "", encoding="utf-8", newline="\n")
    done(f"{message}: {output}")
