"""`mx history`: what was pushed."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from metaxy.cli.output import OutputFormat, print_json, print_table, print_text, say
from metaxy.cli.selection import Store
from metaxy.cli.workspace import workspace
from metaxy.service.history import FeatureVersion, Snapshot, feature_history
from metaxy.service.history import history as snapshots

HEADS = {
    "project_version": "Project version",
    "feature_version": "Feature version",
    "recorded_at": "Recorded At",
    "feature_count": "Feature Count",
    "project": "Project",
    "tags": "Tags",
}


def history(
    store: Store = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    *,
    feature: str | None = None,
    format: OutputFormat = "plain",
) -> None:
    """Show what was pushed to a store, newest first; times are UTC.

    Args:
        limit: Show only so many.
        feature: Show the versions that this feature had instead.
    """
    project = workspace()
    found: Sequence[Snapshot | FeatureVersion]
    found = snapshots(project, store) if feature is None else feature_history(project, feature, store)
    shown = [_as_data(each) for each in found[:limit]]
    if format == "json":
        print_json(shown)
    elif not shown:
        say("No graph snapshots recorded yet" if feature is None else f"No version of {feature} was recorded yet")
    else:
        print_table("", [HEADS[name] for name in shown[0]], [[_cell(value) for value in row.values()] for row in shown])
        print_text(f"Total snapshots: {len(found)}")


def _as_data(entry: Snapshot | FeatureVersion) -> dict[str, Any]:
    """Return an entry as plain data, with its time as text."""
    return asdict(entry) | {"recorded_at": entry.recorded_at.isoformat(sep=" ", timespec="seconds")}


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items() if name != "metaxy") or "-"
    return str(value)
