"""What tells whether anything has changed that the counts of a feature are made from."""

from collections.abc import Iterator
from typing import Final

from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetaxyError, TableNotFoundError
from metaxy.storage.port import Committed
from metaxy.store.parts import StoreParts
from metaxy.store.session import Scope
from metaxy.store.system.tables import RENAMES, ROW_ERRORS

ABSENT: Final = "absent"


class _UnknownError(Exception):
    """A storage cannot say which state a table is in."""


def feature_token(store: StoreParts, scope: Scope, key: FeatureKey) -> str | None:
    """Return what is another text after every change of what the status of a feature depends on; no rows are read.

    That are its version, its table and those of its parents, each in all stores that it may be read from, errors of
    samples and renames that were recorded. Claims are not among it: they expire by clocks. A token belongs to what is
    counted after it was asked for. It is None where a storage cannot say, or a store cannot be asked.
    """
    parents = [dep.feature for dep in scope.graph.get_feature_plan(key).feature_deps]
    system = [ROW_ERRORS.key, *([RENAMES.key] if scope.graph.has_renames else [])]
    try:
        tables = [state for each in (key, *parents) for state in _states(store, each)]
        own = [_state(store, each) for each in system]
    except (_UnknownError, MetaxyError):  # counting says what is wrong with a store
        return None
    return "|".join([scope.version(key), *tables, *own])


def _states(store: StoreParts, key: FeatureKey) -> Iterator[str]:
    """Yield the states of a table in a store and, as far as these are looked at, in those that it falls back on."""
    own = _state(store, key)
    yield own
    if own != ABSENT and not store.overlays:
        return
    for fallback in store.fallback_stores:
        if isinstance(fallback.storage, Committed):
            store.keep_open(fallback)
        yield from _states(fallback, key)


def _state(store: StoreParts, key: FeatureKey) -> str:
    token = None
    if isinstance(store.storage, Committed):
        try:
            token = store.storage.commit_token(key)
        except TableNotFoundError:
            return ABSENT
    if token is None:
        raise _UnknownError
    return token
