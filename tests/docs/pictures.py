"""Draw the pictures under `docs/assets/` anew: `make pictures`.

The picture at the front is of the demo: its files are written, everything is computed, every tenth sound is recorded
again, and the videos are looked at anew. Then the graph is drawn with what the store counts. It has no times and sizes,
so the same code gives the same bytes.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

import metaxy as mx
from metaxy.dag.render.config import ColorScheme
from metaxy.demo import media, project, story
from metaxy.service.graph import GraphData, RenderConfig, graph, picture
from metaxy.service.graph_stats import with_stats
from metaxy.service.project import Project
from metaxy.service.running import compute

ASSETS: Final = Path(__file__).parents[2] / "docs" / "assets"
SCHEMES: Final[dict[str, ColorScheme | None]] = {"": None, "-light": "light", "-dark": "dark"}


def pictures() -> Iterator[tuple[str, str]]:
    """Yield the names of pictures with the pictures."""
    title, view = changed_soundtrack()
    for ending, scheme in SCHEMES.items():
        config = RenderConfig(
            title=title,
            color_scheme=scheme,
            show_projects=False,
            show_feature_versions=False,
            show_field_versions=False,
            show_project_version=False,
        )
        yield f"changed-soundtrack{ending}.svg", picture(view, "svg", config, fields=True) + "\n"


def changed_soundtrack() -> tuple[str, GraphData]:
    """Return what the demo has after some sounds were recorded again, and what happened in words."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        project.prepare(path, "duckdb", fresh=False)
        with project.inside(path), mx.FeatureGraph().use():
            story.write_missing_files(Console(quiet=True))
            demo = Project(Path("metaxy.toml"))
            compute(demo, progress=False)
            changed = story.edit_sounds()
            compute(demo, ["video"], progress=False)
            view = with_stats(demo, graph(demo), RenderConfig(), footprint=False)
            project.forget_features()
    return f"{changed} of {media.VIDEOS} soundtracks were recorded again", view


def main() -> None:
    """Write the pictures."""
    for name, drawn in pictures():
        (ASSETS / name).write_text(drawn, encoding="utf-8", newline="\n")
        sys.stdout.write(f"docs/assets/{name}\n")


if __name__ == "__main__":
    main()
