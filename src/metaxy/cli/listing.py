"""`mx list`: features and stores."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from metaxy.cli.output import OutputFormat, print_json, print_table, print_text, say
from metaxy.cli.selection import project_features
from metaxy.cli.workspace import Workspace, workspace
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import InvalidConfigError, MetaxyMissingFeatureDependency
from metaxy.masking import Secrets, mask_address

app = App(name="list", help="Show features or stores.")
SHORT = 12  # characters of a version in a table


@app.command(alias="feature")
def features(
    *, verbose: Annotated[bool, Parameter(alias="-v", negative=())] = False, format: OutputFormat = "plain"
) -> None:
    """Show the features of the project.

    Args:
        verbose: Show fields and dependencies as well.
        format: How to print them.
    """
    place = workspace()
    keys = project_features(place)
    refuse_missing_parents(place.graph, keys)
    entries = [entry(place.graph, key, verbose) for key in keys]
    if format == "json":
        print_json({"feature_count": len(entries), "features": entries})
    elif entries:
        _print_entries(entries, verbose)
    else:
        say(no_features(place))


def no_features(place: Workspace) -> str:
    """Say that a project has no features, and which projects have some."""
    found: dict[str, int] = {}
    for definition in place.graph.feature_definitions_by_key.values():
        found[definition.project] = found.get(definition.project, 0) + 1
    if not found:
        where = place.config.config_file or "the configuration"
        return f"No features found: {where} has no entrypoints that define any, nor has an installed package."
    others = ", ".join(f"{count} in project {project}" for project, count in sorted(found.items()))
    return (
        f"No features found in the current project, {place.project}. There are: {others}. Show them by --all-projects "
        "or --project; a feature belongs to the project that its package is named after, or __metaxy_project__ says."
    )


def refuse_missing_parents(graph: FeatureGraph, keys: Iterable[FeatureKey]) -> None:
    """Refuse features that depend on what is not in the graph, all at once.

    Raises:
        MetaxyMissingFeatureDependency: naming what is missing.
    """
    known = graph.feature_definitions_by_key
    missing: dict[str, list[str]] = {}
    for key in graph.topological_sort_features(keys):
        for dep in known[key].spec.deps:
            if dep.feature not in known:
                missing.setdefault(str(dep.feature), []).append(str(key))
    if missing:
        shown = "; ".join(f"{parent} (needed by {', '.join(children)})" for parent, children in missing.items())
        raise MetaxyMissingFeatureDependency(
            f"features are not in the graph: {shown}. Import the modules that define them, or, if they belong to "
            "another project, run `mx lock`, or give --sync"
        )


def entry(graph: FeatureGraph, key: FeatureKey, verbose: bool) -> dict[str, Any]:
    """Return what is listed of a feature, as plain data."""
    definition = graph.get_feature_definition(key)
    shown = {
        "key": str(key),
        "version": graph.get_feature_version(key),
        "is_root": not definition.spec.deps,
        "is_external": definition.is_external,
        "project": definition.project,
        "source": definition.source,
        "field_count": len(definition.spec.fields),
        "fields": _fields(graph, definition, verbose),
    }
    return shown | ({"deps": [str(dep.feature) for dep in definition.spec.deps]} if verbose else {})


def _fields(graph: FeatureGraph, definition: FeatureDefinition, verbose: bool) -> list[dict[str, Any]]:
    versions = graph.get_feature_version_by_field(definition.key)
    fields: list[dict[str, Any]] = [
        {"key": str(field.key), "code_version": field.code_version, "version": versions[str(field.key)]}
        for field in definition.spec.fields
    ]
    if verbose:
        parents = graph.get_feature_plan(definition.key).field_dependencies
        for field, shown in zip(definition.spec.fields, fields, strict=True):
            by_feature = parents.get(field.key, {})
            shown["deps"] = [{"feature": str(f), "fields": [str(name) for name in ns]} for f, ns in by_feature.items()]
    return fields


def _print_entries(entries: Sequence[dict[str, Any]], verbose: bool) -> None:
    columns = ["Feature", "Version", "Source", *(["Dependencies"] if verbose else [])]
    for project in dict.fromkeys(shown["project"] for shown in entries):
        own = [shown for shown in entries if shown["project"] == project]
        print_table(project, columns, [_row(shown) for shown in own])
        for shown in own if verbose else ():
            _print_fields(shown)
    count = len(entries)
    roots = sum(shown["is_root"] for shown in entries)
    external = sum(shown["is_external"] for shown in entries)
    more = f", {external} external" if external else ""
    print_text(f"Total: {count} feature(s) ({roots} root, {count - roots} dependent{more})")


def _row(shown: dict[str, Any]) -> list[str]:
    deps = [", ".join(shown["deps"]) or "-"] if "deps" in shown else []
    return [shown["key"], shown["version"], shown["source"], *deps]


def _print_fields(shown: dict[str, Any]) -> None:
    print_text(f"{shown['key']} ({shown['project']}) {shown['source']}")
    rows = (
        (field["key"], field["code_version"], _cut(field["version"]), ", ".join(_parents(field)) or "-")
        for field in shown["fields"]
    )
    print_table("", ["Field", "Code Version", "Version", "Dependencies"], rows)


def _parents(field: dict[str, Any]) -> list[str]:
    return [f"{dep['feature']}.{name}" for dep in field["deps"] for name in dep["fields"]]


def _cut(version: str) -> str:
    return version if len(version) <= SHORT else f"{version[:SHORT]}..."


# -- stores ------------------------------------------------------------------------------------------------------------


@app.command(alias="store")
def stores(*, format: OutputFormat = "plain") -> None:
    """Show the configured stores; they are not opened.

    Args:
        format: How to print them.
    """
    place = workspace()
    place.refuse_no_config()
    config = place.config
    names = sorted(config.stores, key=lambda name: (name != config.store, name))
    found = [_store(config, name) for name in names]
    if format == "json":
        print_json({"default_store": config.store, "store_count": len(found), "stores": found})
    elif found:
        rows = (
            (f"{s['name']} (default)" if s["is_default"] else s["name"], s["info"], ", ".join(s["fallbacks"]) or "-")
            for s in found
        )
        print_table("", ["Name", "Info", "Fallbacks"], rows)
        print_text(f"Total: {len(found)} store(s)")
    else:
        say("No stores configured.")


def _store(config: MetaxyConfig, name: str) -> dict[str, Any]:
    """Describe a store; of one that cannot be built, say why."""
    fallbacks = config.stores[name].config.get("fallback_stores")
    shown = {"name": name, "is_default": name == config.store}
    try:
        info = {"info": config.get_store(name).display()}
    except InvalidConfigError as error:
        hide = Secrets.of(config.stores[name].config).hide
        info = {"info": f"error: {hide(error.base_message)}", "error": hide(str(error))}
    names = [mask_address(str(each)) for each in fallbacks] if isinstance(fallbacks, list) else []
    return {**shown, **info, "fallbacks": names}
