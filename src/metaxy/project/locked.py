"""The file ``metaxy.lock``, and placeholders made of it; nothing here needs a store."""

import sys
from pathlib import Path
from typing import Any, Final

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from metaxy.config import MetaxyConfig
from metaxy.config.entries import without_none
from metaxy.config.problems import first_problem
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import (
    ExternalFeatureVersionMismatchWarning,
    InvalidConfigError,
    LockFileMissingWarning,
    MetaxyMissingFeatureDependency,
    warn_user,
)
from metaxy.wording import short_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMENT: Final = "# Written by `mx lock`. Keep it in version control; do not edit it.\n"
SOURCE: Final = "metaxy.lock"


# -- the file ----------------------------------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LockedFeatureInfo(_Strict):
    """The versions that a feature had when it was locked."""

    version: str
    version_by_field: dict[str, str]
    definition_version: str


class LockedData(_Strict):
    """The definition of a feature; the schema is JSON text."""

    project: str
    feature_class_path: str | None = None
    feature_schema: str
    spec: dict[str, Any]


class LockedFeature(_Strict):
    """One feature of the file."""

    info: LockedFeatureInfo
    data: LockedData

    def definition(self) -> FeatureDefinition:
        """Return a placeholder for the feature."""
        return FeatureDefinition.external(
            spec=self.data.spec, project=self.data.project, feature_schema=self.data.feature_schema, source=SOURCE
        )


class LockFile(_Strict):
    """A lock file: features by key."""

    features: dict[str, LockedFeature] = {}

    @classmethod
    def read(cls, path: Path) -> "LockFile":
        """Read a file.

        Raises:
            InvalidConfigError: if it is no lock file.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            problem = first_problem(error)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            problem = str(error)
        raise InvalidConfigError(f"not a lock file: {problem}; write it again with `mx lock`", config_file=path)

    def to_toml(self) -> str:
        """Return the file as text, with sorted keys."""
        values = without_none(self.model_dump(mode="json"))
        return COMMENT + tomli_w.dumps({"features": _sorted(values["features"])})


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


# -- loading -----------------------------------------------------------------------------------------------------------


def load_lock_file(config: MetaxyConfig) -> list[FeatureDefinition]:
    """Add the features of a project's lock file to the active graph, as placeholders, and return them.

    Raises:
        InvalidConfigError: if the file is malformed.
    """
    locked = _read_if_there(config)
    definitions = [feature.definition() for feature in locked.features.values()]
    for definition in definitions:
        current_graph().add_feature_definition(definition)
    return definitions


def _read_if_there(config: MetaxyConfig) -> LockFile:
    path = config.lock_file
    if path is not None and path.is_file():
        return LockFile.read(path)
    if path is not None and config.metaxy_lock_path is not None:
        message = f"the lock file {short_path(path)} of metaxy_lock_path does not exist; write it with `mx lock`"
        warn_user(message, LockFileMissingWarning)
    return LockFile()


def warn_about_drift(config: MetaxyConfig, graph: FeatureGraph) -> None:
    """Warn where a locked feature has another version in the graph than it had when it was locked."""
    path = config.lock_file
    if path is None or not path.is_file():
        return
    drifted = [
        f"{key}: locked {feature.info.version}, now {version}"
        for key, feature in LockFile.read(path).features.items()
        if (version := _version_now(graph, key, len(feature.info.version))) not in (None, feature.info.version)
    ]
    if drifted:
        message = (
            f"{short_path(path)} does not fit the features of this project any more ({'; '.join(drifted)}): "
            "bring it up to date with `mx lock`"
        )
        warn_user(message, ExternalFeatureVersionMismatchWarning)


def _version_now(graph: FeatureGraph, key: str, length: int) -> str | None:
    """Return the version of a placeholder, None where a real feature took its place, or what it needs is missing."""
    definition = graph.feature_definitions_by_key.get(FeatureKey(key))
    if definition is None or not definition.is_external:
        return None
    try:
        return graph.get_feature_version(key, length)
    except MetaxyMissingFeatureDependency:
        return None
