"""Feature definitions: a spec with its schema, its class path and its project. This is what graphs hold."""

import inspect
import json
import pkgutil
import sys
from collections.abc import Mapping
from functools import cached_property
from types import FrameType
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PrivateAttr,
    ValidationInfo,
    field_serializer,
    field_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import ModelFieldsSchema, WithDefaultSchema
from typing_extensions import Self

from metaxy import context
from metaxy._old_names import with_old_names
from metaxy.columns import is_system_column
from metaxy.definitions.declared import DeclaredColumn, ExactTypes, declared_columns
from metaxy.definitions.keys import CoercibleToFieldKey, FeatureKey, FieldKeyAdapter
from metaxy.definitions.spec import FeatureSpec
from metaxy.definitions.strictness import stored
from metaxy.errors import DefinitionError, MetaxyInvariantViolationError
from metaxy.hashing import digest_parts
from metaxy.settings import OnMisfit
from metaxy.wording import did_you_mean

OnVersionMismatch: TypeAlias = Literal["warn", "error"]
Json: TypeAlias = str | Mapping[str, Any]


class FeatureClass(Protocol):
    """What a definition takes from a feature class."""

    def spec(self) -> FeatureSpec:
        """Return the spec."""

    def metaxy_project(self) -> str:
        """Return the project."""

    def model_json_schema(self, *, schema_generator: Any) -> dict[str, Any]:
        """Return the JSON schema of the columns."""


PROSE = frozenset({"title", "description", "examples", "default"})  # words of JSON schema that say nothing of types
NAMED = frozenset({"properties", "$defs"})  # words whose keys are names


class _WithoutDefaults(GenerateJsonSchema):
    """Leaves defaults out, as `_names_and_types` does later, and writes the system columns that classes share once."""

    _written: ClassVar[tuple[Any, Any]] = ({}, {})  # system columns as Pydantic has them, and their JSON schema

    def model_fields_schema(self, schema: ModelFieldsSchema) -> dict[str, Any]:
        """Return the schema of columns; those of Metaxy come first, and may all be left out."""
        fields = schema["fields"]
        system = {name: field for name, field in fields.items() if is_system_column(name)}
        if not system or list(fields)[: len(system)] != list(system):
            return super().model_fields_schema(schema)
        known, written = _WithoutDefaults._written
        if known != system:
            written = super().model_fields_schema({**schema, "fields": system})
            _WithoutDefaults._written = system, written
        if "required" in written:
            return super().model_fields_schema(schema)
        own = super().model_fields_schema({**schema, "fields": {n: f for n, f in fields.items() if n not in system}})
        return {**own, "properties": {**written["properties"], **own["properties"]}}

    def default_schema(self, schema: WithDefaultSchema) -> dict[str, Any]:
        """Return the schema of what has a default."""
        return self.generate_inner(schema["schema"])


