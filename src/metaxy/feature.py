"""Feature classes: a pydantic model that carries a spec and registers it in the active graph.

Its fields are columns: the system columns of Metaxy and those that the user declares. Declaring none is fine; as soon
as some are declared, the ID columns should be among them.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypedDict, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from typing_extensions import dataclass_transform

from metaxy import context
from metaxy._lazy import resolve
from metaxy._old_names import with_old_names
from metaxy.columns import ALL_SYSTEM_COLUMNS, SYSTEM_COLUMNS
from metaxy.dag.graph import FeatureGraph, current_graph
from metaxy.definitions.definition import class_path
from metaxy.definitions.names import differing_by_case
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import AbstractFeatureError, DefinitionError, DefinitionWarning, warn_user
from metaxy.settings import OnMisfit
from metaxy.wording import did_you_mean

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
    from pydantic.fields import FieldInfo
else:
    ModelMetaclass = type(BaseModel)  # its own name is private in pydantic

PROJECT_ATTRIBUTE: Final = "__metaxy_project__"
# A class that declares system columns itself says so in its body: a base class for another framework, not a feature.
SYSTEM_FIELDS_MARK: Final = "__metaxy_system_fields__"


class FeatureConfig(TypedDict, total=False):
    """Settings of a feature that are no part of its version.

    ``ext`` has those for integrations, by the name of the integration. ``declared`` says what writes do about columns
    that do not fit the class, instead of what the configuration says.
    """

    ext: dict[str, Any]
    declared: OnMisfit


def _as_utc(value: Any) -> Any:
    """Read a timestamp without a time zone as UTC: some databases store it so."""
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) and value.tzinfo is None else value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_as_utc)]
_MEANING: Final = {column.name: column.meaning for column in SYSTEM_COLUMNS}


def _column(name: str) -> Any:
    return Field(default=None, description=_MEANING[name])


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))  # not inherited in type checkers
class MetaxyMeta(ModelMetaclass):
    """Metaclass of feature classes: takes ``spec=`` and registers the class."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        spec: FeatureSpec | None = None,
        **options: Any,
    ) -> Any:
        """Create a feature class.

        Args:
            spec: What the feature is; None makes an abstract class, which is not registered.
        """
        cls: Any = super().__new__(mcs, name, bases, namespace, **options)
        if spec is not None:
            check_columns(cls, spec)
            cls._spec = spec
            cls.graph = current_graph()
            cls.__metaxy_project__ = _project(name, namespace, cls.__module__)
            cls.graph.add_feature(cls)
        return cls

    def _repr_html_(self) -> str:
        """Show the class, not its instances, in a notebook."""
        page: str = resolve("metaxy.dag.render.notebook:class_page")(self)
        return page


