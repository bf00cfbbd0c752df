"""What the page asks, and the answers of the service as plain data.

An answer is found by a path that is named like a file, as an export has it as one. Nothing here knows of HTTP.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from metaxy.service.drawings import drawing
from metaxy.service.features import descriptions
from metaxy.service.graph import RenderConfig, graph
from metaxy.service.graph_stats import count
from metaxy.service.project import Project
from metaxy.service.stores import stores
from metaxy.ui.guard import Refusal
from metaxy.ui.options import Options

Answer: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True)
class Question:
    """What someone asks: of which feature, about which store, and the rest of the query."""

    project: Project
    options: Options
    query: Mapping[str, str]
    feature: str = ""

    @property
    def store(self) -> str | None:
        """The store that is meant, None for the default one."""
        return self.query.get("store") or self.options.store


@dataclass(frozen=True)
class Api:
    """Answers questions about a project."""

    project: Project
    options: Options

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """Return the answer at a path such as `features/video/crop/about.json`.

        Raises:
            Refusal: if there is no such question, or it may not be asked.
            MetaxyError: if the service cannot answer.
        """
        folder, _, name = path.rpartition("/")
        of_feature = folder.startswith("features/")
        known = OF_FEATURES if of_feature else OF_PROJECT
        if name not in known or (folder and not of_feature):
            raise Refusal(404, "there is no such question")
        feature = folder.removeprefix("features/") if of_feature else ""
        with self.project.active():
            return known[name](Question(self.project, self.options, query, feature))


# -- the project -------------------------------------------------------------------------------------------------------


def _project(asked: Question) -> Answer:
    project = asked.project
    return {
        "project": project.name,
        "metaxy": installed_version(),
        "stores": [each.data() for each in stores(project)] if project.config.stores else [],
        "store": asked.options.store or project.config.store,
        "rows": asked.options.rows,
        "media": bool(asked.options.media or asked.options.origins),
        "exported": None,
        "features": [
            {
                "key": each["key"],
                "project": each["project"],
                "description": each["description"],
                "fields": [field["key"] for field in each["fields"]],
            }
            for each in descriptions(project)
        ],
    }


def _graph(asked: Question) -> Answer:
    return vars(drawing(graph(asked.project), RenderConfig(project=asked.project.scope), live=True))


# -- one feature -------------------------------------------------------------------------------------------------------


def _about(asked: Question) -> Answer:
    [about] = descriptions(asked.project, [asked.feature])
    return about


def _counts(asked: Question) -> Answer:
    return count(asked.project, asked.feature, asked.store).model_dump(mode="json")


Known: TypeAlias = Mapping[str, Callable[[Question], Answer]]
OF_PROJECT: Final[Known] = {"project.json": _project, "graph.json": _graph}
OF_FEATURES: Final[Known] = {"about.json": _about, "counts.json": _counts}


def installed_version() -> str:
    """Return the version of Metaxy."""
    return version("metaxy")
