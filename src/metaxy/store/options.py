"""Keyword arguments of the store's verbs, as types: overloads share them instead of repeating them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import narwhals as nw
from typing_extensions import TypedDict

from metaxy.store.config import VersioningEngineOptions


class UpdateOptions(TypedDict, total=False):
    """Arguments of `MetadataStore.resolve_update`."""

    samples: Any
    filters: Mapping[Any, Sequence[nw.Expr]] | None
    global_filters: Sequence[nw.Expr] | None
    target_filters: Sequence[nw.Expr] | None
    versioning_engine: VersioningEngineOptions | None
    skip_comparison: bool
    staleness_predicates: Sequence[nw.Expr] | None
    one_row_per_group: bool
    as_of: datetime | None
