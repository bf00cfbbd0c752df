"""The plan of one feature: the feature with everything that it needs from its parents, resolved and frozen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, total_ordering
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.field import FieldDep, FieldSpec, SpecialFieldDep
from metaxy.definitions.keys import (
    CoercibleToFeatureKey,
    CoercibleToFieldKey,
    FeatureKey,
    FieldKey,
    FieldKeyAdapter,
    coerce_to_feature_key,
)
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import DefinitionError
from metaxy.wording import did_you_mean

if TYPE_CHECKING:
    import narwhals as nw

REMEMBERED = 32  # of what follows from one plan: tables change their columns, and tests their settings
T = TypeVar("T")


@total_ordering
@dataclass(frozen=True)
class FQFieldKey:
    """Key of a field of a certain feature; ordered by its text.

    >>> FQFieldKey("video/raw", "audio").to_string()
    'video/raw.audio'
    """

    feature: FeatureKey
    field: FieldKey

    if TYPE_CHECKING:

        def __init__(self, feature: CoercibleToFeatureKey, field: CoercibleToFieldKey) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.feature, FeatureKey):
            object.__setattr__(self, "feature", coerce_to_feature_key(self.feature))
        if not isinstance(self.field, FieldKey):
            object.__setattr__(self, "field", FieldKeyAdapter.validate_python(self.field))

    def to_string(self) -> str:
        """Return ``feature/key.field/key``."""
        return f"{self.feature}.{self.field}"

    def __str__(self) -> str:
        return self.to_string()

    def __lt__(self, other: object) -> bool:
        return str(self) < str(other) if isinstance(other, FQFieldKey) else NotImplemented


class Parent(NamedTuple):
    """A dependency together with the spec of the feature that it names."""

    dep: FeatureDep
    spec: FeatureSpec

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The ID columns of the parent, after renames."""
        return self.dep.renamed(self.spec.id_columns)


