"""Samples of an update whose versions are equal to what is stored, but whose payload is not.

The columns that both sides have are compared in this process, after the casts that a write would do; lists, structs and
columns whose types do not compare are left out, so that nothing is called other that a write would not mend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.dag.plan import FeaturePlan
from metaxy.errors import DriftedSamplesWarning, warn_user
from metaxy.storage.evolution import is_lossless, may_fit
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, read_rows
from metaxy.store.request import UpdateRequest
from metaxy.store.resolving import Resolution
from metaxy.store.session import Scope
from metaxy.store.untyped import without_placeholders
from metaxy.versioning.column_types import Types
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.increment import Increment
from metaxy.versioning.key_types import alike
from metaxy.versioning.recipe import Latest

PayloadCheck: TypeAlias = Literal["ignore", "warn", "stale"]
STORED: Final = "__metaxy_stored_"
DATA_VERSIONS: Final = frozenset({c.METAXY_DATA_VERSION, c.METAXY_DATA_VERSION_BY_FIELD})


def refuse_unfit(request: UpdateRequest, payload: PayloadCheck) -> None:
    """Refuse to look at the payload where there is none to compare with, or no way to show it.

    Raises:
        ValueError: naming the option.
    """
    if payload not in ("warn", "stale"):
        raise ValueError(f"payload={payload!r} is none of 'ignore', 'warn' and 'stale'")
    if request.samples is None:
        raise ValueError(f"payload={payload!r} compares samples with what is stored: pass samples=")
    if payload == "stale" and request.previous:
        raise ValueError("payload='stale' goes without previous=True: no field of such samples changed")


def with_drifted(
    resolution: Resolution, store: StoreParts, scope: Scope, request: UpdateRequest, payload: PayloadCheck
) -> Increment:
    """Resolve an update, and add the samples whose payload differs: beside the others with a warning, or as stale."""
    increment = resolution.changes()
    tables = resolution.tables
    if tables is None or tables.current is None or request.skip_comparison:
        return increment.with_drifted(increment.new.head(0)) if payload == "warn" else increment
    rows, compared = _drifted(tables.plan, tables.current, store, scope, request, increment)
    frame = _like(increment.new, rows)
    if payload == "stale":
        return increment.with_stale(frame)
    if rows.height:
        warn_user(_message(tables.plan, rows, compared), DriftedSamplesWarning)
    return increment.with_drifted(frame)


def _like(shown: nw.DataFrame[Any], rows: pl.DataFrame) -> nw.DataFrame[Any]:
    """Show rows in the columns, types and library of another frame."""
    types: Any = shown.head(0).to_polars().schema
    found = rows.select(shown.columns).cast(types)
    if not shown.implementation.is_pyarrow():
        return nw.from_native(found)
    return nw.from_native(found.to_arrow().cast(shown.to_native().schema), eager_only=True)


def _drifted(
    plan: FeaturePlan,
    current: StoredTable,
    store: StoreParts,
    scope: Scope,
    request: UpdateRequest,
    increment: Increment,
) -> tuple[pl.DataFrame, Sequence[str]]:
    """Return the samples, with stored values beside their own, and the columns that were compared."""
    spec, ids = plan.feature, list(plan.feature.id_columns)
    here = Resolution.of(store, scope, plan, replace(request, versioning_engine="polars", previous=False))
    expected = without_placeholders(here.expected(), here.untyped)
    samples = collect_to_polars(expected).unique(ids, keep="any", maintain_order=True)
    compared = _comparable(nw.Schema.from_polars(samples.schema), current, ids)
    stored_schema = current.scan.schema
    own = [] if c.METAXY_DATA_VERSION_BY_FIELD in _given(request) else list(DATA_VERSIONS & set(stored_schema))
    latest = Latest(tuple(ids), scope.version(spec.key))
    filters = here.tables.own_filters if here.tables else ()
    columns = [*ids, c.METAXY_PROVENANCE, *own, *compared]
    stored = collect_to_polars(read_rows(current, spec, scope, latest, filters, columns))
    stored = stored.rename({name: STORED + name for name in columns})
    stale = increment.stale.select(*ids).to_polars()
    left = samples.join(stale, on=ids, how="anti") if stale.height else samples
    left_on, right_on = alike(left.schema, stored.schema, [(name, STORED + name) for name in ids])
    met = left.join(stored, left_on=left_on, right_on=right_on, how="inner", coalesce=False)
    same = pl.col(c.METAXY_PROVENANCE) == pl.col(STORED + c.METAXY_PROVENANCE)
    differs = [_differs(name, left.schema[name], stored.schema[STORED + name]) for name in compared]
    rows = met.filter(same & pl.any_horizontal(differs)) if differs else met.clear()
    # Children depend on data versions: those of the stored row stay, or its children would be stale.
    return rows.with_columns(pl.col(STORED + name).alias(name) for name in own), compared


def _given(request: UpdateRequest) -> Types:
    return {} if request.samples is None else request.samples.collect_schema()


def _comparable(samples: Mapping[str, nw.dtypes.DType], current: StoredTable, ids: Sequence[str]) -> list[str]:
    """Name the columns that both sides have, and that a write would store as they are or cast without loss."""
    scan = current.scan
    return [
        name
        for name, dtype in samples.items()
        if name in scan.schema
        and name not in {*ids, *scan.documents}
        and not c.is_system_column(name)
        and not (dtype.is_nested() or scan.schema[name].is_nested())
        and not isinstance(dtype, nw.Unknown)
        and not isinstance(scan.schema[name], nw.Unknown)
        and (is_lossless(dtype, scan.schema[name]) or may_fit(dtype, scan.schema[name]))
    ]


def _differs(name: str, given: pl.DataType, stored: pl.DataType) -> pl.Expr:
    """Compare a column as it would be stored; a value that does not fit would be refused, and is no other one."""
    dtype = pl.String() if isinstance(stored, (pl.Categorical, pl.Enum)) else stored
    value, other = pl.col(name), pl.col(STORED + name)
    value = value if given == dtype else value.cast(dtype, strict=False)
    other = other if stored == dtype else other.cast(dtype)
    return value.ne_missing(other) & (value.is_not_null() | pl.col(name).is_null())


def _message(plan: FeaturePlan, rows: pl.DataFrame, compared: Sequence[str]) -> str:
    """Say how many samples there are, with one of them."""
    first = rows.head(1)
    sample = ", ".join(f"{name}={first[name].item()!r}" for name in plan.feature.id_columns)
    other = next(name for name in compared if first.select(_differs(*_column(first, name))).item())
    return (
        f"feature {plan.feature.key}: {rows.height} samples have the versions that are stored, but another payload, "
        f"such as {sample}, whose {other} is {first[other].item()!r} and not {first[STORED + other].item()!r}; write "
        "increment.drifted to store it"
    )


def _column(rows: pl.DataFrame, name: str) -> tuple[str, pl.DataType, pl.DataType]:
    return name, rows.schema[name], rows.schema[STORED + name]
