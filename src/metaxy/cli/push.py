"""`mx push`: record the features of the project in a store."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from metaxy.cli.output import OutputFormat, done, inform, print_json, print_text, progress, say, warn
from metaxy.cli.selection import Flag, Store
from metaxy.cli.workspace import workspace
from metaxy.service.history import Push
from metaxy.service.history import push as record
from metaxy.wording import command


def push(
    store: Store = None,
    *,
    tags: Annotated[dict[str, str] | None, Parameter(alias="-t")] = None,
    dry_run: Flag = False,
    format: OutputFormat = "plain",
) -> None:
    """Record the features of the project in a store, and print the version of the project.

    Args:
        tags: What to remember with it, such as `--tags.git_commit 4b825dc`.
        dry_run: Only say what would be recorded.
    """
    with progress("features") as bar:
        bar.add_task("push", total=None)
        result = record(workspace(), store, tags=tags, dry_run=dry_run)
    if format == "json":
        print_json(asdict(result))
    else:
        print_text(result.project_version)
        _tell(result)
        for new, old in result.pending_renames.items():
            how = command("metadata", "rename", store=result.store or None)
            warn(f"{new} was renamed from {old}, and its rows are still under the old key: run {how}")


def _tell(result: Push) -> None:
    if not result.already_pushed:
        what = f"{len(result.feature_versions)} feature(s)"
        say(f"Dry run: would record {what}") if result.dry_run else done(f"Recorded feature graph: {what}")
    elif result.updated_features:
        what = f"{len(result.updated_features)} feature(s): {', '.join(result.updated_features)}"
        say(f"Dry run: would update {what}") if result.dry_run else inform(f"Updated feature information on {what}")
    else:
        done("Snapshot already recorded (no changes)")