@dataclass(frozen=True)
class FeaturePlan:
    """A feature, the specs of its parents, and its dependencies; ``parents`` pairs the two, in declaration order.

    ``deps`` is None for a feature without dependencies. ``memo`` remembers what follows from the plan and what else it
    is called with; it lives as long as the plan: until the graph changes.
    """

    feature: FeatureSpec
    deps: Sequence[FeatureSpec] | None
    feature_deps: Sequence[FeatureDep]
    memo: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def build(cls, feature: FeatureSpec, specs: Mapping[FeatureKey, FeatureSpec]) -> "FeaturePlan":
        """Build the plan of a feature."""
        parents = {dep.feature: specs[dep.feature] for dep in feature.deps}
        return cls(feature, tuple(parents.values()) or None, feature.deps)

    def remember(self, asked: Any, answer: T) -> T:
        """Keep what follows from the plan and something else, which ``memo`` then gives."""
        if len(self.memo) >= REMEMBERED:
            self.memo.clear()
        self.memo[asked] = answer
        return answer

    # -- parents -------------------------------------------------------------------------------------------------------

    @cached_property
    def parents(self) -> tuple[Parent, ...]:
        """The dependencies with the specs they name, in declaration order."""
        return tuple(Parent(dep, self.parent_features_by_key[dep.feature]) for dep in self.feature_deps)

    @cached_property
    def parent_features_by_key(self) -> dict[FeatureKey, FeatureSpec]:
        """The specs of the parents."""
        return {spec.key: spec for spec in self.deps or ()}

    @cached_property
    def filters(self) -> "dict[FeatureKey, tuple[nw.Expr, ...]]":
        """The conditions of the dependencies, parsed."""
        return {dep.feature: dep.filters for dep in self.feature_deps}

    @property
    def required_deps(self) -> list[FeatureDep]:
        """The dependencies without which a sample does not exist."""
        return [dep for dep in self.feature_deps if not dep.optional]

    @property
    def optional_deps(self) -> list[FeatureDep]:
        """The dependencies that a sample may lack."""
        return [dep for dep in self.feature_deps if dep.optional]

    # -- fields --------------------------------------------------------------------------------------------------------

    @cached_property
    def parent_fields(self) -> dict[FieldKey, tuple[FQFieldKey, ...]]:
        """The parent fields of each field, sorted by their text: the order in which versions are hashed."""
        return {field.key: self._parents_of(field) for field in self.feature.fields}

    @cached_property
    def all_parent_fields_by_key(self) -> dict[FQFieldKey, FieldSpec]:
        """Every field of every parent."""
        return {FQFieldKey(spec.key, field.key): field for spec in self.deps or () for field in spec.fields}

    @cached_property
    def parent_fields_by_key(self) -> dict[FQFieldKey, FieldSpec]:
        """The fields of the parents that some field of the feature depends on."""
        needed = {parent for parents in self.parent_fields.values() for parent in parents}
        return {key: field for key, field in self.all_parent_fields_by_key.items() if key in needed}

    @property
    def parent_fields_by_feature_key(self) -> dict[FeatureKey, list[FieldKey]]:
        """The fields of each parent that some field of the feature depends on."""
        return _by_feature(self.parent_fields_by_key)

    @property
    def field_dependencies(self) -> dict[FieldKey, dict[FeatureKey, list[FieldKey]]]:
        """For each field, the fields of each parent that it depends on."""
        return {field: _by_feature(parents) for field, parents in self.parent_fields.items()}

    def get_parent_fields_for_field(self, field: CoercibleToFieldKey) -> dict[FQFieldKey, FieldSpec]:
        """Return the parent fields that a field depends on, sorted by their text."""
        key = FieldKeyAdapter.validate_python(field)
        if key not in self.parent_fields:
            names = [str(known) for known in self.parent_fields]
            raise DefinitionError(f"feature '{self.feature.key}' has no field '{key}'.{did_you_mean(str(key), names)}")
        return {parent: self.all_parent_fields_by_key[parent] for parent in self.parent_fields[key]}

    @cached_property
    def _field_keys(self) -> dict[FeatureKey, tuple[FieldKey, ...]]:
        return {spec.key: tuple(field.key for field in spec.fields) for spec in self.deps or ()}

    def _parents_of(self, field: FieldSpec) -> tuple[FQFieldKey, ...]:
        if not self.feature_deps:
            return ()
        if field.deps is SpecialFieldDep.ALL:
            found: Iterable[FQFieldKey] = self.all_parent_fields_by_key
        elif field.deps:
            found = self._explicit_parents(field)
        else:
            found = list(self._mapped_parents(field.key))
            if not found:
                raise DefinitionError(
                    f"field '{field.key}' of feature '{self.feature.key}' gets no parent field from any dependency: "
                    f"change the fields_mapping, or mean it: FieldSpec(key='{field.key}', "
                    f"deps=[FieldDep(feature='{self.feature_deps[0].feature}', fields=[])])"
                )
        return tuple(sorted(set(found), key=str))

    def _explicit_parents(self, field: FieldSpec) -> Iterator[FQFieldKey]:
        for dep in () if field.deps is SpecialFieldDep.ALL else field.deps:
            spec = self.parent_features_by_key.get(dep.feature)
            if spec is None:
                raise DefinitionError(
                    f"field '{field.key}' of feature '{self.feature.key}' depends on feature '{dep.feature}', "
                    f"which is not in its deps.{did_you_mean(str(dep.feature), map(str, self.parent_features_by_key))}"
                )
            for problem in unknown_parent_fields(self.feature, field, dep, spec):
                raise DefinitionError(problem)
            keys = self._field_keys[spec.key] if dep.fields is SpecialFieldDep.ALL else dep.fields
            yield from (FQFieldKey(dep.feature, key) for key in keys)

    def _mapped_parents(self, field: FieldKey) -> Iterator[FQFieldKey]:
        for dep in self.feature_deps:
            keys = self._field_keys[dep.feature]
            for key in dep.fields_mapping.mapping.parent_fields(field, keys):
                yield FQFieldKey(dep.feature, key)

    # -- ID columns ----------------------------------------------------------------------------------------------------

    @property
    def upstream_id_columns(self) -> list[str]:
        """The ID columns of all parents, after renames."""
        return list(dict.fromkeys(name for parent in self.parents for name in parent.id_columns))

    def get_input_id_columns_for_dep(self, dep: FeatureDep) -> list[str]:
        """Return the columns that tell the prepared rows of one parent apart, after its lineage."""
        ids = dep.renamed(self.parent_features_by_key[dep.feature].id_columns)
        return list(dep.lineage.relationship.input_id_columns(ids, self.feature.id_columns))

    @cached_property
    def input_id_columns(self) -> list[str]:
        """The ID columns that all parents share: first those of the feature, in its order, then the others."""
        per_dep = [ids for dep in self.feature_deps if (ids := self.get_input_id_columns_for_dep(dep))]
        shared = [name for name in per_dep[0] if all(name in ids for ids in per_dep)] if per_dep else []
        own = [name for name in self.feature.id_columns if name in shared]
        return list(dict.fromkeys([*own, *shared]))


def _by_feature(keys: Iterable[FQFieldKey]) -> dict[FeatureKey, list[FieldKey]]:
    fields: dict[FeatureKey, list[FieldKey]] = {}
    for key in keys:
        fields.setdefault(key.feature, []).append(key.field)
    return fields


def unknown_parent_fields(feature: FeatureSpec, field: FieldSpec, dep: FieldDep, parent: FeatureSpec) -> Iterator[str]:
    """Say which fields that a field explicitly depends on its parent does not have."""
    known = list(parent.fields_by_key)
    for key in () if dep.fields is SpecialFieldDep.ALL else dep.fields:
        if key not in known:
            yield (
                f"field '{field.key}' of feature '{feature.key}' depends on '{key}' of '{parent.key}', "
                f"which does not exist.{did_you_mean(str(key), map(str, known))}"
            )
