"""Base class of renderers: they choose the part of the graph that is shown, and then write text."""

from collections.abc import Iterable
from typing import ClassVar

from metaxy.dag.focus import GraphWalker, with_parents
from metaxy.dag.folding import fold
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.render.config import RenderConfig, Theme
from metaxy.dag.view import GraphData, GraphNode


def shown_part(view: GraphData, config: RenderConfig) -> GraphData:
    """Return the part of a view that is shown: around a feature, else of a project, else all.

    Raises:
        UnknownFeatureError: if the feature is not in the view.
    """
    if (focus := config.get_feature_key()) is not None:
        return GraphWalker(view).extract_subgraph(focus, config.up, config.down)
    return view if config.project is None else with_parents(view, config.project)


class BaseRenderer:
    """Writes a graph, or a comparison, as text: what `lines` yields.

    Args:
        graph_data: A view to show instead of a graph.

    Attributes:
        whole: The part of the graph that is shown.
        graph_data: The same with groups folded, as far as that is asked for and the format can.
    """

    folds: ClassVar[bool] = True

    def __init__(
        self,
        graph: FeatureGraph | None = None,
        config: RenderConfig | None = None,
        graph_data: GraphData | None = None,
        theme: Theme | None = None,
    ) -> None:
        if graph_data is None and graph is None:
            raise ValueError("nothing to show: pass graph or graph_data")
        self.config = config or RenderConfig()
        self.theme = theme or Theme()
        view = graph_data if graph_data is not None else GraphData.from_feature_graph(graph)  # type: ignore[arg-type]  # not None
        self.whole = shown_part(view, self.config)
        by = self.config.fold if self.folds else None
        self.graph_data = fold(self.whole, by, self.config.get_feature_key()) if by else self.whole

    @property
    def features(self) -> list[GraphNode]:
        """The features that are shown, dependencies first."""
        return GraphWalker(self.graph_data).topological_sort()

    def lines(self) -> Iterable[str]:
        """Yield the lines of the text."""
        raise NotImplementedError

    def render(self) -> str:
        """Return the text."""
        return "\n".join(self.lines())
