"""Stores to read from what is missing in the first one; names are resolved when they are first needed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Generic, Protocol, overload

from typing_extensions import Self, TypeVar

from metaxy.errors import InvalidConfigError
from metaxy.hashing import HashAlgorithm
from metaxy.masking import mask_address

Store = TypeVar("Store", default=Any)
CONFIGURATION: Final = "metaxy.config:MetaxyConfig"  # it stands above the store, and gives stores by their names


class StoreSource(Protocol):
    """What stores are looked up in by their names: a configuration."""

    def get_store(self, name: str) -> Any:
        """Build the store of this name."""


class FallbackStoreList(Sequence[Store], Generic[Store]):
    """A sequence of stores, some given by their name in the configuration.

    Raises:
        ValueError: for a name without a configuration, or a store with another hash algorithm.
    """

    def __init__(
        self,
        entries: Iterable[Store | str] | None = None,
        *,
        config: StoreSource | None = None,
        parent_hash_algorithm: HashAlgorithm | None = None,
    ) -> None:
        self._entries: list[Any] = list(entries or ())
        self._config = config
        self._algorithm = parent_hash_algorithm
        if config is None and any(isinstance(entry, str) for entry in self._entries):
            raise InvalidConfigError("fallback stores given by name need a configuration; pass store objects instead")

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Store: ...
    @overload
    def __getitem__(self, index: slice) -> list[Store]: ...
    def __getitem__(self, index: int | slice) -> Store | list[Store]:
        if isinstance(index, slice):
            return [self._resolve(n) for n in range(*index.indices(len(self)))]
        return self._resolve(range(len(self))[index])

    def __iter__(self) -> Iterator[Store]:
        return (self._resolve(n) for n in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, FallbackStoreList)) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # a mutable list: its names turn into stores

    def __repr__(self) -> str:
        return f"FallbackStoreList({[mask_address(e) if isinstance(e, str) else e for e in self._entries]!r})"

    @property
    def all_resolved(self) -> bool:
        """Whether every name has been turned into a store."""
        return not any(isinstance(entry, str) for entry in self._entries)

    @property
    def resolved(self) -> list[Store]:
        """The stores that are known without looking names up."""
        return [entry for entry in self._entries if not isinstance(entry, str)]

    @property
    def names(self) -> list[str]:
        """How each entry is called, without looking names up."""
        return [entry if isinstance(entry, str) else entry.name or entry.display() for entry in self._entries]

    def checked_against(self, algorithm: HashAlgorithm) -> Self:
        """Return the same list; its stores must hash like the store that falls back on them, once they are known."""
        self._algorithm = algorithm
        return self

    def _resolve(self, index: int) -> Store:
        entry = self._entries[index]
        if isinstance(entry, str):
            assert self._config is not None  # noqa: S101 - the constructor refuses names without a configuration
            entry = self._entries[index] = self._config.get_store(entry)
        if self._algorithm is not None and entry.hash_algorithm != self._algorithm:
            raise InvalidConfigError(
                f"fallback store {index} hashes with {entry.hash_algorithm.value}, its parent with "
                f"{self._algorithm.value}; give both the same hash_algorithm"
            )
        store: Store = entry
        return store
