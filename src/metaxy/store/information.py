"""What a store can tell about features and about itself."""

from typing import TYPE_CHECKING, Any

import narwhals as nw

from metaxy.dag.graph import current_graph
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.errors import FeatureNotFoundError
from metaxy.store.deleting import Deletion, count_rows_to_delete
from metaxy.store.filters import Filters, as_filters
from metaxy.store.handle import StoreHandle
from metaxy.store.reading import Found, find, shown_schema
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.increment import LazyIncrement

if TYPE_CHECKING:
    from metaxy.store.store import MetadataStore


class StoreInformation(StoreHandle):
    """The verbs that only look."""

    def has_feature(self, feature: Any, *, check_fallback: bool = False) -> bool:
        """Return whether the feature has a table here or, if asked, in a fallback store."""
        return self._found(feature, check_fallback=check_fallback) is not None

    def find_store_for_feature(self, feature_key: Any, *, check_fallback: bool = True) -> "MetadataStore | None":
        """Return the store that has the feature's table, None if none has; fallback stores are opened for that."""
        found = self._found(feature_key, check_fallback=check_fallback)
        return found.store if found else None

    def _found(self, feature: Any, *, check_fallback: bool) -> Found | None:
        self._session.require("r")
        try:
            return find(self, coerce_to_feature_key(feature), allow_fallback=check_fallback)
        except FeatureNotFoundError:
            return None

    def read_feature_schema_from_store(self, feature: Any) -> nw.Schema:
        """Return the columns of a feature's table in this store, with their types as `read` shows them.

        Raises:
            FeatureNotFoundError: if the feature has no table here.
        """
        scope = self._scope("r")
        definition = scope.definition(feature)
        return shown_schema(find(self, definition.key, allow_fallback=False).scan, definition.spec, scope)

    def get_store_info(self, feature_key: Any) -> dict[str, Any]:
        """Say what this store is, and where it keeps a feature, whether or not it has it."""
        where = self.storage.describe(coerce_to_feature_key(feature_key))
        return {"name": self.name, "type": self.qualified_class_name, "display": self.display(), **where}

    def get_store_metadata(self, feature_key: Any, *, check_fallback: bool = True) -> dict[str, Any]:
        """Say what this store is and, under ``resolved_from``, which store has a feature, if any has."""
        return self._metadata_of(self.find_store_for_feature(feature_key, check_fallback=check_fallback), feature_key)

    def _metadata_of(self, holder: "MetadataStore | None", feature_key: Any) -> dict[str, Any]:
        """Say the same where it is known which store has the feature, if any has."""
        found = {"resolved_from": holder.get_store_info(feature_key)} if holder else {}
        return {"name": self.name, "display": self.display(), **found}

    def count_rows_to_delete(
        self,
        feature: Any,
        filters: Filters,
        *,
        soft: bool = True,
        with_feature_history: bool = False,
        with_sample_history: bool = False,
    ) -> int:
        """Count the rows that `delete` would hide or remove with the same arguments; nothing is deleted.

        Raises:
            FeatureNotFoundError: if the feature has no table in this store.
        """
        scope = self._scope("r")
        conditions = as_filters(filters)
        deletion = Deletion(scope.definition(feature), conditions, with_feature_history, with_sample_history)
        return count_rows_to_delete(self, scope, deletion, soft=soft)

    def native_implementation(self) -> nw.Implementation:
        """Return the dataframe library in which the store computes; the store must be open."""
        self._session.require("r")
        return self.engine.implementation

    def calculate_input_progress(self, lazy_increment: LazyIncrement, feature_key: Any) -> float | None:
        """Return which part of the expected samples is not new, in percent; None where nothing is expected.

        Samples are counted by the ID columns that all parents share. An eager `Increment` has ``progress`` for free.
        """
        columns = current_graph().get_feature_plan(coerce_to_feature_key(feature_key)).input_id_columns
        if lazy_increment.input is None or not columns:
            return None
        expected, new = (
            count_lazy_rows(frame.select(columns).unique()) for frame in (lazy_increment.input, lazy_increment.new)
        )
        return 100 * (expected - new) / expected if expected else None


def count_lazy_rows(lazy_frame: nw.LazyFrame[Any]) -> int:
    """Return the number of rows of a lazy frame, counted where it lives."""
    return int(collect_to_polars(lazy_frame.select(nw.len())).item())
