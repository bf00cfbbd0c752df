"""What a caller asks of an update, normalised and checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import narwhals as nw

from metaxy.columns import METAXY_PROVENANCE_BY_FIELD
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import DefinitionError
from metaxy.store.config import VersioningEngineOptions
from metaxy.store.filters import Filters, as_filters
from metaxy.store.given import given_frame
from metaxy.versioning.frames import Frame


@dataclass(frozen=True)
class UpdateRequest:
    """What a caller asks of an update, with defaults filled in."""

    samples: Frame | None = None
    filters: Mapping[FeatureKey, Sequence[nw.Expr]] = field(default_factory=dict)
    global_filters: Sequence[nw.Expr] = ()
    target_filters: Sequence[nw.Expr] = ()
    versioning_engine: VersioningEngineOptions = "auto"
    skip_comparison: bool = False
    staleness_predicates: Sequence[nw.Expr] = ()
    one_row_per_group: bool = False
    as_of: datetime | None = None
    allow_fallback: bool = True

    @classmethod
    def build(
        cls,
        plan: FeaturePlan,
        *,
        samples: Any = None,
        filters: Mapping[Any, Filters] | None = None,
        global_filters: Filters = None,
        target_filters: Filters = None,
        staleness_predicates: Filters = None,
        **rest: Any,
    ) -> "UpdateRequest":
        """Normalise what the user passed.

        Raises:
            DefinitionError: if a filter names a feature that takes no part, or a root feature has no samples.
        """
        key = plan.feature.key
        known = {key, *plan.parent_features_by_key}
        by_key = {coerce_to_feature_key(feature): as_filters(given) for feature, given in (filters or {}).items()}
        for feature in by_key:
            if feature not in known:
                names = ", ".join(sorted(map(str, known)))
                raise DefinitionError(
                    f"feature {key}: filters name {feature}, which takes no part; use one of: {names}"
                )
        if samples is None and not plan.feature_deps:
            raise DefinitionError(
                f"feature {key} is a root: pass `samples=`, a frame with {', '.join(plan.feature.id_columns)} and "
                f"{METAXY_PROVENANCE_BY_FIELD}"
            )
        return cls(
            samples=None if samples is None else given_frame(samples, f"the samples for feature {key}"),
            filters=by_key,
            global_filters=as_filters(global_filters),
            target_filters=as_filters(target_filters),
            staleness_predicates=as_filters(staleness_predicates),
            **rest,
        )

    def filters_of(self, key: FeatureKey) -> tuple[nw.Expr, ...]:
        """Return the conditions on the rows of one feature, without those that only the feature itself has."""
        return (*self.filters.get(key, ()), *self.global_filters)
