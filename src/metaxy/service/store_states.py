"""What can be said of each configured store now: whether it answers, how many tables it has, and how large they are."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from metaxy.errors import MetaxyError
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.service.stores import Store, stores
from metaxy.storage.port import Listable, Measurable
from metaxy.store.store import MetadataStore
from metaxy.store.unknown_tables import is_of_system

PATIENCE: Final = 3.0  # seconds


@dataclass(frozen=True)
class StoreState:
    """A configured store, and what it answered.

    ``type`` is its class. ``tables`` counts those that features may have, ``size_bytes`` are those of all that the
    storage knows the size of; both are None where it cannot say. ``error`` says why it cannot be built or reached, or
    that it did not answer in time: what it said until then is there.
    """

    store: Store
    type: str
    is_reachable: bool = False
    tables: int | None = None
    size_bytes: int | None = None
    error: str | None = None

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self.store) | {name: value for name, value in vars(self).items() if name != "store"}


@dataclass
class _Look:
    """What a thread that looks at a store has found out until now."""

    known: dict[str, Any] = field(default_factory=dict)
    thread: threading.Thread | None = None


_looking: WeakKeyDictionary[Project, dict[str, _Look]] = WeakKeyDictionary()


def store_states(project: Project, *, patience: float = PATIENCE) -> list[StoreState]:
    """Ask all configured stores at once, the default one first; one that hangs is waited for so many seconds only.

    Who still hangs is not asked again before it has answered.
    """
    ends, looks = monotonic() + patience, _looking.setdefault(project, {})
    found = stores(project)
    for each in found:
        if each.error is None and not _is_alive(looks.get(each.name)):
            looks[each.name] = _started(project, each.name)
    return [_state(project, each, looks.get(each.name), ends, patience) for each in found]


def _is_alive(look: _Look | None) -> bool:
    return look is not None and look.thread is not None and look.thread.is_alive()


def _started(project: Project, name: str) -> _Look:
    look = _Look()
    work: Callable[..., None] = copy_context().run  # threads do not see the active configuration by themselves
    look.thread = threading.Thread(target=work, args=(_ask, project, name, look.known), daemon=True)
    look.thread.start()
    return look


def _state(project: Project, store: Store, look: _Look | None, ends: float, patience: float) -> StoreState:
    type_name = project.config.stores[store.name].type
    if look is None or look.thread is None:
        return StoreState(store, type_name, error=store.error)
    look.thread.join(max(0.0, ends - monotonic()))
    late = {"error": f"no answer within {patience:g} s"} if look.thread.is_alive() else {}
    return StoreState(store, type_name, **{**late, **dict(look.known)})


def _ask(project: Project, name: str, known: dict[str, Any]) -> None:
    """Note what a store says, as soon as it does."""
    try:
        with project.store(name) as opened:
            known["is_reachable"] = True
            _measure(opened, known)
    except Exception as error:  # whatever a client raises
        known["error"] = Failure.of(error).message


def _measure(store: MetadataStore, known: dict[str, Any]) -> None:
    storage = store.storage
    if not isinstance(storage, Listable):
        return
    keys = storage.tables()
    known["tables"] = sum(not is_of_system(key) for key in keys)
    if isinstance(storage, Measurable):
        sizes = [size for key in keys if (size := _size(storage, key)) is not None]
        known["size_bytes"] = sum(sizes) if sizes else None


def _size(storage: Measurable, key: Any) -> int | None:
    try:
        return storage.size(key)
    except MetaxyError:  # a table that is broken, or was dropped meanwhile
        return None
