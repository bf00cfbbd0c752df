"""`mx push`: record the features of the project in a store."""

from typing import Annotated, Any

from cyclopts import Parameter

from metaxy.cli.failures import USAGE, USAGE_ERROR, CommandError
from metaxy.cli.output import OutputFormat, done, inform, print_json, print_text, progress, say
from metaxy.cli.workspace import workspace
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.snapshot import PushResult
from metaxy.errors import SnapshotError
from metaxy.store.system.push import checked_tags
from metaxy.store.system.storage import SystemTableStorage


def push(
    store: str | None = None,
    *,
    tags: Annotated[dict[str, str] | None, Parameter(alias="-t")] = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    format: OutputFormat = "plain",
) -> None:
    """Record the features of the project in a store, and print the version of the project.

    Args:
        store: Name of the store; the default one if not given.
        tags: What to remember with it, such as `--tags.git_commit 4b825dc`.
        dry_run: Only say what would be recorded.
        format: How to print the result.
    """
    place = workspace()
    project = place.own_project("push")
    _check_tags(tags)
    count = len(place.graph.features_of(project))
    with place.store(store).open("r" if dry_run else "w") as opened, progress("features") as bar:
        task = bar.add_task(f"push {project}", total=count)
        result = SystemTableStorage(opened).push_graph_snapshot(project=project, tags=tags, dry_run=dry_run)
        bar.advance(task, count)
    if format == "json":
        print_json(_as_data(place.graph, project, result, dry_run))
    else:
        print_text(result.project_version)
        _tell(result, count, dry_run)


def _check_tags(tags: dict[str, str] | None) -> None:
    try:
        checked_tags(tags)
    except SnapshotError as error:
        raise CommandError(USAGE_ERROR, str(error), exit_code=USAGE) from None


def _as_data(graph: FeatureGraph, project: str, result: PushResult, dry_run: bool) -> dict[str, Any]:
    versions = {str(d.key): graph.get_feature_version(d.key) for d in graph.features_of(project)}
    return {"project": project, **result._asdict(), "dry_run": dry_run, "feature_versions": versions}


def _tell(result: PushResult, count: int, dry_run: bool) -> None:
    if not result.already_pushed:
        what = f"{count} feature(s)"
        say(f"Dry run: would record {what}") if dry_run else done(f"Recorded feature graph: {what}")
    elif result.updated_features:
        what = f"{len(result.updated_features)} feature(s): {', '.join(result.updated_features)}"
        say(f"Dry run: would update {what}") if dry_run else inform(f"Updated feature information on {what}")
    else:
        done("Snapshot already recorded (no changes)")
