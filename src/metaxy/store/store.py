"""The metadata store: a thin conductor of a storage, an engine, the active graph and the active configuration."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Literal, overload

import narwhals as nw
from typing_extensions import Self, Unpack

from metaxy.config import MetaxyConfig, current_settings
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import (
    FeatureNotFoundError,
    HashAlgorithmNotSupportedError,
    InvalidConfigError,
    MetadataStoreError,
)
from metaxy.hashing import DEFAULT_ALGORITHM, HashAlgorithm
from metaxy.storage.port import AccessMode, SchemaEvolution, Storage
from metaxy.store.config import MetadataStoreConfig, VersioningEngineOptions
from metaxy.store.deleting import delete_for_good, delete_softly
from metaxy.store.fallback import FallbackStoreList
from metaxy.store.mismatch import refuse_other_hash_settings
from metaxy.store.options import ReadOptions, UpdateOptions
from metaxy.store.provenance import compute_provenance
from metaxy.store.reading import find, read_rows
from metaxy.store.scope import Scope
from metaxy.store.session import Clock, Session
from metaxy.store.updating import Update, UpdateRequest, as_filters
from metaxy.store.writing import OnDuplicate, WriteOptions, prepare
from metaxy.versioning.engine import Engine
from metaxy.versioning.increment import Increment, LazyIncrement
from metaxy.versioning.recipe import Latest

Filters = Sequence[nw.Expr]


def creates_tables(given: bool | None) -> bool:
    """Return whether a store may create tables: what it was told, else what the configuration says."""
    return current_settings().auto_create_tables if given is None else given


class MetadataStore:
    """Reads and writes features, and resolves what must be computed.

    A store is a context manager: ``with store:`` opens it for reading, ``with store.open("w"):`` for writing. It may be
    shared between threads, and pickled while it is closed.

    Args:
        storage: where tables live.
        engine: what computes versions natively.
        name: label of the store.
        hash_algorithm: how samples are hashed; md5 by default.
        versioning_engine: ``auto``: the database where all rows are in it, else Polars; ``native``: only the database;
            ``polars``: always Polars.
        fallback_stores: stores, or names of configured stores, to read features from that have no table here.
        auto_create_tables: whether missing tables are created; the configuration decides by default.
        materialization_id: what ``metaxy_materialization_id`` gets by default.
        schema_evolution: ``add`` lets tables grow by new columns, ``strict`` refuses them.
    """

    default_hash_algorithm: ClassVar[HashAlgorithm] = DEFAULT_ALGORITHM
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments: a closed store is pickled as them."""
        store = super().__new__(cls)
        store._arguments = (args, kwargs)
        return store

    def __init__(
        self,
        *,
        storage: Storage,
        engine: Engine,
        name: str | None = None,
        hash_algorithm: HashAlgorithm | None = None,
        versioning_engine: VersioningEngineOptions = "auto",
        fallback_stores: "Sequence[MetadataStore | str] | FallbackStoreList | None" = None,
        auto_create_tables: bool | None = None,
        materialization_id: str | None = None,
        schema_evolution: SchemaEvolution | None = None,
    ) -> None:
        self.storage = storage
        self.engine = engine
        self.clock = Clock()
        self.hash_algorithm = hash_algorithm or self.default_hash_algorithm
        self.versioning_engine = versioning_engine
        self.auto_create_tables = creates_tables(auto_create_tables)
        grows = storage.capabilities.creates_tables
        self.schema_evolution: SchemaEvolution = schema_evolution or ("add" if grows else "strict")
        if not isinstance(fallback_stores, FallbackStoreList):
            fallback_stores = FallbackStoreList(fallback_stores, parent_hash_algorithm=self.hash_algorithm)
        self.fallback_stores = fallback_stores
        self._name = name
        self._materialization_id = materialization_id
        self._session = Session(storage, self.display())
        self.seen_versions: set[tuple[FeatureKey, str]] = set()
        self._entered = threading.local()

    # -- description ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """Label of the store."""
        return self._name

    @property
    def materialization_id(self) -> str | None:
        """What ``metaxy_materialization_id`` gets by default."""
        return self._materialization_id

    @property
    def hash_truncation_length(self) -> int:
        """How many characters of hashes are kept: a setting of the configuration."""
        return current_settings().hash_truncation_length

    @property
    def qualified_class_name(self) -> str:
        """Import path of the class."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        label = f"[{self._name}] " if self._name else ""
        return label + self.display()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a closed store as its arguments."""
        if self._session.mode is not None:
            raise MetadataStoreError(f"{self!r} is open; close it before it is pickled")
        args, kwargs = self._arguments
        return _rebuild, (type(self), args, kwargs)

    # -- configuration -------------------------------------------------------------------------------------------------

    @classmethod
    def config_model(cls) -> type[MetadataStoreConfig]:
        """Return the model of this store's configuration."""
        return MetadataStoreConfig

    @classmethod
    def from_config(cls, config: MetadataStoreConfig, **kwargs: Any) -> Self:
        """Build the store from its configuration; fallback stores are looked up by name when they are needed."""
        options = {**config.given(), **kwargs}
        if config.fallback_stores:
            algorithm = options.get("hash_algorithm") or cls.default_hash_algorithm
            names = FallbackStoreList(
                config.fallback_stores, config=MetaxyConfig.get(), parent_hash_algorithm=algorithm
            )
            options.setdefault("fallback_stores", names)
        return cls(**options)

    # -- opening -------------------------------------------------------------------------------------------------------

    @contextmanager
    def open(self, mode: AccessMode = "r") -> Iterator[Self]:
        """Open the store until the block ends; blocks nest, and the outermost one connects and disconnects.

        Raises:
            StoreConnectionError: if the database or folder cannot be reached.
            StoreLockedError: if another process keeps an embedded database locked.
        """
        with self._session.entered(mode) as outermost:
            if outermost:
                self.validate_hash_algorithm()
            yield self

    def __enter__(self) -> Self:
        """Open the store for reading."""
        entered: list[AbstractContextManager[Self]] = self._entered.__dict__.setdefault("stack", [])
        block = self.open("r")
        store = block.__enter__()
        entered.append(block)
        return store

    def __exit__(self, *error: object) -> None:
        """Leave the block that was entered last in this thread."""
        self._entered.stack.pop().__exit__(*error)

    def keep_open(self, store: "MetadataStore") -> None:
        """Open a fallback store for as long as this one is open."""
        if store._session.mode is None:
            self._session.resources.enter_context(store.open("r"))

    def validate_hash_algorithm(self, check_fallback_stores: bool = True) -> None:
        """Refuse an algorithm that the engine cannot compute, and fallback stores that hash otherwise."""
        if self.hash_algorithm not in self.engine.algorithms:
            known = ", ".join(sorted(algorithm.value for algorithm in self.engine.algorithms))
            raise HashAlgorithmNotSupportedError(
                f"{self!r} cannot compute {self.hash_algorithm.value}; set hash_algorithm to one of: {known}"
            )
        for index, store in enumerate(self.fallback_stores.resolved if check_fallback_stores else []):
            if store.hash_algorithm != self.hash_algorithm:
                raise InvalidConfigError(
                    f"fallback store {index} ({store!r}) hashes with {store.hash_algorithm.value}, {self!r} with "
                    f"{self.hash_algorithm.value}; give both the same hash_algorithm"
                )

    def _scope(self, mode: AccessMode) -> Scope:
        self._session.require(mode)
        return Scope.current(self.hash_algorithm)

    # -- reading -------------------------------------------------------------------------------------------------------

    @overload
    def read(
        self, feature: Any, *, with_store_info: Literal[False] = False, **options: Unpack[ReadOptions]
    ) -> nw.LazyFrame[Any]: ...
    @overload
    def read(
        self, feature: Any, *, with_store_info: Literal[True], **options: Unpack[ReadOptions]
    ) -> "tuple[nw.LazyFrame[Any], MetadataStore]": ...
    def read(
        self,
        feature: Any,
        *,
        feature_version: str | None = None,
        filters: Filters | None = None,
        columns: Sequence[str] | None = None,
        allow_fallback: bool = True,
        with_feature_history: bool = False,
        with_sample_history: bool = False,
        include_soft_deleted: bool = False,
        with_store_info: bool = False,
    ) -> "nw.LazyFrame[Any] | tuple[nw.LazyFrame[Any], MetadataStore]":
        """Read the latest rows of a feature, lazily.

        Frames: the feature's table → its columns, or ``columns``, one row per sample.

        Args:
            feature: anything that names a feature.
            feature_version: rows of this version instead of the current one; needs ``with_feature_history``.
            filters: conditions on the latest rows; all must hold.
            columns: what to return, in this order.
            allow_fallback: whether to look into fallback stores if this one has no table.
            with_feature_history: rows of all feature versions.
            with_sample_history: all rows of each sample.
            include_soft_deleted: deleted samples too.
            with_store_info: return the store that has the rows as well.

        Raises:
            FeatureNotFoundError: if no store has a table for the feature.
            HashSettingsMismatchError: if it has rows, but under other hash settings.
        """
        if feature_version is not None and not with_feature_history:
            raise ValueError("feature_version needs with_feature_history=True")
        scope = self._scope("r")
        definition = scope.definition(feature)
        found = find(self, definition.key, allow_fallback=allow_fallback)
        version = feature_version if with_feature_history else scope.version(definition.key)
        if not with_feature_history:
            refuse_other_hash_settings(found, definition, scope)
        latest = Latest(
            tuple(definition.spec.id_columns), version, not with_sample_history, include_deleted=include_soft_deleted
        )
        rows = read_rows(found, definition.spec, scope, latest, list(filters or ()), columns)
        return (rows, found.store) if with_store_info else rows

    def has_feature(self, feature: Any, *, check_fallback: bool = False) -> bool:
        """Return whether the feature has a table here or, if asked, in a fallback store."""
        return self.find_store_for_feature(feature, check_fallback=check_fallback) is not None

    def find_store_for_feature(self, feature_key: Any, *, check_fallback: bool = True) -> "MetadataStore | None":
        """Return the store that has the feature's table, None if none has."""
        self._session.require("r")
        try:
            return find(self, coerce_to_feature_key(feature_key), allow_fallback=check_fallback).store
        except FeatureNotFoundError:
            return None

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(
        self,
        feature: Any,
        df: Any,
        materialization_id: str | None = None,
        preserve_feature_version: bool = False,
        *,
        on_duplicate: OnDuplicate = "error",
    ) -> None:
        """Append rows to a feature; nothing is stored if anything is wrong with them.

        Frames: IDs, user columns and ``metaxy_provenance_by_field`` → the feature's table.

        Args:
            feature: anything that names a feature.
            df: a Polars, Pandas, PyArrow, DuckDB, Ibis or Narwhals frame.
            materialization_id: id of the run that writes.
            preserve_feature_version: keep the feature and project versions that the frame has.
            on_duplicate: what to do with different rows of one sample: refuse them, or keep the last.

        Raises:
            MetadataSchemaError: if columns are missing, IDs or versions are NULL, or types do not fit.
            TableNotFoundError: if the table is missing and the store may not create it.
        """
        options = WriteOptions(materialization_id, preserve_feature_version, on_duplicate)
        self.storage.append([prepare(self, self._scope("w"), feature, df, options)])

    def write_multi(self, metadata: Mapping[Any, Any], materialization_id: str | None = None) -> None:
        """Append rows to several features, dependents first; all frames are checked before any is stored.

        With transactions all are stored or none.
        """
        scope = self._scope("w")
        frames: dict[FeatureKey, Any] = {}
        for feature, frame in metadata.items():
            key = coerce_to_feature_key(feature)
            if key in frames:
                raise ValueError(f"feature {key} is given twice")
            frames[key] = frame
        order = scope.graph.topological_sort_features(list(frames), descending=True)
        options = WriteOptions(materialization_id)
        writes = [prepare(self, scope, key, frames[key], options) for key in order]
        if writes:
            self.storage.append(writes)

    def delete(
        self,
        feature: Any,
        filters: nw.Expr | Filters | None,
        *,
        soft: bool = True,
    ) -> None:
        """Delete the samples whose latest rows fulfil all filters, None for all.

        Args:
            feature: anything that names a feature.
            filters: conditions on the latest rows.
            soft: append tombstones instead of removing rows.

        Raises:
            FeatureNotFoundError: if the feature has no table in this store.
        """
        scope = self._scope("w")
        definition = scope.definition(feature)
        conditions = as_filters(filters)
        found = find(self, definition.key, allow_fallback=False)
        if soft:
            delete_softly(self, found, definition, scope, conditions)
        else:
            delete_for_good(self, definition, scope, conditions)

    # -- updates -------------------------------------------------------------------------------------------------------

    @overload
    def resolve_update(
        self, feature: Any, *, lazy: Literal[False] = False, **options: Unpack[UpdateOptions]
    ) -> Increment: ...
    @overload
    def resolve_update(
        self, feature: Any, *, lazy: Literal[True], **options: Unpack[UpdateOptions]
    ) -> LazyIncrement: ...
    @overload
    def resolve_update(
        self, feature: Any, *, lazy: bool, **options: Unpack[UpdateOptions]
    ) -> Increment | LazyIncrement: ...
    def resolve_update(
        self,
        feature: Any,
        *,
        samples: Any = None,
        filters: Mapping[Any, Filters] | None = None,
        global_filters: Filters | None = None,
        target_filters: Filters | None = None,
        lazy: bool = False,
        versioning_engine: VersioningEngineOptions | None = None,
        skip_comparison: bool = False,
        staleness_predicates: Filters | None = None,
        one_row_per_group: bool = False,
    ) -> Increment | LazyIncrement:
        """Say which samples are new, stale or orphaned: what should be, against what is.

        Frames: parents' latest rows, or ``samples`` → new and stale (their columns, and the four versions to write) and
        orphaned (stored rows).

        Args:
            feature: anything that names a feature.
            samples: the expected rows, with ``metaxy_provenance_by_field``; required for root features.
            filters: conditions per feature, on the latest rows of parents or of the feature itself.
            global_filters: conditions on all of them.
            target_filters: conditions on the rows of the feature itself.
            lazy: return views that are computed when collected.
            versioning_engine: where to compute, instead of the store's setting.
            skip_comparison: call all expected samples new.
            staleness_predicates: stored rows that fulfil one are stale whatever their version.
            one_row_per_group: one row per group of an aggregation, instead of one per row of the parent.

        Raises:
            FeatureNotFoundError: if a required parent has no table.
            HashSettingsMismatchError: if a table has rows, but under other hash settings.
        """
        scope = self._scope("r")
        definition = scope.definition(feature)
        request = UpdateRequest.build(
            scope.graph.get_feature_plan(definition.key),
            samples=samples,
            filters=filters,
            global_filters=as_filters(global_filters),
            target_filters=as_filters(target_filters),
            versioning_engine=versioning_engine or self.versioning_engine,
            skip_comparison=skip_comparison,
            staleness_predicates=as_filters(staleness_predicates),
            one_row_per_group=one_row_per_group,
        )
        return Update(self, scope, definition, request).run(lazy=lazy)

    def compute_provenance(self, feature: Any, df: Any) -> Any:
        """Add the version columns to rows that the user joined from the parents.

        Frames: any columns, and ``metaxy_data_version_by_field__<parent key, joined by _>`` for each parent → the same
        columns without those of the parents' versions, and the four version columns. Eager in, eager out; lazy in, lazy
        out.

        Raises:
            MetadataSchemaError: if a parent's data versions are missing or NULL.
        """
        return compute_provenance(self, self._scope("r"), feature, df)


def _rebuild(cls: type[MetadataStore], args: tuple[Any, ...], kwargs: dict[str, Any]) -> MetadataStore:
    return cls(*args, **kwargs)