def _names_and_types(schema: Any) -> Any:
    """Reduce a JSON schema to what makes two features differ, so that prose does not change versions of definitions."""
    if isinstance(schema, list):
        return [_names_and_types(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: {name: _names_and_types(each) for name, each in value.items()}
        if word in NAMED
        else _names_and_types(value)
        for word, value in schema.items()
        if word not in PROSE
    }


def _parse_spec(value: Any, info: ValidationInfo) -> FeatureSpec:
    """Return a spec as it is: checking a stored one again would take it for user code."""
    return value if isinstance(value, FeatureSpec) else FeatureSpec.model_validate(value, context=info.context)


@with_old_names
class FeatureDefinition(BaseModel):
    """A feature as the graph knows it, made from a class, from stored data, or as an external placeholder.

    >>> spec = FeatureSpec(key="video", id_columns=["id"])
    >>> definition = FeatureDefinition.external(spec=spec, project="vision")
    >>> definition.key, definition.is_external, definition.columns
    (video, True, [])
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    __hash__ = None  # type: ignore[assignment]  # specs and schemas hold dicts

    spec: Annotated[InstanceOf[FeatureSpec], BeforeValidator(_parse_spec)]
    feature_schema: dict[str, Any]
    feature_class_path: str | None
    project: str = Field(min_length=1)

    _external: bool = PrivateAttr(default=False)
    _stored: bool = PrivateAttr(default=False)
    _source: str | None = PrivateAttr(default=None)
    _on_version_mismatch: OnVersionMismatch = PrivateAttr(default="warn")
    _provenance_by_field: dict[str, str] | None = PrivateAttr(default=None)
    _feature_class: Any = PrivateAttr(default=None)
    _declared: OnMisfit | None = PrivateAttr(default=None)

    @field_validator("feature_schema", mode="before")
    @classmethod
    def _parse_schema(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    @field_serializer("feature_schema", when_used="json")
    def _schema_as_text(self, schema: dict[str, Any]) -> str:
        return json.dumps(schema, separators=(",", ":"))

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the class out of pickles: it is found again by its path."""
        state = super().__getstate__()
        state["__pydantic_private__"] = {**(state["__pydantic_private__"] or {}), "_feature_class": None}
        return state

    @classmethod
    def from_feature_class(cls, feature_class: FeatureClass) -> Self:
        """Build the definition of a feature class.

        Args:
            feature_class: A subclass of `BaseFeature` with a spec; its docstring describes the feature.
        """
        spec = feature_class.spec()
        if spec.description is None and (text := vars(feature_class).get("__doc__")):
            spec = spec.model_copy(update={"description": inspect.cleandoc(text)})
        definition = cls(
            spec=spec,
            feature_schema=_names_and_types(feature_class.model_json_schema(schema_generator=_WithoutDefaults)),
            feature_class_path=class_path(cast("type", feature_class)),
            project=feature_class.metaxy_project(),
        )
        definition._feature_class = feature_class
        definition._declared = getattr(feature_class, "feature_config", {}).get("declared")
        return definition

    @classmethod
    def from_stored_data(
        cls,
        feature_spec: Json,
        feature_schema: Json,
        feature_class_path: str | None,
        project: str,
        source: str | None = None,
    ) -> Self:
        """Build the definition of a feature from what a store or a lock file holds.

        Args:
            feature_spec: Canonical JSON form of the spec, as text or parsed.
            feature_class_path: Import path of the class that the definition was made from.
            source: Where the definition was read, for messages.
        """
        definition = cls(
            spec=_stored_spec(feature_spec),
            feature_schema=feature_schema,
            feature_class_path=feature_class_path,
            project=project,
        )
        definition._stored = True
        definition._source = source
        return definition

    @classmethod
    def external(
        cls,
        *,
        spec: FeatureSpec | Json,
        project: str,
        feature_schema: Json | None = None,
        provenance_by_field: Mapping[Any, str] | None = None,
        on_version_mismatch: OnVersionMismatch = "warn",
        source: str | None = None,
    ) -> Self:
        """Build a placeholder for a feature of another project, until its real definition is read from the store.

        Args:
            provenance_by_field: Field versions to use instead of computed ones.
            on_version_mismatch: What to do when the real feature has another version.
            source: Where the placeholder was written; the caller by default.
        """
        definition = cls(
            spec=spec if isinstance(spec, FeatureSpec) else _stored_spec(spec),
            feature_schema=feature_schema or {},
            feature_class_path=None,
            project=project,
        )
        definition._external = True
        definition._on_version_mismatch = on_version_mismatch
        definition._source = source or _location(sys._getframe(1))
        if provenance_by_field is not None:
            definition._provenance_by_field = _field_versions(definition.spec, provenance_by_field)
        return definition

    @property
    def key(self) -> FeatureKey:
        """The key of the feature."""
        return self.spec.key

    @property
    def table_name(self) -> str:
        """The name of the table that holds the feature."""
        return self.spec.table_name()

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns that identify a sample."""
        return self.spec.id_columns

    @property
    def columns(self) -> list[str]:
        """The columns that the class declares."""
        return list(self.feature_schema.get("properties", {}))

    @property
    def declared(self) -> OnMisfit | None:
        """What writes do about columns that do not fit the class, None for what the configuration says."""
        return self._declared

    @cached_property
    def declared_columns(self) -> tuple[DeclaredColumn, ...]:
        """The columns that the class declares, with their types, without those of Metaxy."""
        if self._feature_class is None:
            return declared_columns(self.feature_schema, {})
        schema = self._feature_class.model_json_schema(by_alias=False, schema_generator=ExactTypes)
        return declared_columns(schema, self._feature_class.model_fields)

    @property
    def source(self) -> str:
        """Where the definition comes from."""
        return self._source or self.feature_class_path or "?"

    @property
    def is_external(self) -> bool:
        """Whether this is a placeholder for a feature of another project."""
        return self._external

    @property
    def is_user_code(self) -> bool:
        """Whether the definition was written here, so that it can be corrected here."""
        return not (self._external or self._stored)

    @property
    def on_version_mismatch(self) -> OnVersionMismatch:
        """What to do when the real feature has another version than this placeholder."""
        return self._on_version_mismatch

    @property
    def has_provenance_override(self) -> bool:
        """Whether the placeholder brings field versions of its own."""
        if not self._external:
            raise MetaxyInvariantViolationError(f"feature '{self.key}' is not external: it cannot override versions")
        return self._provenance_by_field is not None

    @property
    def provenance_by_field_override(self) -> dict[str, str]:
        """The field versions that the placeholder brings."""
        if not self.has_provenance_override or self._provenance_by_field is None:
            raise MetaxyInvariantViolationError(
                f"external feature '{self.key}' has no field versions of its own: pass provenance_by_field"
            )
        return dict(self._provenance_by_field)

    @property
    def known_field_versions(self) -> dict[str, str]:
        """The field versions that need not be computed; empty for all but some external features."""
        return dict(self._provenance_by_field or {})

    @property
    def feature_definition_version(self) -> str:
        """Hash of spec and schema, as long as the active configuration says."""
        return self.version_at(context.settings().hash_truncation_length)

    def version_at(self, length: int) -> str:
        """Return the hash of spec and schema; project and class path do not count."""
        return digest_parts([self.spec.version_at(length), json.dumps(self.feature_schema, sort_keys=True)], length)

    def _get_feature_class(self) -> Any:
        """Return the class that the definition was made from; import it if it is not at hand.

        Raises:
            ImportError: if the class is not where its path says.
        """
        if self._feature_class is None:
            self._feature_class = _import_class(self.feature_class_path, self.key)
        return self._feature_class


def class_path(feature_class: type) -> str:
    """Return ``module.Class``, or ``module.Outer.Class`` for a nested class.

    Classes inside functions are known by their bare name, so that running the function again redefines them.
    """
    name = feature_class.__qualname__
    return f"{feature_class.__module__}.{feature_class.__name__ if '<locals>' in name else name}"


def _stored_spec(data: FeatureSpec | Json) -> FeatureSpec:
    parsed = json.loads(data) if isinstance(data, str) else data
    feature = parsed.get("key", "?") if isinstance(parsed, Mapping) else "?"
    return FeatureSpec.model_validate(parsed, context=stored(str(feature)))


def _field_versions(spec: FeatureSpec, given: Mapping[CoercibleToFieldKey, str]) -> dict[str, str]:
    versions = {str(FieldKeyAdapter.validate_python(key)): version for key, version in given.items()}
    own = [str(field.key) for field in spec.fields]
    if unknown := sorted(set(versions) - set(own)):
        raise DefinitionError(
            f"external feature '{spec.key}' overrides the version of '{unknown[0]}', which is not one of its fields."
            f"{did_you_mean(unknown[0], own)}"
        )
    return versions


def _location(frame: FrameType) -> str:
    """Describe the code of a frame as ``module``, ``module:function`` or ``module:Class.method``."""
    module = str(frame.f_globals.get("__name__", "?"))
    name: str = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)  # co_qualname is new in Python 3.11
    return module if name == "<module>" else f"{module}:{name.replace('<locals>.', '')}"


def _import_class(path: str | None, key: FeatureKey) -> Any:
    if path is None:
        raise ImportError(f"feature '{key}' has no class: it is external")
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(f"the class of feature '{key}' cannot be imported from {path!r}: {error}") from error
