"""Feature specs: everything that a user declares about a feature."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import to_jsonable_python
from typing_extensions import Self

from metaxy import context
from metaxy.columns import is_system_column
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldSpec, SpecialFieldDep
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, FieldKey, ValidatedFeatureKey
from metaxy.definitions.mapping import SpecificFieldsMapping
from metaxy.definitions.names import ColumnNames, as_items, differing_by_case, repeated
from metaxy.definitions.strictness import refuse
from metaxy.errors import DefinitionError
from metaxy.hashing import digest_parts
from metaxy.wording import did_you_mean


def _as_former_keys(value: Any) -> Any:
    """Return a list of keys: a text, a key or a feature class is one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


Dep = Annotated[
    FeatureDep, BeforeValidator(lambda item: item if isinstance(item, (FeatureDep, dict)) else {"feature": item})
]
FormerKeys = Annotated[tuple[ValidatedFeatureKey, ...], BeforeValidator(_as_former_keys)]
DeclaredField = Annotated[FieldSpec, BeforeValidator(lambda item: {"key": item} if isinstance(item, str) else item)]


class FeatureSpec(BaseModel):
    """What a feature is: its key, the columns that identify its samples, its parents and its fields.

    >>> spec = FeatureSpec(key="video/crop", id_columns=["video_id"], deps=["video/raw"], fields=["frames"])
    >>> spec.key, spec.table_name(), spec.deps[0].feature, spec.fields[0].key
    (video/crop, 'video__crop', video/raw, frames)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    __hash__ = None  # type: ignore[assignment]  # metadata is a dict

    key: FeatureKey
    id_columns: ColumnNames
    deps: tuple[Dep, ...] = ()
    fields: tuple[DeclaredField, ...] = (FieldSpec(),)
    metadata: dict[str, Any] = {}
    description: str | None = None
    renamed_from: FormerKeys = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            key: Union[str, Sequence[str], FeatureKey],
            id_columns: Iterable[str],
            deps: Iterable[FeatureDep | Mapping[str, Any] | CoercibleToFeatureKey] = ...,
            fields: Sequence[str | FieldSpec | Mapping[str, Any]] = ...,
            metadata: Mapping[str, Any] = ...,
            description: str | None = None,
            renamed_from: CoercibleToFeatureKey | Sequence[CoercibleToFeatureKey] = ...,
        ) -> None: ...

    _list_items = field_validator("deps", "fields", mode="before")(as_items)

    @field_validator("metadata", mode="before")
    @classmethod
    def _plain_json(cls, value: Any) -> Any:
        return to_jsonable_python(value)

    @model_serializer(mode="wrap")
    def _without_nothing(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave former keys out where there are none, as metaxy 0.1 does not know them."""
        data: dict[str, Any] = plain(self)
        if not data.get("renamed_from", True):
            del data["renamed_from"]
        return data

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        if any(dep.feature == self.key for dep in self.deps):
            raise DefinitionError(f"feature '{self.key}' depends on itself: remove it from its deps")
        if twice := repeated(str(field.key) for field in self.fields):
            raise DefinitionError(f"feature '{self.key}' has several fields '{twice[0]}': give each its own key")
        if not self.id_columns:
            raise DefinitionError(f"feature '{self.key}' has no id_columns: name the columns that identify a sample")
        for problem in self._problems():
            refuse(f"feature '{self.key}' {problem}", info)
        return self

    def _problems(self) -> Iterator[str]:
        yield from self._id_problems()
        if not self.fields:
            yield "has an empty list of fields: leave it out to get one default field"
        for name in repeated(field.key.to_struct_key() for field in self.fields):
            yield f"has several fields that are stored as {name!r} ('x/y' and 'x_y' are the same there): rename one"
        for parent in repeated(str(dep.feature) for dep in self.deps):
            yield f"lists the dependency '{parent}' twice: merge the two"
        yield from self._former_problems()
        yield from self._reference_problems()

    def _former_problems(self) -> Iterator[str]:
        if self.key in self.renamed_from:
            yield f"says renamed_from='{self.key}', which is its own key: name the key that it had before"
        for name in repeated(map(str, self.renamed_from)):
            yield f"lists '{name}' twice in renamed_from"

    def _id_problems(self) -> Iterator[str]:
        for name in repeated(self.id_columns):
            yield f"lists the ID column {name!r} twice"
        for name in self.id_columns:
            if is_system_column(name):
                yield f"uses the system column {name!r} as an ID column: choose another name"
        if names := differing_by_case(self.id_columns):
            yield f"has ID columns that differ only by case, which databases take for one: {', '.join(names)}"

    def _reference_problems(self) -> Iterator[str]:
        """Find names of parents and of own fields that do not exist."""
        parents = [str(dep.feature) for dep in self.deps]
        for field in self.fields:
            for dep in () if field.deps is SpecialFieldDep.ALL else field.deps:
                if (name := str(dep.feature)) not in parents:
                    yield (
                        f"has a field '{field.key}' that depends on feature '{name}', which is not in its deps."
                        f"{did_you_mean(name, parents)} Add '{name}' to deps"
                    )
        own = [str(field.key) for field in self.fields]
        for parent in self.deps:
            mapping = parent.fields_mapping.mapping
            for key in mapping.mapping if isinstance(mapping, SpecificFieldsMapping) else ():
                if str(key) not in own:
                    yield (
                        f"maps fields of '{parent.feature}' to '{key}', which is not one of its fields."
                        f"{did_you_mean(str(key), own)}"
                    )

    @property
    def expands(self) -> bool:
        """Whether one row of some parent makes many of the feature."""
        return any(dep.expands for dep in self.deps)

    @property
    def deps_by_key(self) -> dict[FeatureKey, FeatureDep]:
        """The dependencies by the key of the parent."""
        return {dep.feature: dep for dep in self.deps}

    @property
    def fields_by_key(self) -> dict[FieldKey, FieldSpec]:
        """The fields by key."""
        return {field.key: field for field in self.fields}

    @property
    def code_version(self) -> str:
        """Hash of the code versions of all fields, as long as the active configuration says."""
        return self.code_version_at(context.settings().hash_truncation_length)

    @property
    def feature_spec_version(self) -> str:
        """Hash of everything in the spec, as long as the active configuration says."""
        return self.version_at(context.settings().hash_truncation_length)

    def code_version_at(self, length: int) -> str:
        """Return the hash of the code versions of all fields."""
        versions = {str(field.key): field.code_version for field in self.fields}
        return digest_parts((text for key in sorted(versions) for text in (key, versions[key])), length)

    def version_at(self, length: int) -> str:
        """Return the hash of the canonical JSON form of the spec, which does not depend on former keys."""
        return digest_parts(
            [json.dumps(self.model_dump(mode="json", exclude={"renamed_from"}), sort_keys=True)], length
        )

    def table_name(self) -> str:
        """Return the name of the table that holds the feature."""
        return self.key.table_name


FeatureSpecWithIDColumns: TypeAlias = FeatureSpec