@with_old_names
class BaseFeature(BaseModel, metaclass=MetaxyMeta):
    """Base class of features.

    >>> with FeatureGraph().use() as graph:
    ...     class Video(BaseFeature, spec=FeatureSpec(key="video", id_columns=["video_id"])):
    ...         video_id: str
    ...         path: str
    >>> Video.spec().key, Video.table_name(), graph.list_features(only_current_project=False)
    (video, 'video', [video])
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    __metaxy_system_fields__: ClassVar[bool] = True

    _spec: ClassVar[FeatureSpec]
    graph: ClassVar[FeatureGraph]
    feature_config: ClassVar[FeatureConfig] = {}

    metaxy_provenance_by_field: dict[str, str] = Field(
        default_factory=dict, description=_MEANING["metaxy_provenance_by_field"]
    )
    metaxy_provenance: str | None = _column("metaxy_provenance")
    metaxy_feature_version: str | None = _column("metaxy_feature_version")
    metaxy_project_version: str | None = _column("metaxy_project_version")
    metaxy_data_version_by_field: dict[str, str] | None = _column("metaxy_data_version_by_field")
    metaxy_data_version: str | None = _column("metaxy_data_version")
    metaxy_created_at: Timestamp | None = _column("metaxy_created_at")
    metaxy_updated_at: Timestamp | None = _column("metaxy_updated_at")
    metaxy_deleted_at: Timestamp | None = _column("metaxy_deleted_at")
    metaxy_materialization_id: str | None = _column("metaxy_materialization_id")

    @classmethod
    def spec(cls) -> FeatureSpec:
        """Return the spec of the feature.

        Raises:
            AbstractFeatureError: if the class has none (an AttributeError).
        """
        spec: FeatureSpec | None = getattr(cls, "_spec", None)
        if spec is None:
            raise AbstractFeatureError(
                f"{cls.__name__} is an abstract feature class: it has no spec. "
                f"Define it as `class {cls.__name__}(BaseFeature, spec=FeatureSpec(...))`"
            )
        return spec

    @classmethod
    def metaxy_project(cls) -> str:
        """Return the project that the feature belongs to."""
        cls.spec()
        project: str = getattr(cls, PROJECT_ATTRIBUTE)
        return project

    @classmethod
    def table_name(cls) -> str:
        """Return the name of the table that holds the feature."""
        return cls.spec().table_name()

    @classmethod
    def feature_version(cls) -> str:
        """Return the version of the feature in its graph."""
        key = cls.spec().key
        return cls.graph.get_feature_version(key)

    @classmethod
    def feature_spec_version(cls) -> str:
        """Return the hash of the spec."""
        return cls.spec().version_at(context.settings().hash_truncation_length)

    @classmethod
    def provenance_by_field(cls) -> dict[str, str]:
        """Return the version of each field in the graph of the feature."""
        key = cls.spec().key
        return cls.graph.get_feature_version_by_field(key)


def detect_project_from_package(module_name: str) -> str:
    """Return the project of a module: ``__metaxy_project__`` of its top-level package, else the name of that package.

    Raises:
        TypeError: if ``__metaxy_project__`` is not text.

    >>> detect_project_from_package("vision.features.video")
    'vision'
    """
    package = module_name.partition(".")[0]
    return _as_project(getattr(sys.modules.get(package), PROJECT_ATTRIBUTE, package), f"package {package!r}")


def _project(name: str, namespace: Mapping[str, Any], module_name: str) -> str:
    """Return the project named in the body of a class, else that of its package."""
    if PROJECT_ATTRIBUTE in namespace:
        return _as_project(namespace[PROJECT_ATTRIBUTE], f"class {name!r}")
    return detect_project_from_package(module_name)


def _as_project(project: object, where: str) -> str:
    if not isinstance(project, str):
        raise TypeError(f"{PROJECT_ATTRIBUTE} of {where} must be text, not {project!r}")
    return project


# -- columns -----------------------------------------------------------------------------------------------------------


def check_columns(cls: type[BaseModel], spec: FeatureSpec) -> None:
    """Check the declared columns of a feature class against its spec.

    Raises:
        DefinitionError: if a name belongs to Metaxy or differs from another only by case, or if ``declared`` is wrong.

    Warns:
        DefinitionWarning: if columns are declared, but not the ID columns.
    """
    where = f"feature '{spec.key}' ({class_path(cls)})"
    for problem in _column_problems(cls):
        raise DefinitionError(f"{where} {problem}")
    for problem in _undeclared_ids(cls, spec):
        warn_user(f"{where} {problem}", DefinitionWarning)  # an error would stop code of metaxy 0.1


def _column_problems(cls: type[BaseModel]) -> Iterator[str]:
    config = getattr(cls, "feature_config", {})
    if (declared := config.get("declared", "warn")) not in get_args(OnMisfit):
        yield f"has declared = {declared!r} in its feature_config: choose {', '.join(get_args(OnMisfit))}"
    for name in _redeclared(cls):
        yield f"redeclares {name!r}, a system column of Metaxy: choose another name for the column"
    if twins := differing_by_case(cls.model_fields):
        yield f"has columns that differ only by case, which databases take for one: {', '.join(twins)}"


def _undeclared_ids(cls: type[BaseModel], spec: FeatureSpec) -> Iterator[str]:
    declared = {
        name: known
        for name, info in cls.model_fields.items()
        if not ALL_SYSTEM_COLUMNS & (known := {name, *_aliases(info)})
    }
    known_names = {name for names in declared.values() for name in names}
    for column in spec.id_columns:
        if declared and column not in known_names:
            hint = did_you_mean(column, declared)
            yield f"does not declare its ID column {column!r}.{hint} Add it to the class, or correct id_columns"


def _aliases(info: "FieldInfo") -> list[str]:
    return [name for name in (info.alias, info.serialization_alias) if name]


def _redeclared(cls: type[BaseModel]) -> list[str]:
    """Find system columns that a class, or a base that is not Metaxy's, declares in its own way."""
    own = next(base for base in cls.__mro__ if SYSTEM_FIELDS_MARK in vars(base))
    expected: dict[str, FieldInfo] = own.model_fields  # type: ignore[attr-defined]  # only pydantic models carry the mark
    return [name for name, info in expected.items() if _signature(info) != _signature(cls.model_fields.get(name))]


def _signature(info: "FieldInfo | None") -> tuple[Any, ...]:
    return (info.annotation, info.default, info.default_factory, info.description) if info else ()
