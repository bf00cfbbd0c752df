"""Deleting: tombstones that hide samples, or rows removed for good."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import narwhals as nw

from metaxy.columns import METAXY_DELETED_AT, METAXY_FEATURE_VERSION
from metaxy.definitions.definition import FeatureDefinition
from metaxy.storage.port import Append
from metaxy.store.reading import Found
from metaxy.store.scope import Scope
from metaxy.versioning.engine import View
from metaxy.versioning.recipe import Latest

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


def delete_softly(
    store: "MetadataStore", found: Found, definition: FeatureDefinition, scope: Scope, filters: Sequence[nw.Expr]
) -> None:
    """Append a tombstone for each sample whose latest row fulfils the filters; all else stays as it was."""
    latest = Latest(tuple(definition.spec.id_columns), scope.version(definition.key))
    rows = found.rows(definition.spec.id_columns, filters=tuple(filters))
    columns = list(found.scan.schema)
    live = store.engine.latest(rows, latest, columns, View())
    moment = nw.lit(store.clock.now()).cast(nw.Datetime("us", "UTC"))
    tombstones = live.with_columns(moment.alias(METAXY_DELETED_AT)).select(columns)
    store.storage.append([Append(definition.key, tombstones)])


def delete_for_good(
    store: "MetadataStore", definition: FeatureDefinition, scope: Scope, filters: Sequence[nw.Expr]
) -> None:
    """Remove all rows of the current version that fulfil the filters, older ones of a sample too."""
    current = nw.col(METAXY_FEATURE_VERSION) == scope.version(definition.key)
    store.storage.delete(definition.key, nw.all_horizontal(current, *filters, ignore_nulls=False))
