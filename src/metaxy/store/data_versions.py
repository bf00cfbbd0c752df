"""Versions of results that the user gives, in place of those that follow from the parents.

What depends on a result depends on its data version: a result that was computed again, and is what it was, has the data
version that it had, and nothing that was made of it is stale.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey, FieldKey, coerce_to_feature_key
from metaxy.errors import MetadataSchemaError
from metaxy.store.given import given_frame
from metaxy.store.session import Scope
from metaxy.versioning.codec import member_polars
from metaxy.versioning.frames import collect_to_polars
from metaxy.wording import did_you_mean

Versions: TypeAlias = str | Sequence[str] | pl.Series | nw.Series[Any] | pl.DataFrame | Callable[[pl.DataFrame], Any]
"""One version per row: the column that has them; they themselves; a frame with a column ``version``, as functions of
`metaxy.content` return; or a function that takes the rows and returns one of these."""
DataVersion: TypeAlias = Versions | Mapping[Any, Versions]
"""Versions of all fields of a feature, or by field."""


def with_data_versions(frame: Any, definition: FeatureDefinition, data_version: DataVersion | None) -> Any:
    """Add data versions by field to rows; fields that are not given keep what they had: by default, their provenance.

    Columns in: whatever `MetadataStore.write` takes. Columns out: the same, as Polars,
    ``metaxy_data_version_by_field`` set and without ``metaxy_data_version``, which follows from it.

    Raises:
        MetadataSchemaError: if a field or column is unknown, or versions are NULL, too few, or no exact values.
    """
    if data_version is None:
        return frame
    rows = collect_to_polars(given_frame(frame, f"the frame for feature {definition.key}", collect=True))
    if not rows.height:
        return rows
    given = _Given(definition, rows)
    versions: dict[str, Any] = dict(given.by_member(data_version))
    for member in given.members.values():
        if member not in versions and (kept := _kept(rows.schema, member)) is not None:
            versions[member] = kept
    packed = pl.struct([value.alias(member) for member, value in versions.items()])
    return rows.with_columns(packed.alias(c.METAXY_DATA_VERSION_BY_FIELD)).drop(c.METAXY_DATA_VERSION, strict=False)


def versioned_frames(
    scope: Scope, frames: Mapping[FeatureKey, Any], data_version: Mapping[Any, DataVersion] | None
) -> dict[FeatureKey, Any]:
    """Add data versions to the rows of those features for which any are given.

    Raises:
        ValueError: if one has no rows.
    """
    by_key = {coerce_to_feature_key(feature): given for feature, given in (data_version or {}).items()}
    for key in by_key.keys() - frames.keys():
        raise ValueError(f"data_version names feature {key}, of which there are no rows")
    return {key: with_data_versions(df, scope.definition(key), by_key.get(key)) for key, df in frames.items()}


def _kept(schema: pl.Schema, member: str) -> pl.Expr | None:
    """Return the data version that a field has already, None where that is for `MetadataStore.write` to say."""
    column = c.METAXY_DATA_VERSION_BY_FIELD
    dtype = schema.get(column)
    if dtype is None or (isinstance(dtype, pl.Struct) and all(field.name != member for field in dtype.fields)):
        return None
    provenance = member_polars(schema.get(c.METAXY_PROVENANCE_BY_FIELD), c.METAXY_PROVENANCE_BY_FIELD, member)
    return pl.when(pl.col(column).is_null()).then(provenance).otherwise(member_polars(dtype, column, member))


class _Given:
    """What was given for the rows of a feature."""

    def __init__(self, definition: FeatureDefinition, rows: pl.DataFrame) -> None:
        self.definition, self.rows = definition, rows
        keys = [field.key for field in definition.spec.fields]
        self.members = {key.to_string(): key.to_struct_key() for key in keys}

    def by_member(self, given: Any) -> dict[str, pl.Series]:
        """Return the versions of each field that any are given for."""
        if callable(given):
            given = given(self.rows)
        if isinstance(given, pl.Series) and isinstance(given.dtype, pl.Struct):
            given = {field.name: given.struct.field(field.name) for field in given.dtype.fields}
        if isinstance(given, Mapping):
            return {self._member(field): self._versions(each, f"field {field}") for field, each in given.items()}
        return dict.fromkeys(self.members.values(), self._versions(given, "all fields"))

    def _member(self, field: Any) -> str:
        name = field.to_string() if isinstance(field, FieldKey) else str(field)
        member = self.members.get(name, name)
        if member not in self.members.values():
            raise self._wrong(f"there is no field {name!r}.{did_you_mean(name, self.members)}")
        return member

    def _versions(self, given: Any, of: str) -> pl.Series:
        if callable(given):
            given = given(self.rows)
        errors = given["error"] if isinstance(given, pl.DataFrame) and "error" in given.columns else None
        versions = self._series(given, of)
        if len(versions) != self.rows.height:
            raise self._wrong(f"{of}: {len(versions)} versions for {self.rows.height} rows")
        exact = versions.dtype.is_integer() or versions.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)
        if not exact and versions.dtype != pl.Null:
            raise self._wrong(
                f"{of}: {versions.dtype} is no version; give text, whole numbers or booleans, such as the version "
                "that metaxy.content.hash_values makes of it"
            )
        self._refuse_missing(versions, errors, of)
        return versions.cast(pl.String)

    def _series(self, given: Any, of: str) -> pl.Series:
        if isinstance(given, (str, pl.DataFrame)):
            frame, name = (self.rows, given) if isinstance(given, str) else (given, "version")
            if name not in frame.columns:
                known = ", ".join(frame.columns)
                raise self._wrong(f"{of}: no column {name!r}.{did_you_mean(name, frame.columns)} It has: {known}")
            return frame[name]
        if isinstance(given, (pl.Series, Sequence)):
            return given if isinstance(given, pl.Series) else pl.Series(given)
        try:
            return nw.from_native(given, series_only=True, pass_through=False).to_polars()  # type: ignore[no-any-return]
        except TypeError:
            raise self._wrong(f"{of}: a {type(given).__qualname__} has no versions") from None

    def _refuse_missing(self, versions: pl.Series, errors: pl.Series | None, of: str) -> None:
        if not versions.null_count():
            return
        place = versions.is_null().arg_max() or 0
        sample = self.rows.select(n for n in self.definition.spec.id_columns if n in self.rows.columns)
        ids = ", ".join(f"{name} = {value!r}" for name, value in sample.row(place, named=True).items())
        reason = f": {errors[place]}" if errors is not None and errors[place] else ""
        count = f"{versions.null_count()} of {self.rows.height}"
        raise self._wrong(f"{of}: {count} rows have no version, for example {ids}{reason}")

    def _wrong(self, what: str) -> MetadataSchemaError:
        return MetadataSchemaError(f"feature {self.definition.key}: data_version: {what}")
