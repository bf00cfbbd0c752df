"""`mx describe`: everything about some features, or about the graph."""

from textwrap import indent
from typing import Any

from cyclopts import App

from metaxy.cli.graph import seen, warn_of_missing
from metaxy.cli.output import OutputFormat, print_json, print_table, print_text
from metaxy.cli.selection import AllFeatures, Features, named_features
from metaxy.cli.workspace import workspace
from metaxy.service.features import descriptions
from metaxy.service.graph import description

app = App(name="describe", help="Show everything about features, or about the graph.")
SHORT = 8  # characters of a version
NAMES = 10  # features of a list that is not the answer itself


@app.command(alias="feature")
def features(features: Features = None, *, all_features: AllFeatures = False, format: OutputFormat = "plain") -> None:
    """Show everything that is known of features.

    Args:
        features: The features.
        all_features: Show all features of the project, or of all projects with --all-projects.
    """
    described = descriptions(workspace(), named_features(features, all_features))
    if format == "json":
        print_json(described[0] if len(described) == 1 else {"features": described})
    else:
        print_text(f"\n{'-' * 60}\n".join("\n".join(_lines(each)) for each in described))


def _lines(feature: dict[str, Any]) -> list[str]:
    external = " (external)" if feature["is_external"] else ""
    lines = [f"{feature['key']}{external} ({feature['version'][:SHORT]}) {feature['project']}"]
    lines.append(f"Source: {feature['source']}")
    if feature["description"]:
        lines.append(indent(feature["description"], "  "))
    lines += [f"ID columns: {', '.join(feature['id_columns'])}", "Fields:"]
    lines += [f"  {_field(field)}" for field in feature["fields"]]
    lines.append("Dependencies:")
    lines += [f"  {_dependency(dep)}" for dep in feature["dependencies"]] or ["  none (root feature)"]
    if metadata := feature.get("metadata"):
        lines += ["Metadata:", *(f"  {name}: {value}" for name, value in metadata.items())]
    return lines


def _field(field: dict[str, Any]) -> str:
    parents = ", ".join(f"{dep['feature']}:({', '.join(dep['fields'])})" for dep in field.get("deps", ()))
    return f"{field['key']} ({field['version'][:SHORT]})" + (f" ← {parents}" if parents else "")


def _dependency(dep: dict[str, Any]) -> str:
    parts = [dep["feature"]]
    if "select" in dep:
        parts.append(f"select: {', '.join(dep['select'])}")
    if "lineage" in dep:
        parts.append(dep["lineage"])
    if dep.get("optional"):
        parts.append("optional")
    if "filters" in dep:
        parts.append(f"where {' and '.join(dep['filters'])}")
    if "rename" in dep:
        parts.append("rename: " + ", ".join(f"{old} → {new}" for old, new in dep["rename"].items()))
    return " | ".join(parts)


@app.command
def graph(snapshot: str | None = None, *, store: str | None = None, format: OutputFormat = "plain") -> None:
    """Show the graph in numbers: how many features, how deep, where it begins and ends.

    Args:
        snapshot: Describe this version of the project, as it was pushed; `latest` for the last one.
        store: Where to look for it; the default store if not given.
    """
    project = workspace()
    view = seen(project, snapshot, store)
    if snapshot is None:
        warn_of_missing(view)
    described = description(project, view, snapshot)
    if format == "json":
        print_json(described)
        return
    print_table(f"Graph {described['metaxy_project_version'] or ''}".rstrip(), ["Metric", "Value"], _metrics(described))
    if len(described["projects"]) > 1:
        print_table("Features by project", ["Project", "Features"], described["projects"].items(), numbers=1)
    for name, keys in (("Root features", described["root_features"]), ("Leaf features", described["leaf_features"])):
        more = [f"  … and {len(keys) - NAMES} more"] if len(keys) > NAMES else []
        print_text("\n".join([f"{name}:", *(f"  {key}" for key in keys[:NAMES]), *more]))


def _metrics(described: dict[str, Any]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [("Total Features", described["total_features"])]
    if described.get("filtered_features", described["total_features"]) != described["total_features"]:
        rows.append((f"Features in {described['filter_project']}", described["filtered_features"]))
    return [
        *rows,
        ("Graph Depth", described["graph_depth"]),
        ("Root Features", len(described["root_features"])),
        ("Leaf Features", len(described["leaf_features"])),
    ]
