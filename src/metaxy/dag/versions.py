"""Versions of fields, features and projects: Merkle hashes of their definitions."""

from collections.abc import Iterable, Mapping

from metaxy.dag.plan import FeaturePlan, FQFieldKey
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.field import FieldSpec
from metaxy.definitions.keys import FeatureKey
from metaxy.hashing import digest_parts

NO_FEATURES = "empty"


def field_versions(
    plan: FeaturePlan, parent_versions: Mapping[FeatureKey, Mapping[str, str]], length: int
) -> dict[str, str]:
    """Return the version of each field of a feature, in declaration order."""

    def version(field: FieldSpec) -> str:
        parents = (parent_versions[parent.feature][str(parent.field)] for parent in plan.parent_fields[field.key])
        name = FQFieldKey(plan.feature.key, field.key).to_string()
        return digest_parts([name, field.code_version, *parents], length)

    return {str(field.key): version(field) for field in plan.feature.fields}


def feature_version(versions: Mapping[str, str], length: int) -> str:
    """Return the version of a feature from the versions of its fields.

    >>> feature_version({"audio": "eb91ed45", "frames": "53d88b74"}, 8)
    '28b8374e'
    """
    return digest_parts((text for key in sorted(versions) for text in (key, versions[key])), length)


def project_version(definitions: Iterable[FeatureDefinition], length: int) -> str:
    """Return the version of a project from all its definitions; ``empty`` if there are none."""
    versions = {definition.key: definition.version_at(length) for definition in definitions}
    parts = (text for key in sorted(versions) for text in (str(key), versions[key]))
    return digest_parts(parts, length) if versions else NO_FEATURES
