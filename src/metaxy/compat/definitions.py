"""Methods that definitions had in metaxy 0.1."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FieldKey
from metaxy.definitions.mapping import FieldsMapping
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import ExternalFeatureVersionMismatchError, ExternalFeatureVersionMismatchWarning, warn_user
from metaxy.feature import BaseFeature


class FieldsMappingResolutionContext(BaseModel):
    """A field, and the parent among whose fields a mapping looks for those that it depends on."""

    model_config = ConfigDict(frozen=True)

    field_key: FieldKey
    upstream_feature: FeatureSpec


def resolve_field_deps(mapping: FieldsMapping, context: FieldsMappingResolutionContext) -> set[FieldKey]:
    """Return the fields of a parent that a field depends on.

    >>> context = FieldsMappingResolutionContext(
    ...     field_key="audio", upstream_feature=FeatureSpec(key="video", id_columns=["id"], fields=["audio", "frames"])
    ... )
    >>> resolve_field_deps(FieldsMapping.default(), context)
    {audio}
    """
    candidates = [field.key for field in context.upstream_feature.fields]
    return set(mapping.mapping.parent_fields(context.field_key, candidates))


def check_version_mismatch(
    definition: FeatureDefinition,
    *,
    expected_version: str,
    actual_version: str,
    expected_version_by_field: Mapping[str, str],
    actual_version_by_field: Mapping[str, str],
) -> None:
    """Warn, or raise where the definition says so, if an external feature has another version than expected.

    Raises:
        ExternalFeatureVersionMismatchError: if ``on_version_mismatch`` is ``error``.
    """
    if expected_version == actual_version:
        return
    expected, actual = expected_version_by_field, actual_version_by_field
    fields = "; ".join(
        f"{name}: expected {expected.get(name, '<missing>')}, found {actual.get(name, '<missing>')}"
        for name in sorted({*expected, *actual})
        if expected.get(name) != actual.get(name)
    )
    message = (
        f"external feature {definition.key}: expected version {expected_version}, found {actual_version} ({fields}); "
        "update the placeholder, or push the version that you expect"
    )
    if definition.on_version_mismatch == "error":
        raise ExternalFeatureVersionMismatchError(message)
    warn_user(message, ExternalFeatureVersionMismatchWarning)


def _load_input(cls: type[BaseFeature], joiner: Any, upstream_refs: Mapping[str, Any]) -> Any:
    """Let a joiner of the user join the parents of the feature; Metaxy itself never calls this."""
    plan = cls.graph.get_feature_plan(cls.spec().key)
    deps = {str(dep.feature): dep for dep in plan.feature_deps}
    return joiner.join_upstream(
        upstream_refs=upstream_refs,
        feature_spec=cls.spec(),
        feature_plan=plan,
        upstream_columns={key: dep.select for key, dep in deps.items()},
        upstream_renames={key: dep.rename for key, dep in deps.items()},
    )


load_input = classmethod(_load_input)
