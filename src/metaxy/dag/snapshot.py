"""Snapshots: a graph as plain data, the form in which a store keeps it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypedDict

from metaxy.definitions.definition import FeatureDefinition


class SerializedFeature(TypedDict):
    """One feature of a snapshot."""

    feature_spec: dict[str, Any]
    feature_schema: dict[str, Any]
    metaxy_feature_version: str
    metaxy_definition_version: str
    feature_class_path: str | None
    project: str


class PushResult(NamedTuple):
    """What a push of a graph to a store did."""

    project_version: str
    already_pushed: bool
    updated_features: list[str]


def serialize(definition: FeatureDefinition, feature_version: str, length: int) -> SerializedFeature:
    """Return a definition as plain data."""
    return SerializedFeature(
        feature_spec=definition.spec.model_dump(mode="json"),
        feature_schema=definition.feature_schema,
        metaxy_feature_version=feature_version,
        metaxy_definition_version=definition.version_at(length),
        feature_class_path=definition.feature_class_path,
        project=definition.project,
    )


def deserialize(snapshot: Mapping[str, Mapping[str, Any]]) -> Iterator[FeatureDefinition]:
    """Yield the definitions of a snapshot; nothing is imported.

    Raises:
        KeyError: if an entry lacks a part.
    """
    for entry in snapshot.values():
        yield FeatureDefinition.from_stored_data(
            feature_spec=entry["feature_spec"],
            feature_schema=entry["feature_schema"],
            feature_class_path=entry["feature_class_path"],
            project=entry["project"],
        )
