"""`mx list`: features and stores."""

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from metaxy.cli.output import OutputFormat, print_json, print_table, print_text, say
from metaxy.cli.workspace import workspace
from metaxy.service.features import Feature, Field, where_features_are
from metaxy.service.features import features as listed
from metaxy.service.project import Project
from metaxy.service.stores import stores as configured

app = App(name="list", help="Show features or stores.")
SHORT = 12  # characters of a version in a table


@app.command(alias="feature")
def features(
    *, verbose: Annotated[bool, Parameter(alias="-v", negative=())] = False, format: OutputFormat = "plain"
) -> None:
    """Show the features of the project.

    Args:
        verbose: Show fields and dependencies as well.
    """
    project = workspace()
    found = listed(project)
    if format == "json":
        print_json({"feature_count": len(found), "features": [_as_data(feature, verbose) for feature in found]})
    elif found:
        _print_features(found, verbose)
    else:
        say(no_features(project))


def no_features(project: Project) -> str:
    """Say that a project has no features, and which projects have some."""
    if others := where_features_are(project):
        none = f"No features found in the current project, {project.name}"
        return f"{none}; {others}. Show them by --all-projects or --project."
    where = project.config.config_file or "the configuration"
    return f"No features found: {where} has no entrypoints that define any, nor has an installed package."


def _as_data(feature: Feature, verbose: bool) -> dict[str, Any]:
    """Return what is listed of a feature, as plain data."""
    shown = {
        "key": feature.key,
        "version": feature.version,
        "is_root": not feature.deps,
        "is_external": feature.is_external,
        "project": feature.project,
        "source": feature.source,
        "field_count": len(feature.fields),
        "fields": [_field_as_data(field, verbose) for field in feature.fields],
    }
    return shown | ({"deps": feature.deps} if verbose else {})


def _field_as_data(field: Field, verbose: bool) -> dict[str, Any]:
    shown = {"key": field.key, "code_version": field.code_version, "version": field.version}
    deps = [{"feature": feature, "fields": names} for feature, names in field.deps.items()]
    return shown | ({"deps": deps} if verbose else {})


def _print_features(found: Sequence[Feature], verbose: bool) -> None:
    columns = ["Feature", "Version", "Source", *(["Dependencies"] if verbose else [])]
    for project in dict.fromkeys(feature.project for feature in found):
        own = [feature for feature in found if feature.project == project]
        print_table(project, columns, [_row(feature)[: len(columns)] for feature in own])
        for feature in own if verbose else ():
            _print_fields(feature)
    count = len(found)
    roots = sum(not feature.deps for feature in found)
    external = sum(feature.is_external for feature in found)
    more = f", {external} external" if external else ""
    print_text(f"Total: {count} feature(s) ({roots} root, {count - roots} dependent{more})")


def _row(feature: Feature) -> list[str]:
    return [feature.key, feature.version, feature.source, ", ".join(feature.deps) or "-"]


def _print_fields(feature: Feature) -> None:
    print_text(f"{feature.key} ({feature.project}) {feature.source}")
    rows = ((f.key, f.code_version, _cut(f.version), ", ".join(_parents(f)) or "-") for f in feature.fields)
    print_table("", ["Field", "Code Version", "Version", "Dependencies"], rows)


def _parents(field: Field) -> list[str]:
    return [f"{feature}.{name}" for feature, names in field.deps.items() for name in names]


def _cut(version: str) -> str:
    return version if len(version) <= SHORT else f"{version[:SHORT]}..."


# -- stores ------------------------------------------------------------------------------------------------------------


@app.command(alias="store")
def stores(*, format: OutputFormat = "plain") -> None:
    """Show the configured stores; they are not opened."""
    project = workspace()
    found = configured(project)
    if format == "json":
        shown = [store.data() for store in found]
        print_json({"default_store": project.config.store, "store_count": len(found), "stores": shown})
    elif found:
        rows = ((f"{s.name}{' (default)' * s.is_default}", s.info, ", ".join(s.fallbacks) or "-") for s in found)
        print_table("", ["Name", "Info", "Fallbacks"], rows)
        print_text(f"Total: {len(found)} store(s)")
    else:
        say("No stores configured.")
