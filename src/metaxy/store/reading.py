"""Reading: which store has a feature, which rows of it count, and what the user sees of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw

from metaxy.columns import BY_FIELD_COLUMNS
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import FeatureNotFoundError, MetadataSchemaError, TableNotFoundError, did_you_mean
from metaxy.storage.port import Scan
from metaxy.store.scope import Scope
from metaxy.versioning.codec import ByField
from metaxy.versioning.engine import Rows, View
from metaxy.versioning.recipe import Latest

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


@dataclass(frozen=True)
class Found:
    """A table, and the store that has it."""

    store: "MetadataStore"
    scan: Scan

    def rows(self, ids: Sequence[str], **asked: Any) -> Rows:
        """Give the table to an engine; ``asked`` is what the user asks of its rows."""
        return Rows(self.scan.frame, self.scan.table, self.scan.by_field, tuple(ids), **asked)


def find(store: "MetadataStore", key: FeatureKey, *, allow_fallback: bool) -> Found:
    """Return the table of a feature in a store or, where it has none, in the first fallback that has one.

    Raises:
        FeatureNotFoundError: naming the feature and the stores that were searched.
    """
    try:
        return Found(store, store.storage.scan(key))
    except TableNotFoundError as error:
        for fallback in store.fallback_stores if allow_fallback else ():
            store.keep_open(fallback)
            try:
                return find(fallback, key, allow_fallback=True)
            except FeatureNotFoundError:
                continue
        searched = ", ".join([repr(store), *(store.fallback_stores.names if allow_fallback else [])])
        raise FeatureNotFoundError(f"feature {key} has no table in {searched}; write it first", keys=[key]) from error


def shown(scan: Scan, spec: FeatureSpec, scope: Scope, columns: Sequence[str]) -> View:
    """Say which by-field columns a user must see in another form than the table keeps them."""
    members = tuple(field.key.to_struct_key() for field in spec.fields)
    wrong = {
        c for c in BY_FIELD_COLUMNS if c in columns and c in scan.by_field and scan.by_field[c].form != scope.shape
    }
    return View(dict.fromkeys(wrong, ByField(scope.shape, members)), members)


def read_rows(
    found: Found,
    spec: FeatureSpec,
    scope: Scope,
    latest: Latest,
    filters: Sequence[nw.Expr],
    columns: Sequence[str] | None,
) -> nw.LazyFrame[Any]:
    """Return the rows that count. Table columns in → ``columns`` out, in that order, or all of them.

    Raises:
        MetadataSchemaError: if a column does not exist.
    """
    known = list(found.scan.schema)
    wanted = list(columns) if columns is not None else known
    for name in wanted:
        if name not in known:
            raise MetadataSchemaError(
                f"feature {spec.key} has no column {name!r}.{did_you_mean(name, known)} It has: {', '.join(known)}"
            )
    rows = found.rows(spec.id_columns, filters=tuple(filters))
    return found.store.engine.latest(rows, latest, wanted, shown(found.scan, spec, scope, wanted))
