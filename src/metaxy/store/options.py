"""Keyword arguments of the store's verbs, as types: overloads share them instead of repeating them."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from typing_extensions import TypedDict

from metaxy.errors import IgnoredOptionWarning, did_you_mean, warn_user
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.filters import Filters

KEEP: Final = timedelta(days=7)  # how long files stay that were replaced by `optimize`


class UpdateOptions(TypedDict, total=False):
    """Arguments of `MetadataStore.resolve_update`."""

    samples: Any
    filters: Mapping[Any, Filters] | None
    global_filters: Filters
    target_filters: Filters
    versioning_engine: VersioningEngineOptions | None
    skip_comparison: bool
    staleness_predicates: Filters
    one_row_per_group: bool
    as_of: datetime | None


IGNORED: Final = frozenset({"target_version", "project_version"})  # what code of metaxy 0.1 passes, to no effect there


def ignore_old_options(names: Iterable[str]) -> None:
    """Warn of options of `MetadataStore.resolve_update` that had no effect in metaxy 0.1.

    Raises:
        TypeError: for any other name.
    """
    for name in names:
        if name not in IGNORED:
            known = UpdateOptions.__annotations__
            raise TypeError(f"resolve_update has no option {name!r}.{did_you_mean(name, known)}")
        message = f"{name} of resolve_update has no effect, and had none in metaxy 0.1: leave it out"
        warn_user(message, IgnoredOptionWarning)
