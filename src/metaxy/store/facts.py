"""The verbs of a store that say what it has, and where."""

from typing import Any

import narwhals as nw
from typing_extensions import Self

from metaxy.dag.graph import current_graph
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.store.claims import open_claims
from metaxy.store.reading import StoredTable, find, find_or_none, shown_schema
from metaxy.store.upkeep import StoreUpkeep
from metaxy.versioning.increment import LazyIncrement, input_progress


class StoreFacts(StoreUpkeep):
    """Says which store has a feature, what columns it has there, and how far it is computed."""

    def has_feature(self, feature: Any, *, check_fallback: bool = False) -> bool:
        """Return whether the feature has a table here or, if asked, in a fallback store."""
        return self._found(feature, check_fallback=check_fallback) is not None

    def find_store_for_feature(self, feature_key: Any, *, check_fallback: bool = True) -> Self | None:
        """Return the store that has the feature's table, None if none has; fallback stores are opened for that."""
        found = self._found(feature_key, check_fallback=check_fallback)
        return found.store if found else None

    def _found(self, feature: Any, *, check_fallback: bool) -> StoredTable[Self] | None:
        self.session.require("r")
        return find_or_none(self, coerce_to_feature_key(feature), allow_fallback=check_fallback)

    def read_feature_schema_from_store(self, feature: Any) -> nw.Schema:
        """Return the columns of a feature's table in this store, with their types as `read` shows them.

        Raises:
            FeatureNotFoundError: if the feature has no table here.
        """
        scope = self.session.scope("r")
        definition = scope.definition(feature)
        return shown_schema(find(self, definition.key, allow_fallback=False).scan, definition.spec, scope)

    def get_store_metadata(self, feature_key: Any, *, check_fallback: bool = True) -> dict[str, Any]:
        """Say what this store is and, under ``resolved_from``, which store has a feature, if any has."""
        return self._metadata_of(self.find_store_for_feature(feature_key, check_fallback=check_fallback), feature_key)

    def _metadata_of(self, holder: Self | None, feature_key: Any) -> dict[str, Any]:
        """Say the same where it is known which store has the feature, if any has."""
        found = {"resolved_from": holder.get_store_info(feature_key)} if holder else {}
        return {"name": self.name, "display": self.display(), **found}

    def calculate_input_progress(self, lazy_increment: LazyIncrement, feature_key: Any) -> float | None:
        """Return which part of the expected samples is not new, in percent; None where nothing is expected.

        Samples are counted by the ID columns that all parents share. An eager `Increment` has ``progress`` for free.
        """
        plan = current_graph().get_feature_plan(coerce_to_feature_key(feature_key))
        return input_progress(lazy_increment, plan.input_id_columns)

    def read_claims(self, feature: Any = None) -> nw.DataFrame[Any]:
        """Return which samples workers hold by `claim`, one row per claim, the oldest first; the store may be closed.

        Frames: → ``feature_key``, ``metaxy_feature_version``, ``worker``, ``token``, ``taken_at`` and ``expires_at``
        (UTC), ``samples`` (how many are not written yet), ``is_live`` (whether the lease has not expired).

        Args:
            feature: only claims to samples of this feature.

        Raises:
            InvalidConfigError: if the store cannot keep claims, and names none that does as ``claims_store``.
        """
        return nw.from_native(open_claims(self, feature), eager_only=True)
