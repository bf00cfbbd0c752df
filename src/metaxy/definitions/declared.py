"""Declared columns: what the annotations of a feature class say of the columns of its rows.

They are read from the JSON schema of the class, which is recorded with the definition: so a definition that was read
from a store or a lock file says it, too. What is not understood may be anything.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DecimalSchema, EnumSchema, WithDefaultSchema

from metaxy.columns import is_system_column

Schema: TypeAlias = Mapping[str, Any]
KindName: TypeAlias = Literal[
    "int", "float", "str", "bool", "bytes", "date", "datetime", "time", "timedelta", "Decimal", "UUID", "Path",
    "list", "dict", "struct", "None", "Any",
]  # fmt: skip
Value: TypeAlias = str | int | float | bool

DECIMAL: Final = "decimal"  # a format of ours: JSON schema has no word for it
FORMATS: Final[Mapping[str, tuple[KindName, ...]]] = {
    "binary": ("bytes",),
    "base64": ("bytes", "str"),
    "base64url": ("bytes", "str"),
    "date": ("date",),
    "date-time": ("datetime",),
    "time": ("time",),
    "duration": ("timedelta",),
    "uuid": ("UUID",),
    "path": ("Path",),
    "file-path": ("Path",),
    "directory-path": ("Path",),
    DECIMAL: ("Decimal",),
}
TYPES: Final[Mapping[str, KindName]] = {
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "string": "str",
    "null": "None",
}
VALUES: Final[Mapping[type, KindName]] = {bool: "bool", int: "int", float: "float", str: "str"}
SHOWN: Final = 5  # values of a Literal


@dataclass(frozen=True)
class Kind:
    """One type that a value may have: one of Python, a list or dict of ``inner``, or a model with ``members``."""

    name: KindName
    values: tuple[Value, ...] = ()
    inner: "Annotation | None" = None
    members: "tuple[tuple[str, Annotation], ...]" = ()
    required: frozenset[str] = frozenset()
    label: str = ""

    def __str__(self) -> str:
        """Return the kind as Python writes it."""
        if self.values:
            more = ", …" if len(self.values) > SHOWN else ""
            return f"Literal[{', '.join(map(repr, self.values[:SHOWN]))}{more}]"
        if self.inner is not None:
            return f"{self.name}[{'str, ' if self.name == 'dict' else ''}{self.inner}]"
        return self.label or self.name


NONE, ANY = Kind("None"), Kind("Any")


@dataclass(frozen=True)
class Annotation:
    """The types that a value may have, and whether it may be NULL; no types: it may be anything."""

    kinds: tuple[Kind, ...] = ()
    nullable: bool = True

    def __str__(self) -> str:
        """Return the annotation as Python writes it."""
        return " | ".join([*map(str, self.kinds), *(["None"] if self.nullable else [])]) if self.kinds else "Any"


@dataclass(frozen=True)
class DeclaredColumn:
    """A column that a class declares; ``names`` are its name and its aliases, any of which a frame may use."""

    name: str
    names: tuple[str, ...]
    annotation: Annotation
    required: bool

    def found_in(self, columns: Iterable[str]) -> str | None:
        """Return the name that the column has among some columns, None if it is not there."""
        present = set(columns)
        return next((name for name in self.names if name in present), None)


class ExactTypes(GenerateJsonSchema):
    """JSON schema that tells all types apart; the recorded one takes decimals for ``float | str``."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema of what has a default, without it."""
        return self.generate_inner(schema["schema"])

    def decimal_schema(self, schema: DecimalSchema) -> JsonSchemaValue:  # noqa: ARG002
        """Return a schema that says so."""
        return {"type": "string", "format": DECIMAL}

    def enum_schema(self, schema: EnumSchema) -> JsonSchemaValue:
        """Return the schema of an Enum; of one of dates or bytes, which become texts, one that says nothing."""
        plain = all(isinstance(member.value, (str, int, float)) for member in schema["members"])
        return super().enum_schema(schema) if plain else {}


