"""When the table of a feature was last written, and how large it is."""

from datetime import datetime, timezone
from typing import NamedTuple

import narwhals as nw

from metaxy.columns import METAXY_UPDATED_AT
from metaxy.definitions.keys import FeatureKey
from metaxy.storage.port import Measurable
from metaxy.store.parts import StoreParts
from metaxy.store.reading import find_or_none, readable
from metaxy.versioning.frames import collect_to_polars


class Footprint(NamedTuple):
    """The last write of any version of a feature, and the bytes of its table where the storage knows them."""

    last_write: datetime | None = None
    size_bytes: int | None = None


def footprint_of(store: StoreParts, key: FeatureKey, *, allow_fallback: bool) -> Footprint:
    """Look at the table of a feature; what a store over others sees may lie in several tables, and has no one size."""
    found = find_or_none(store, key, allow_fallback=allow_fallback)
    if found is None:
        return Footprint()
    with readable(f"feature {key}"):
        last = collect_to_polars(found.scan.frame.select(nw.col(METAXY_UPDATED_AT).max())).item()
    storage = found.store.storage
    size = storage.size(key) if isinstance(storage, Measurable) and not found.store.overlays else None
    return Footprint(in_utc(last), size)


def in_utc(time: datetime | None) -> datetime | None:
    """Return a time that a store gave; those that come without a zone are UTC."""
    return time.replace(tzinfo=timezone.utc) if time and time.tzinfo is None else time
