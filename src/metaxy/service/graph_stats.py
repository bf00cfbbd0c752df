"""What a store has of the features of a picture, and what they need: counted in one pass, for those that are shown."""

from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.renderer import shown_part
from metaxy.dag.stats import FeatureStats
from metaxy.dag.view import GraphData, NodeStatus
from metaxy.service.project import Project, Track
from metaxy.service.status import FullFeatureMetadataRepresentation, StatusOptions, status


def with_stats(
    project: Project,
    view: GraphData,
    config: RenderConfig,
    *,
    store: str | None = None,
    snapshot: str | None = None,
    footprint: bool = True,
    track: Track = iter,
) -> GraphData:
    """Return a view with counts for the features that a picture of it shows; ``snapshot`` is where the view is from.

    ``footprint`` asks for last write and size as well.

    A feature that could not be counted says so.

    Raises:
        MetaxyError: if the store cannot be reached.
    """
    shown = [str(node.key) for node in shown_part(view, config).nodes.values() if node.status is not NodeStatus.MISSING]
    options = StatusOptions(footprint=footprint)
    found = status(project, shown, store=store, options=options, snapshot=snapshot, track=track)
    return view.with_stats({each.feature_key: _stats(each) for each in found.features})


def count(project: Project, feature: str, store: str | None = None) -> FeatureStats:
    """Count what a store has of one feature, and what it needs.

    Raises:
        MetaxyError: if the store cannot be reached.
    """
    [found] = status(project, [feature], store=store, options=StatusOptions(footprint=True)).features
    return _stats(found)


def _stats(each: FullFeatureMetadataRepresentation) -> FeatureStats:
    counted = each.error_message is None
    return FeatureStats(
        state=each.status,
        rows=each.store_rows if each.metadata_exists and counted else None,
        missing=each.missing,
        stale=each.stale,
        orphaned=each.orphaned,
        failed=(each.failed or 0) if counted else None,
        last_write=each.last_write,
        size_bytes=each.size_bytes,
        by_parents=bool(each.parent_columns),
        error=each.error_message,
    )
