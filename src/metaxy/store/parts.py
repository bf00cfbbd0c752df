"""The parts of a store, how they are described, configured and opened; what users do with them is in `store`."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, ClassVar

import narwhals as nw
from typing_extensions import Self

from metaxy import context
from metaxy._lazy import resolve
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import HashAlgorithmNotSupportedError, InvalidConfigError, MetadataStoreError
from metaxy.hashing import DEFAULT_ALGORITHM, HashAlgorithm
from metaxy.masking import mask_address
from metaxy.notebook import card, facts, marked
from metaxy.storage.files import anchored
from metaxy.storage.port import AccessMode, SchemaEvolution, Storage
from metaxy.store.config import Fallback, MetadataStoreConfig, VersioningEngineOptions
from metaxy.store.fallback import CONFIGURATION, FallbackStoreList, StoreSource
from metaxy.store.session import Clock, Session
from metaxy.store.tidiness import Tidiness
from metaxy.store.work_lists import WorkLists
from metaxy.versioning.engine import Engine
from metaxy.versioning.frames import deferred_to_polars


def creates_tables(given: bool | None) -> bool:
    """Return whether a store may create tables: what it was told, else what the configuration says."""
    return context.settings().auto_create_tables if given is None else given


def keepers_of(given: "StoreParts | str | FallbackStoreList | None") -> FallbackStoreList:
    """Return the store that was given to keep claims, if there is one; a name is looked up when it is needed."""
    return given if isinstance(given, FallbackStoreList) else FallbackStoreList([] if given is None else [given])


class StoreParts:
    """What a store is made of: where its tables are, what computes versions, and what else its verbs work with."""

    default_hash_algorithm: ClassVar[HashAlgorithm] = DEFAULT_ALGORITHM
    _place: ClassVar[str | None] = None  # the first parameter, if it is the path that leads to the tables
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments: a closed store is pickled as them."""
        store = super().__new__(cls)
        store._arguments = cls._anchored(args, kwargs)
        return store

    @classmethod
    def _anchored(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make a relative path absolute: the process that reads a pickle may work in another folder."""
        if cls._place is None:
            return args, kwargs
        if args:
            return (anchored(args[0]), *args[1:]), kwargs
        return args, {name: anchored(value) if name == cls._place else value for name, value in kwargs.items()}

    def __init__(
        self,
        *,
        storage: Storage,
        engine: Engine,
        name: str | None = None,
        hash_algorithm: HashAlgorithm | None = None,
        versioning_engine: VersioningEngineOptions = "auto",
        fallback_stores: "Sequence[StoreParts | str] | FallbackStoreList | None" = None,
        fallback: Fallback = "tables",
        auto_create_tables: bool | None = None,
        materialization_id: str | None = None,
        schema_evolution: SchemaEvolution | None = None,
        auto_optimize: bool | int = False,
        claims_store: "StoreParts | str | FallbackStoreList | None" = None,
    ) -> None:
        self.storage = storage
        MetadataStoreConfig.check(
            self.display(),
            hash_algorithm=hash_algorithm,
            versioning_engine=versioning_engine,
            fallback=fallback,
            schema_evolution=schema_evolution,
            auto_optimize=auto_optimize,
        )
        self.engine = engine
        self.clock = Clock()
        self.hash_algorithm = hash_algorithm or self.default_hash_algorithm
        self.versioning_engine = versioning_engine
        self.auto_create_tables = creates_tables(auto_create_tables)
        grows = storage.capabilities.creates_tables
        self.schema_evolution: SchemaEvolution = schema_evolution or ("add" if grows else "strict")
        given = fallback_stores
        stores: FallbackStoreList = given if isinstance(given, FallbackStoreList) else FallbackStoreList(given)
        self.fallback_stores = stores.checked_against(self.hash_algorithm)
        self.fallback: Fallback = fallback
        self.overlays = fallback == "rows" and len(self.fallback_stores) > 0  # sees their rows under its own
        self.reads_in_polars = False  # as rows that it sees under its own are outside its database, of which it told
        self.told_of_fallbacks = False  # that what comes from other stores is computed in Polars
        self._name = name
        self._materialization_id = materialization_id
        self.session = Session(storage, self.display(), self.hash_algorithm)
        self.tidiness = Tidiness(repr(self), auto_optimize)
        self.seen_versions: set[tuple[FeatureKey, str]] = set()
        self._keeper = keepers_of(claims_store)
        self.work_lists = WorkLists()
        self._entered = threading.local()

    # -- description ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """Label of the store."""
        return self._name

    @property
    def claims_store(self) -> "StoreParts":
        """The store that keeps the claims to samples of this one: itself, unless it was given another."""
        keeper: StoreParts = self._keeper[0] if self._keeper else self
        return self if keeper.name is not None and keeper.name == self.name else keeper

    @property
    def materialization_id(self) -> str | None:
        """What ``metaxy_materialization_id`` gets by default."""
        return self._materialization_id

    @property
    def hash_truncation_length(self) -> int:
        """How many characters of hashes are kept: a setting of the configuration."""
        return context.settings().hash_truncation_length

    @property
    def qualified_class_name(self) -> str:
        """Import path of the class."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def display(self) -> str:
        """Describe the store, without secrets."""
        return f"{type(self).__name__}()"

    def get_store_info(self, feature_key: Any) -> dict[str, Any]:
        """Say what this store is, and where it keeps a feature, whether or not it has it."""
        where = self.storage.describe(coerce_to_feature_key(feature_key))
        return {"name": self.name, "type": self.qualified_class_name, "display": self.display(), **where}

    def native_implementation(self) -> nw.Implementation:
        """Return the library of the frames that the store returns, in which it computes; the store must be open."""
        self.session.require("r")
        return self.engine.hashing(self.hash_algorithm).implementation

    def in_own_library(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Return a frame of this store in the library that `native_implementation` names."""
        return deferred_to_polars(frame) if self.native_implementation().is_polars() else frame

    def is_like(self, other: "StoreParts") -> bool:
        """Return whether another store is this one, or made with the same arguments."""
        return self is other or (type(self) is type(other) and self._arguments == other._arguments)

    def __repr__(self) -> str:
        label = f"[{self._name}] " if self._name else ""
        return label + self.display()

    def _repr_html_(self) -> str:
        """Show in a notebook what the store is; no database is asked for that, and no name looked up."""
        states = {None: marked("○ closed", "idle"), "r": marked("✓ open for reading", "good")}
        known = {
            "where": self.display(),
            "state": states.get(self.session.mode, marked("✓ open for writing", "good")),
            "versions": f"{self.hash_algorithm.value}, computed by {self.versioning_engine}",
            "reads also from": ", ".join(map(mask_address, self.fallback_stores.names)),
            "keeps claims in": ", ".join(map(mask_address, self._keeper.names)),
        }
        return card(self.name or type(self).__name__, facts(known), note=type(self).__name__ if self.name else "")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a closed store as its arguments."""
        if self.session.mode is not None:
            raise MetadataStoreError(f"{self!r} is open; close it before it is pickled")
        args, kwargs = self._arguments
        return partial(type(self), *args, **kwargs), ()

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
            source: StoreSource = resolve(CONFIGURATION).get()
            named: FallbackStoreList = FallbackStoreList(
                config.fallback_stores, config=source, parent_hash_algorithm=algorithm
            )
            options.setdefault("fallback_stores", named)
        if config.claims_store:
            keeper: FallbackStoreList = FallbackStoreList([config.claims_store], config=resolve(CONFIGURATION).get())
            options.setdefault("claims_store", keeper)
        return cls(**options)

    # -- opening -------------------------------------------------------------------------------------------------------

    @contextmanager
    def open(self, mode: AccessMode = "r") -> Iterator[Self]:
        """Open the store until the block ends; blocks nest, and the outermost one connects and disconnects.

        Raises:
            StoreConnectionError: if the database or folder cannot be reached.
            StoreLockedError: if another process keeps an embedded database locked.
        """
        with self.session.entered(mode) as outermost:
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

    def keep_open(self, store: "StoreParts") -> None:
        """Open a fallback store for as long as this one is open, whoever else has it open."""
        self.session.hold(id(store), store.open("r"))

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
