"""The graph of definitions: registration, plans, order, versions and snapshots.

Every version is as long as its caller says; what users call without a length is as long as the active settings say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from typing_extensions import Self

from metaxy import context
from metaxy._lazy import resolve
from metaxy.dag import consistency, snapshot, versions
from metaxy.dag.consistency import OnConflict
from metaxy.dag.plan import FeaturePlan, FQFieldKey
from metaxy.dag.walk import around, dependencies_first
from metaxy.definitions.definition import FeatureClass, FeatureDefinition
from metaxy.definitions.keys import CoercibleToFeatureKey, FeatureKey, coerce_to_feature_key
from metaxy.errors import AmbiguousProjectError, FieldNotFoundError, MetaxyMissingFeatureDependency, UnknownFeatureError
from metaxy.wording import did_you_mean

FieldVersions: TypeAlias = dict[str, str]


@dataclass
class _Memo:
    """What was computed since the last change of the graph."""

    plans: dict[FeatureKey, FeaturePlan] = field(default_factory=dict)
    versions: dict[tuple[FeatureKey, int], str] = field(default_factory=dict)
    fields: dict[int, dict[FeatureKey, FieldVersions]] = field(default_factory=dict)
    projects: dict[tuple[str, int], str] = field(default_factory=dict)
    has_external: bool | None = None


class FeatureGraph:
    """Feature definitions by key, in the order of their registration.

    Features may be registered in any order. Whatever is wrong between features is reported when the last one involved
    is registered; the graph is unchanged then. Parents that never come are reported when a plan or version is needed.

    >>> graph = FeatureGraph()
    >>> with graph.use():
    ...     FeatureGraph.get_active() is graph
    True
    """

    def __init__(self) -> None:
        self._definitions: dict[FeatureKey, FeatureDefinition] = {}
        self._dependents: dict[FeatureKey, dict[FeatureKey, None]] = {}
        self._names: dict[tuple[str, str], dict[FeatureKey, None]] = {}
        self._former: dict[FeatureKey, dict[FeatureKey, None]] = {}
        self._memo = _Memo()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._definitions)} features)"

    def _repr_html_(self) -> str:
        page: str = resolve("metaxy.dag.render.notebook:graph_page")(self)
        return page

    # -- the active graph ----------------------------------------------------------------------------------------------

    @staticmethod
    def get_active() -> "FeatureGraph":
        """Return the active graph: that of this context, else the default one."""
        active: FeatureGraph | None = context.active_graph()
        return graph if active is None else active

    get = get_active

    @staticmethod
    def set_active(active: "FeatureGraph | None") -> None:
        """Make a graph the active one of this context; None stands for the default graph."""
        context.set_active_graph(active)

    @contextmanager
    def use(self) -> Iterator[Self]:
        """Make this the active graph until the block ends."""
        with context.using_graph(self):
            yield self

    # -- registration --------------------------------------------------------------------------------------------------

    @property
    def feature_definitions_by_key(self) -> Mapping[FeatureKey, FeatureDefinition]:
        """A read-only view of all definitions, as they are now."""
        return MappingProxyType(self._definitions)

    def add_feature(self, feature_class: FeatureClass) -> None:
        """Register a feature class."""
        self.add_feature_definition(FeatureDefinition.from_feature_class(feature_class))

    def add_feature_definition(self, definition: FeatureDefinition, on_conflict: OnConflict = "raise") -> None:
        """Register a definition.

        A definition replaces one of the same class path, and any replaces an external one; an external definition never
        replaces another kind.

        Args:
            on_conflict: What to do when another class already has this key.

        Raises:
            DefinitionError: if the key is taken, or if something is wrong between this feature and the others.
        """
        old = self._definitions.get(definition.key)
        if old is not None and not consistency.replaces(definition, old, on_conflict):
            return
        candidate = {**self._definitions, definition.key: definition}
        consistency.check_distinct(definition, self._clashing(definition))
        consistency.check_renames(definition, candidate, self._former)
        consistency.check_definition(
            definition, candidate, self._dependents.get(definition.key, ()), redefined=old is not None
        )
        if old is not None:
            self._unlink(old)
        self._definitions = candidate
        self._link(definition)
        self._memo = _Memo()

    def remove_feature(self, key: CoercibleToFeatureKey) -> None:
        """Remove a feature; features that depend on it stay, but have no plan any more."""
        definition = self.get_feature_definition(key)
        self._unlink(definition)
        self._definitions = {k: d for k, d in self._definitions.items() if k != definition.key}
        self._memo = _Memo()

    def copy(self) -> Self:
        """Return a graph of the same definitions that can be changed on its own."""
        twin = type(self)()
        twin._definitions = dict(self._definitions)
        for definition in self._definitions.values():
            twin._link(definition)
        return twin

    def get_feature_definition(self, key: CoercibleToFeatureKey) -> FeatureDefinition:
        """Return the definition of a feature.

        Raises:
            UnknownFeatureError: if there is none (a KeyError).
        """
        wanted = coerce_to_feature_key(key)
        if (definition := self._definitions.get(wanted)) is None:
            raise UnknownFeatureError.from_key(str(wanted), map(str, self._definitions))
        return definition

    def _clashing(self, definition: FeatureDefinition) -> Iterator[FeatureDefinition]:
        keys = {key: None for name in _names(definition) for key in self._names.get(name, ())}
        return (self._definitions[key] for key in keys if key != definition.key)

    def _link(self, definition: FeatureDefinition) -> None:
        for dep in definition.spec.deps:
            self._dependents.setdefault(dep.feature, {})[definition.key] = None
        for name in _names(definition):
            self._names.setdefault(name, {})[definition.key] = None
        for former in definition.spec.renamed_from:
            self._former.setdefault(former, {})[definition.key] = None

    def _unlink(self, definition: FeatureDefinition) -> None:
        for dep in definition.spec.deps:
            self._dependents[dep.feature].pop(definition.key, None)
        for name in _names(definition):
            self._names[name].pop(definition.key)
        for former in definition.spec.renamed_from:
            self._former[former].pop(definition.key, None)

    # -- projects ------------------------------------------------------------------------------------------------------

    @property
    def has_renames(self) -> bool:
        """Whether some feature says which key it had before."""
        return any(self._former.values())

    @property
    def has_external_features(self) -> bool:
        """Whether some feature is only a placeholder."""
        memo = self._memo
        if memo.has_external is None:
            memo.has_external = any(definition.is_external for definition in self._definitions.values())
        return memo.has_external

    @property
    def project(self) -> str:
        """The only project of the features that are defined here.

        Raises:
            AmbiguousProjectError: if there is none, or more than one (a RuntimeError).
        """
        if len(projects := sorted({d.project for d in self._definitions.values() if not d.is_external})) != 1:
            found = f"features of several projects: {', '.join(projects)}" if projects else "no features of its own"
            raise AmbiguousProjectError(f"the graph has {found}; set 'project' in metaxy.toml, or pass project=")
        return projects[0]

    def features_of(self, project: str) -> list[FeatureDefinition]:
        """Return the definitions of a project, without external ones."""
        return [d for d in self._definitions.values() if d.project == project and not d.is_external]

    def list_features(
        self, projects: str | Sequence[str] | None = None, *, only_current_project: bool = True
    ) -> list[FeatureKey]:
        """Return the keys of features, in the order of their registration.

        Args:
            projects: Only features of these projects.
            only_current_project: Without projects, only features of the configured project, if there is one.
        """
        current = context.settings().project if only_current_project else None
        wanted = [projects] if isinstance(projects, str) else projects or ([current] if current else None)
        return [d.key for d in self._definitions.values() if wanted is None or d.project in wanted]

    # -- plans ---------------------------------------------------------------------------------------------------------

    def get_feature_plan(self, key: CoercibleToFeatureKey) -> FeaturePlan:
        """Return the plan of a feature.

        Raises:
            MetaxyMissingFeatureDependency: if one of its parents is not registered.
        """
        memo = self._memo  # first: what is computed from older definitions must not reach a newer memo
        wanted = coerce_to_feature_key(key)
        if (plan := memo.plans.get(wanted)) is None:
            spec = self.get_feature_definition(wanted).spec
            specs = {dep.feature: self._parent(wanted, dep.feature).spec for dep in spec.deps}
            plan = memo.plans[wanted] = FeaturePlan.build(spec, specs)
        return plan

    def _parent(self, child: FeatureKey, parent: FeatureKey) -> FeatureDefinition:
        if parent not in self._definitions:
            raise MetaxyMissingFeatureDependency(
                f"feature '{child}' depends on '{parent}', which is not in the graph."
                f"{did_you_mean(str(parent), map(str, self._definitions))} "
                "Import the module that defines it, or run `mx lock` if it belongs to another project"
            )
        return self._definitions[parent]

    # -- order ---------------------------------------------------------------------------------------------------------

    def topological_sort_features(
        self, feature_keys: Iterable[CoercibleToFeatureKey] | None = None, *, descending: bool = False
    ) -> list[FeatureKey]:
        """Return features so that each comes after the features it depends on, also indirectly.

        Args:
            feature_keys: The features to sort; all by default. Unknown ones are kept.
            descending: Return dependents first instead.
        """
        keys = self._definitions if feature_keys is None else map(coerce_to_feature_key, feature_keys)
        wanted = sorted(dict.fromkeys(keys), key=_text_order)
        members = set(wanted)
        order = [key for key in dependencies_first(wanted, self._sorted_parents) if key in members]
        return order[::-1] if descending else order

    def get_downstream_features(
        self, sources: CoercibleToFeatureKey | Iterable[CoercibleToFeatureKey]
    ) -> list[FeatureKey]:
        """Return all features that depend on some features, directly or not, dependencies first.

        Args:
            sources: The features to start from; they are not part of the result.
        """
        starts = _as_keys(sources)
        reached = dependencies_first(starts, lambda key: self._dependents.get(key, ()))
        return self.topological_sort_features(set(reached) - starts)

    def get_features_around(self, keys: Iterable[CoercibleToFeatureKey], up: int, down: int) -> list[FeatureKey]:
        """Return features with so many levels of their parents and of their dependents, dependencies first.

        Args:
            keys: The features to start from; unknown ones are left out.
            up: How many levels of parents.
            down: How many levels of dependents.
        """
        starts = [key for key in map(coerce_to_feature_key, keys) if key in self._definitions]
        above = around(starts, self._sorted_parents, up)
        below = around(starts, lambda key: self._dependents.get(key, ()), down)
        return self.topological_sort_features([*above, *below])

    def _sorted_parents(self, key: FeatureKey) -> list[FeatureKey]:
        definition = self._definitions.get(key)
        parents = (dep.feature for dep in definition.spec.deps) if definition else ()
        return sorted((parent for parent in parents if parent in self._definitions), key=_text_order)

    # -- versions ------------------------------------------------------------------------------------------------------

    def get_feature_version_by_field(self, key: CoercibleToFeatureKey, length: int | None = None) -> FieldVersions:
        """Return the version of each field of a feature.

        Args:
            length: How many characters of each hash are kept; as many as the active settings say by default.

        Raises:
            MetaxyMissingFeatureDependency: if a feature that it depends on, directly or not, is not registered.
        """
        cut = _length(length)
        done = self._memo.fields.setdefault(cut, {})
        wanted = self.get_feature_definition(key).key
        if wanted not in done:
            for each in dependencies_first(
                [wanted], lambda node: () if node in done else self._versioned_parents(node)
            ):
                if each not in done:
                    done[each] = self._compute_field_versions(self._definitions[each], done, cut)
        return dict(done[wanted])

    def _versioned_parents(self, key: FeatureKey) -> list[FeatureKey]:
        """Return the parents whose versions the version of a feature needs, as far as they are registered."""
        definition = self._definitions[key]
        if _is_overridden(definition):
            return []
        return [dep.feature for dep in definition.spec.deps if dep.feature in self._definitions]

    def _compute_field_versions(
        self, definition: FeatureDefinition, done: Mapping[FeatureKey, FieldVersions], length: int
    ) -> FieldVersions:
        known = definition.known_field_versions
        if _is_overridden(definition):
            return known
        return versions.field_versions(self.get_feature_plan(definition.key), done, length) | known

    def get_field_version(self, key: FQFieldKey, length: int | None = None) -> str:
        """Return the version of one field."""
        found = self.get_feature_version_by_field(key.feature, length)
        if (name := str(key.field)) not in found:
            raise FieldNotFoundError(f"feature '{key.feature}' has no field '{name}'.{did_you_mean(name, found)}")
        return found[name]

    def get_feature_version(self, key: CoercibleToFeatureKey, length: int | None = None) -> str:
        """Return the version of a feature: the hash over the versions of its fields."""
        memo, wanted, cut = self._memo, coerce_to_feature_key(key), _length(length)
        if (version := memo.versions.get((wanted, cut))) is None:
            by_field = self.get_feature_version_by_field(wanted, cut)
            version = memo.versions[wanted, cut] = versions.feature_version(by_field, cut)
        return version

    def get_project_version(self, project: str, length: int | None = None) -> str:
        """Return the version of a project: the hash over its definitions, ``empty`` if it has none here."""
        memo, cut = self._memo, _length(length)
        if (project, cut) not in memo.projects:
            memo.projects[project, cut] = versions.project_version(self.features_of(project), cut)
        return memo.projects[project, cut]

    @property
    def project_version(self) -> str:
        """The version of the configured project, else of the only one in the graph."""
        return self.get_project_version(context.settings().project or self.project)

    # -- snapshots -----------------------------------------------------------------------------------------------------

    def to_svg(self, *, fields: bool = False, **options: Any) -> str:
        """Return a picture of the graph, as SVG that stands alone and follows the light or dark mode of its reader.

        Args:
            fields: Draw which field is computed from which.
            options: What to show, as in `RenderConfig`, such as ``direction="LR"`` or ``feature="video/crop"``.
        """
        return str(resolve("metaxy.dag.render.svg:draw")(self, fields=fields, **options))

    def to_snapshot(
        self, *, project: str | None = None, length: int | None = None
    ) -> dict[str, snapshot.SerializedFeature]:
        """Return the features of a project as plain data, without external ones.

        Args:
            project: Name of the project, by default the only one in the graph.

        Raises:
            AmbiguousProjectError: if no project is named, and the graph does not have just one (a RuntimeError).
        """
        cut = _length(length)
        wanted = project or self.project
        return {
            str(d.key): snapshot.serialize(d, self.get_feature_version(d.key, cut), cut)
            for d in self.features_of(wanted)
        }

    @classmethod
    def from_snapshot(cls, data: Mapping[str, Mapping[str, Any]]) -> Self:
        """Build a graph from a snapshot; no user code is imported.

        Args:
            data: Features by key, as `to_snapshot` returns them.
        """
        new = cls()
        for definition in snapshot.deserialize(data):
            new.add_feature_definition(definition)
        return new


def _as_keys(sources: Any) -> set[FeatureKey]:
    """Return the keys of one feature or of several; a list of texts is a list of features."""
    single = isinstance(sources, (str, FeatureKey, type)) or hasattr(sources, "key")
    return {coerce_to_feature_key(source) for source in ([sources] if single else sources)}


def _is_overridden(definition: FeatureDefinition) -> bool:
    """Return whether all field versions are given, so that no parent is needed."""
    known = definition.known_field_versions
    return bool(known) and all(str(each.key) in known for each in definition.spec.fields)


def _names(definition: FeatureDefinition) -> tuple[tuple[str, str], ...]:
    return ("table", definition.table_name), ("suffix", definition.key.to_column_suffix())


def _text_order(key: FeatureKey) -> tuple[str, FeatureKey]:
    return str(key).lower(), key


def _length(given: int | None) -> int:
    return context.settings().hash_truncation_length if given is None else given


graph: Final = FeatureGraph()


def current_graph() -> FeatureGraph:
    """Return the active graph."""
    return FeatureGraph.get_active()


def get_feature_by_key(key: CoercibleToFeatureKey) -> FeatureDefinition:
    """Return the definition of a feature from the active graph.

    Raises:
        UnknownFeatureError: if the graph has no such feature (a KeyError).
    """
    return current_graph().get_feature_definition(key)