def declared_columns(schema: Schema, model_fields: Mapping[str, Any]) -> tuple[DeclaredColumn, ...]:
    """Return the columns of a JSON schema, without those of Metaxy.

    Args:
        model_fields: The fields of the class, for their aliases; none if there is no class.

    >>> text = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    >>> [column] = declared_columns({"properties": {"path": text}, "required": ["path"]}, {})
    >>> column.name, str(column.annotation), column.required
    ('path', 'str | None', True)
    """
    required, parser = schema.get("required", ()), _Parser(schema.get("$defs", {}))
    return tuple(
        DeclaredColumn(name, _names(name, model_fields.get(name)), parser.annotation(each), name in required)
        for name, each in schema.get("properties", {}).items()
        if not is_system_column(name)
    )


def _names(name: str, info: Any) -> tuple[str, ...]:
    aliases = (info.alias, info.validation_alias, info.serialization_alias) if info is not None else ()
    return tuple(dict.fromkeys([name, *(alias for alias in aliases if isinstance(alias, str))]))


@dataclass(frozen=True)
class _Parser:
    """Reads one JSON schema; ``inside`` are the models that it is in, as those that hold themselves have no end."""

    models: Mapping[str, Schema]
    inside: frozenset[str] = frozenset()

    def annotation(self, schema: Any) -> Annotation:
        kinds = list(self._kinds(schema)) if isinstance(schema, Mapping) else [ANY]
        known = tuple(kind for kind in kinds if kind != NONE)
        return Annotation(known, nullable=NONE in kinds) if known and ANY not in kinds else Annotation()

    def _kinds(self, schema: Schema) -> Iterator[Kind]:
        if "$ref" in schema:
            yield from self._model(str(schema["$ref"]).rpartition("/")[2])
        elif one_of := schema.get("anyOf") or schema.get("oneOf"):
            for each in one_of:
                yield from self._kinds(each)
            if {each.get("type") for each in one_of} >= {"number", "string"}:
                yield Kind("Decimal")  # is recorded like that
        elif "const" in schema or "enum" in schema:
            yield from _enumerated(schema["enum"] if "enum" in schema else [schema["const"]])
        elif schema.get("type") == "array":
            yield self._list(schema)
        elif schema.get("type") == "object":
            yield self._dict_or_model(schema)
        else:
            yield from _flat(schema)

    def _model(self, name: str) -> Iterator[Kind]:
        if name in self.inside or name not in self.models:
            yield ANY
            return
        for kind in _Parser(self.models, self.inside | {name})._kinds(self.models[name]):
            yield replace(kind, label=name) if kind.name == "struct" else kind

    def _list(self, schema: Schema) -> Kind:
        if "prefixItems" not in schema:
            return Kind("list", inner=self.annotation(schema.get("items", {})))
        each = {self.annotation(item) for item in schema["prefixItems"]}
        return Kind("list", inner=each.pop()) if len(each) == 1 else ANY  # a tuple of several types may be a struct

    def _dict_or_model(self, schema: Schema) -> Kind:
        if "properties" not in schema:
            return Kind("dict", inner=self.annotation(schema.get("additionalProperties")))
        members = tuple((name, self.annotation(each)) for name, each in schema["properties"].items())
        return Kind("struct", members=members, required=frozenset(schema.get("required", ())), label="a model")


def _enumerated(values: Iterable[Any]) -> Iterator[Kind]:
    by_kind: dict[KindName, list[Value]] = {}
    for value in values:
        if value is None:
            yield NONE
        elif type(value) in VALUES:
            by_kind.setdefault(VALUES[type(value)], []).append(value)
        else:
            yield ANY
    yield from (Kind(name, tuple(each)) for name, each in by_kind.items())


def _flat(schema: Schema) -> Iterator[Kind]:
    named = str(schema.get("type"))
    known = TYPES.get(named, "Any")
    names = FORMATS.get(str(schema.get("format")), (known,)) if named == "string" else (known,)
    yield from map(Kind, names)
