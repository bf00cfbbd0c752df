"""`mx history`: what was pushed."""

import json
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.output import OutputFormat, print_json, print_table, print_text, say
from metaxy.cli.selection import feature_key
from metaxy.cli.workspace import workspace
from metaxy.store.system.storage import SystemTableStorage

HEADS = {
    "metaxy_project_version": "Project version",
    "metaxy_feature_version": "Feature version",
    "recorded_at": "Recorded At",
    "feature_count": "Feature Count",
    "project": "Project",
    "tags": "Tags",
}


def history(
    store: str | None = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    *,
    feature: str | None = None,
    format: OutputFormat = "plain",
) -> None:
    """Show what was pushed to a store, newest first; times are UTC.

    Args:
        store: Name of the store; the default one if not given.
        limit: Show only so many.
        feature: Show the versions that this feature had instead.
        format: How to print them.
    """
    place = workspace()
    project = None if place.options.all_projects else place.project
    with place.store(store) as opened:
        system = SystemTableStorage(opened)
        if feature is None:
            found = system.read_graph_snapshots(project)
        else:
            found = system.read_feature_versions(feature_key(feature), project)
    shown = found.head(limit) if limit else found
    if format == "json":
        print_json([_plain(row) for row in shown.iter_rows(named=True)])
    elif shown.is_empty():
        say("No graph snapshots recorded yet" if feature is None else f"No version of {feature} was recorded yet")
    else:
        rows = [[_cell(value) for value in row.values()] for row in map(_plain, shown.iter_rows(named=True))]
        print_table("", [HEADS[name] for name in shown.columns], rows)
        print_text(f"Total snapshots: {found.height}")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as plain data: times as text, tags as what they are."""
    shown = {name.removeprefix("metaxy_"): value for name, value in row.items()}
    shown["recorded_at"] = shown["recorded_at"].isoformat(sep=" ", timespec="seconds")
    return shown | ({"tags": json.loads(shown["tags"])} if "tags" in shown else {})


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items() if name != "metaxy") or "-"
    return str(value)
