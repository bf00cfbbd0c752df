"""Rows that exist under other hash settings: found out before they look like rows that must all be computed again."""

from typing import Any

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_PROVENANCE, METAXY_PROVENANCE_BY_FIELD
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import HashSettingsMismatchError
from metaxy.hashing import HashAlgorithm, HashSettings
from metaxy.store.reading import Found, readable
from metaxy.store.scope import Scope
from metaxy.versioning.codec import member_polars
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.polars import HASHES, escaped, hashed, joined


def refuse_other_hash_settings(found: Found, definition: FeatureDefinition, scope: Scope) -> None:
    """Raise if the table has rows of this very feature version, written with other hash settings.

    Only tables without any row of the current version are looked at closely; the answer is remembered per store.

    Raises:
        HashSettingsMismatchError: naming the settings to go on with.
    """
    current = scope.version(definition.key)
    seen = (definition.key, current)
    if seen in found.store.seen_versions:
        return
    with readable(f"feature {definition.key}"):
        _compare(found, definition, scope)


def _compare(found: Found, definition: FeatureDefinition, scope: Scope) -> None:
    current = scope.version(definition.key)
    frame = found.scan.frame
    version = nw.col(METAXY_FEATURE_VERSION)
    if collect_to_polars(frame.filter(version == current).select(METAXY_FEATURE_VERSION).head(1)).height:
        found.store.seen_versions.add((definition.key, current))
        return
    stored = collect_to_polars(frame.select(METAXY_FEATURE_VERSION).unique()).get_column(METAXY_FEATURE_VERSION)
    for other in stored.drop_nulls():
        if other == scope.graph.get_feature_version(definition.key, len(other)):
            algorithm = _algorithm_of(frame.filter(version == other), definition, len(other)) or scope.algorithm
            raise HashSettingsMismatchError(
                f"feature {definition.key} has rows in {found.store!r}, but they were hashed with {algorithm.value} "
                f"and length {len(other)}, not {scope.algorithm.value} and {scope.hash.length}; to go on with them, "
                f"set in metaxy.toml hash_truncation_length = {len(other)} and, for this store, "
                f'hash_algorithm = "{algorithm.value}"'
            )


def _algorithm_of(rows: nw.LazyFrame[Any], definition: FeatureDefinition, length: int) -> HashAlgorithm | None:
    """Find the algorithm that gives the provenance that a stored row has."""
    row = collect_to_polars(rows.select(METAXY_PROVENANCE_BY_FIELD, METAXY_PROVENANCE).head(1))
    members = sorted(f.key.to_struct_key() for f in definition.spec.fields)
    dtype = row.schema[METAXY_PROVENANCE_BY_FIELD]
    text = joined([escaped(member_polars(dtype, METAXY_PROVENANCE_BY_FIELD, m)) for m in members])
    for algorithm in HASHES:
        matches = hashed(text, HashSettings(algorithm, length)) == pl.col(METAXY_PROVENANCE)
        if row.select(matches.any()).item():
            return algorithm
    return None
