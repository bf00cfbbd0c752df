"""Writing: a frame is checked as a whole, versioned, fitted to its table, and only then stored."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeAlias

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.definitions.definition import FeatureDefinition
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import (
    ExtraProvenanceFieldWarning,
    MetadataSchemaError,
    MetadataStoreError,
    MetaxyColumnMissingWarning,
    StoreConnectionError,
    TableNotFoundError,
    warn_user,
)
from metaxy.storage.evolution import Fit, fit_columns
from metaxy.storage.nested_types import first_with
from metaxy.storage.port import Append, Scan, Storage
from metaxy.store.casts import refuse_lossy_casts
from metaxy.store.declared import Comparison, types_without_values, with_declared_types
from metaxy.store.given import given_frame, last_rows, without_repeats
from metaxy.store.layers import layers_of, refuse_unlike
from metaxy.store.parts import StoreParts
from metaxy.store.reading import MOMENT, event_time, refuse_foreign_table
from metaxy.store.session import Scope
from metaxy.store.untyped import has_rows, says_nothing, with_known_types
from metaxy.versioning.build import sorting_ids
from metaxy.versioning.codec import ByField, Form, by_field_forms
from metaxy.versioning.engine import Engine, Target
from metaxy.versioning.frames import Frame, collect_to_polars, to_polars_lazy
from metaxy.versioning.key_types import refuse_nested_ids, type_family
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.row_checks import Checks, raise_problems
from metaxy.versioning.system_columns import SystemColumns
from metaxy.wording import did_you_mean, first_line

OnDuplicate = Literal["error", "last"]
KEPT_IF_GIVEN = (c.METAXY_PROVENANCE, c.METAXY_DATA_VERSION, c.METAXY_CREATED_AT, c.METAXY_DELETED_AT)


Fence: TypeAlias = Callable[[Callable[[], None]], None]
"""Does the work of storing, or refuses it, when all else is done."""


@dataclass(frozen=True)
class WriteOptions:
    """What a caller may choose about a write; ``beside`` are rows of ours to store with it, which are not checked."""

    materialization_id: str | None = None
    preserve_feature_version: bool = False
    on_duplicate: OnDuplicate = "error"
    beside: pl.DataFrame | None = None
    fence: Fence | None = None


def write_frames(store: StoreParts, scope: Scope, frames: Mapping[FeatureKey, Any], options: WriteOptions) -> None:
    """Store frames in the order given, after all of them were checked."""
    with store.engine.temporary():
        prepared = [prepare(store, scope, key, frame, options) for key, frame in frames.items()]
        writes = [write for write in prepared if write is not None]
        if writes:
            append(store, writes, options)


def append(store: StoreParts, writes: Sequence[Append], options: WriteOptions = WriteOptions()) -> None:
    """Add rows to tables, and see to it that these do not get slow."""
    if options.fence is None:
        store.storage.append(writes)
    else:
        options.fence(lambda: store.storage.append(writes))
    store.tidiness.look_after(store.storage, writes)


def prepare(store: StoreParts, scope: Scope, feature: FeatureKey, frame: Any, options: WriteOptions) -> Append | None:
    """Turn a frame into rows for the table of a feature; nothing is stored yet.

    Columns in: IDs, user columns, ``metaxy_provenance_by_field``; other system columns if the user has them.
    Columns out: the same user columns, and all system columns. A frame without rows gives None unless there is no
    table and it says what one would look like.

    Raises:
        MetadataSchemaError: if columns are missing, IDs or versions are NULL, or rows of one ID differ.
        TableNotFoundError: if there is no table and the store may not create one.
    """
    definition = scope.definition(feature)
    given = given_frame(frame, f"the frame for feature {definition.key}", collect=True)
    table = feature_table(store, definition.key)
    if options.beside is not None:
        return _prepared(store, scope, definition, _with_beside(given, options.beside), table, options)
    try:
        return _prepared(store, scope, definition, given, table, options)
    except MetadataSchemaError:
        if has_rows(given):
            raise
        return None  # whatever is wrong with this frame, nothing of it would be stored


def _prepared(
    store: StoreParts,
    scope: Scope,
    definition: FeatureDefinition,
    given: Frame,
    table: Scan | None,
    options: WriteOptions,
) -> Append | None:
    below = layers_of(store, definition.key, below=True) if store.overlays else []
    exists = table or below
    if isinstance(given, nw.DataFrame) and not len(given) and (exists or says_nothing(given, definition.spec)):
        return None
    known = table.schema if table else {}
    there, columns = known if table or not below else below[0].scan.schema, given.collect_schema()
    tables = [each.schema for each in (table, *(layer.scan for layer in below)) if each is not None]
    grows = table is None or store.schema_evolution != "strict"  # else columns that say nothing are left out
    declaring, unsupported = scope.settings.declared if grows else None, store.storage.capabilities.unsupported
    types_of = partial(types_without_values, definition, declaring, tables if grows else tables[:1], unsupported)
    given = with_known_types(given, definition.spec, types_of)
    given = with_declared_types(given, definition, scope.settings.declared, there)
    check_columns(definition, given.collect_schema())
    engine = store.engine.for_writing(given, scope.algorithm)
    if options.on_duplicate == "last" and options.beside is None:
        given = last_rows(given, definition.spec.id_columns, f"feature {definition.key}")
    rows = engine.take(given, reread=True)
    schema = rows.collect_schema()
    system = build_system_columns(store, scope, definition, schema, table, options)
    refuse_types(store, definition, {name: schema[name] for name in system.user_columns if name not in known})
    declared = Comparison.of(definition, scope.settings.declared, columns, schema)
    ids = tuple(definition.spec.id_columns)
    text_ids = tuple(name for name in ids if type_family(schema[name]) == "text")
    checks = Checks(f"feature {definition.key}", ids, text_ids, system, declared.checks)
    if options.beside is None:
        rows = checked(engine, given, rows, checks, definition, declared)
    else:
        rows = engine.take(_checked_with_beside(given, options, checks, definition, declared), reread=True)
    fit = fit_to_table(store, definition, schema, system, table)
    refuse_lossy_casts(rows, fit, f"feature {definition.key}")
    if table is not None:
        system = after_faster_clocks(store.engine, system, table, rows, definition)
    if below:
        refuse_unlike(definition.key, store, {name: schema[name] for name in system.user_columns} | dict(known), below)
    for layer in below:
        reader = store.engine if layer.is_native else PolarsEngine()
        system = after_faster_clocks(reader, system, layer.scan, rows, definition)
    return fitted(engine, rows, system, fit, table, definition)


def _with_beside(given: Frame, beside: pl.DataFrame) -> Frame:
    children = collect_to_polars(given)
    return nw.from_native(pl.concat([children, beside], how="diagonal_relaxed") if children.height else beside)


def _checked_with_beside(
    given: Frame, options: WriteOptions, checks: Checks, definition: FeatureDefinition, declared: Comparison
) -> Frame:
    """Check rows without those that stand beside them, at their end."""
    all_rows = collect_to_polars(given)
    count = all_rows.height - (0 if options.beside is None else options.beside.height)
    if not count:
        return given
    own: Frame = nw.from_native(all_rows.head(count))
    own = last_rows(own, checks.ids, checks.feature) if options.on_duplicate == "last" else own
    rows = checked(PolarsEngine(), own, own.lazy(), checks, definition, declared)
    return nw.from_native(pl.concat([collect_to_polars(rows), all_rows.tail(-count)], how="vertical"))


def fitted(
    engine: Engine,
    rows: nw.LazyFrame[Any],
    system: SystemColumns,
    fit: Fit,
    table: Scan | None,
    definition: FeatureDefinition,
) -> Append:
    """Version rows, and give them the types of their table, None for a new one."""
    casting = engine.casting(fit.casts)
    rows = rows if casting is engine else casting.take(rows)
    types = {name: kind for name, kind in table.types.items() if name not in fit.growing} if table else {}
    versioned = casting.add_system_columns(rows, system, Target(fit.casts, types))
    return Append(
        definition.key, versioned, table is None, fit.new_columns, fit.new_members, sorting_ids(definition.spec), table
    )


def existing_table(store: StoreParts, key: FeatureKey) -> Scan | None:
    """Return a table, None if the store will create it."""
    try:
        return store.storage.scan(key)
    except TableNotFoundError as error:
        if store.storage.capabilities.creates_tables:
            return None
        raise TableNotFoundError(
            f"{store!r} has no table for feature {key}, and may not create it; set auto_create_tables = true in "
            "metaxy.toml (or pass auto_create_tables=True), or create the table yourself"
        ) from error


def feature_table(store: StoreParts, key: FeatureKey) -> Scan | None:
    """Return the table of a feature like `existing_table`, and refuse one that is of someone else."""
    table = existing_table(store, key)
    if table is not None:
        refuse_foreign_table(key, table, store)
    return table


# -- what the frame must look like -------------------------------------------------------------------------------------


def check_columns(definition: FeatureDefinition, schema: Mapping[str, nw.dtypes.DType]) -> None:
    """Refuse a frame that lacks IDs or provenance, or has half of a data version."""
    where, spec = f"feature {definition.key}", definition.spec
    refuse_missing_ids(definition, schema)
    refuse_nested_ids(where, spec.id_columns, schema)
    if c.METAXY_PROVENANCE_BY_FIELD not in schema:
        fields = ", ".join(repr(f.key.to_struct_key()) for f in spec.fields)
        raise MetadataSchemaError(
            f"{where}: the frame lacks {c.METAXY_PROVENANCE_BY_FIELD}, a struct with one version (text) per field: "
            f"{fields}; frames from resolve_update have it"
        )
    if c.METAXY_DATA_VERSION in schema and c.METAXY_DATA_VERSION_BY_FIELD not in schema:
        raise MetadataSchemaError(
            f"{where}: the frame has {c.METAXY_DATA_VERSION} without {c.METAXY_DATA_VERSION_BY_FIELD}; give both"
        )
    for column in c.BY_FIELD_COLUMNS:
        if column in schema and not isinstance(schema[column], (nw.Struct, nw.Map, nw.List)):
            raise MetadataSchemaError(f"{where}: {column} must be a struct or a map of texts, not {schema[column]}")
    lower: dict[str, str] = {}
    for column in schema:
        if lower.setdefault(column.lower(), column) != column:
            raise MetadataSchemaError(f"{where}: columns {lower[column.lower()]!r} and {column!r} differ only by case")


def refuse_missing_ids(definition: FeatureDefinition, columns: Collection[str]) -> None:
    """Refuse a frame that lacks an ID column."""
    for name in definition.spec.id_columns:
        if name not in columns:
            raise MetadataSchemaError(
                f"feature {definition.key}: the frame lacks ID column {name!r}.{did_you_mean(name, columns)} "
                f"It has: {', '.join(columns)}"
            )


def refuse_types(store: StoreParts, definition: FeatureDefinition, new: Mapping[str, nw.dtypes.DType]) -> None:
    """Refuse new columns and members of types that the storage lacks."""
    if lacking := first_with(new, store.storage.capabilities.unsupported):
        name, dtype = lacking
        raise MetadataSchemaError(
            f"feature {definition.key}: {store!r} has no type for column {name!r} of {dtype}; cast it to another "
            "type, such as text or a smaller number"
        )


def checked(
    engine: Engine,
    given: Frame,
    rows: nw.LazyFrame[Any],
    checks: Checks,
    definition: FeatureDefinition,
    declared: Comparison,
) -> nw.LazyFrame[Any]:
    """Count what may be wrong; equal rows collapse, different rows of one sample are refused."""
    counted = given.lazy() if _polars_may_count(given, checks.ids) else rows
    counts = engine.check(counted, checks)
    raise_problems(checks, counts)
    declared.report(definition, counts, counted)
    if counts["samples"] == counts["total"]:
        return rows
    where, advice = f"feature {definition.key}", 'pass on_duplicate="last" to keep the last one'
    return without_repeats(rows, definition.spec.id_columns, where, advice)


def _polars_may_count(given: Frame, ids: tuple[str, ...]) -> bool:
    """Return whether a frame is held by Polars, and has IDs of types on whose equality all engines agree."""
    if isinstance(given, nw.LazyFrame) or not given.implementation.is_polars():
        return False
    return all(type_family(given.schema[name]) in {"text", "integer"} for name in ids)


# -- what the rows get -------------------------------------------------------------------------------------------------


def build_system_columns(
    store: StoreParts,
    scope: Scope,
    definition: FeatureDefinition,
    schema: Mapping[str, nw.dtypes.DType],
    table: Scan | None,
    options: WriteOptions,
) -> SystemColumns:
    """Decide what each system column gets."""
    members = tuple(f.key.to_struct_key() for f in definition.spec.fields)
    given = by_field_forms(schema)
    _warn_about(definition, schema, given, members)
    versions = (c.METAXY_FEATURE_VERSION, c.METAXY_PROJECT_VERSION)
    keep_versions = options.preserve_feature_version and all(column in schema for column in versions)
    kept = frozenset(column for column in (*KEPT_IF_GIVEN, *(versions if keep_versions else ())) if column in schema)
    now = store.clock.now()
    materialization = store.materialization_id if options.materialization_id is None else options.materialization_id
    return SystemColumns(
        members=members,
        user_columns=user_columns(schema),
        hash=scope.hash,
        texts={
            c.METAXY_FEATURE_VERSION: scope.version(definition.key),
            c.METAXY_PROJECT_VERSION: scope.project_version(definition),
            c.METAXY_MATERIALIZATION_ID: materialization,
        },
        times={c.METAXY_CREATED_AT: now, c.METAXY_UPDATED_AT: now, c.METAXY_DELETED_AT: None},
        kept=kept,
        given=given,
        forms=forms_of_table(store.storage, scope.shape, members, table),
    )


def user_columns(schema: Mapping[str, nw.dtypes.DType]) -> tuple[str, ...]:
    """List the columns that belong to the user, in order."""
    return tuple(name for name in schema if not c.is_system_column(name) and name not in c.STRAY_COLUMNS)


def _warn_about(
    definition: FeatureDefinition,
    schema: Mapping[str, nw.dtypes.DType],
    given: Mapping[str, ByField],
    members: tuple[str, ...],
) -> None:
    for column, form in given.items():
        missing = [m for m in members if form.form == "struct" and m not in form.members]
        if missing and column == c.METAXY_PROVENANCE_BY_FIELD:
            raise MetadataSchemaError(
                f"feature {definition.key}: {column} lacks field {missing[0]!r}; it has: {', '.join(form.members)}"
            )
        extra = sorted(set(form.members) - set(members))
        if extra:
            message = (
                f"feature {definition.key}: {column} has {', '.join(extra)}, which are no fields; they are not stored"
            )
            warn_user(message, ExtraProvenanceFieldWarning)
    if definition.spec.deps and c.METAXY_PROVENANCE not in schema:
        message = (
            f"feature {definition.key}: the frame lacks {c.METAXY_PROVENANCE}, so it was computed from "
            f"{c.METAXY_PROVENANCE_BY_FIELD}; write frames that resolve_update returned"
        )
        warn_user(message, MetaxyColumnMissingWarning)


def forms_of_table(storage: Storage, shape: Form, members: tuple[str, ...], table: Scan | None) -> dict[str, ByField]:
    """Say how the table keeps by-field columns: as it is, or as new tables get them."""
    kept = storage.capabilities.by_field
    form: Form = shape if kept == "struct" else kept
    if form == "map" and not storage.capabilities.has_map:
        form = "struct"
    forms = dict.fromkeys(c.BY_FIELD_COLUMNS, ByField(form, members))
    for column, existing in (table.by_field if table else {}).items():
        added = tuple(m for m in members if m not in existing.members)
        forms[column] = ByField(existing.form, (*existing.members, *added) if existing.form == "struct" else ())
    return forms


def after_faster_clocks(
    engine: Engine, system: SystemColumns, table: Scan, rows: nw.LazyFrame[Any], definition: FeatureDefinition
) -> SystemColumns:
    """Let a write be later than what a faster clock wrote or deleted of its samples, or nobody would ever see it.

    Rows from the future are rare: only if there are any are their samples compared with those of the write.

    Raises:
        StoreConnectionError: if the table cannot be read.
    """
    ids = definition.spec.id_columns
    event, now = event_time(table), system.times[c.METAXY_UPDATED_AT]
    # Each column is compared by itself, so that statistics of files tell where there is nothing to read.
    times = [name for name in (c.METAXY_UPDATED_AT, c.METAXY_DELETED_AT) if name in table.schema]
    later = [nw.col(name).cast(MOMENT) > nw.lit(now).cast(MOMENT) for name in times]
    ahead = table.frame.filter(nw.any_horizontal(*later, ignore_nulls=True))
    if c.METAXY_FEATURE_VERSION not in system.kept:
        ahead = ahead.filter(nw.col(c.METAXY_FEATURE_VERSION) == system.texts[c.METAXY_FEATURE_VERSION])
    samples = rows.select(nw.col(name).cast(table.schema[name]) for name in ids).unique()
    try:
        newest = _newest(ahead, event)
        if newest is not None:
            ahead = nw.from_native(to_polars_lazy(ahead)) if isinstance(engine, PolarsEngine) else ahead
            here = samples.implementation == ahead.implementation
            samples = samples if here else engine.take(samples)
            newest = _newest(ahead.join(samples, on=list(ids), how="semi"), event)
    except MetadataStoreError:
        raise
    except Exception as error:  # each library has its own error for tables that are broken
        reason = first_line(error)
        raise StoreConnectionError(f"feature {definition.key}: its table cannot be read: {reason}") from error
    if newest is None or now is None or newest <= now:
        return system
    return replace(system, times={**system.times, c.METAXY_UPDATED_AT: newest + timedelta(microseconds=1)})


def _newest(rows: nw.LazyFrame[Any], event: nw.Expr) -> datetime | None:
    found: datetime | None = collect_to_polars(rows.select(mx_event=event).select(nw.col("mx_event").max())).item()
    return found


def fit_to_table(
    store: StoreParts,
    definition: FeatureDefinition,
    schema: Mapping[str, nw.dtypes.DType],
    system: SystemColumns,
    table: Scan | None,
) -> Fit:
    """Compare the rows with the table they go to."""
    if table is None:
        return Fit()
    types: dict[str, nw.dtypes.DType] = {"text": nw.String(), "timestamp": MOMENT}
    kinds = {column.name: types[column.kind] for column in c.SYSTEM_COLUMNS if column.kind in types}
    known = table.schema
    present = {name: dtype for name, dtype in kinds.items() if name in known}
    documents = {n for n in table.documents if n in schema and (schema[n].is_nested() or schema[n] == nw.String())}
    frame = {name: schema[name] for name in system.user_columns if name not in documents} | present
    missing = {name: dtype for name, dtype in kinds.items() if name not in known}
    absent = {name: nw.Struct([]) for name in c.BY_FIELD_COLUMNS if name not in known}
    fit = fit_columns(
        f"feature {definition.key}",
        frame | missing | absent,
        known,
        table.by_field,
        system.members,
        store.schema_evolution,
        structs_as_maps=store.storage.capabilities.structs_as_maps,
    )
    members = {".".join(member.path): member.dtype for member in fit.new_members}
    refuse_types(store, definition, members)
    if members and not store.storage.capabilities.adds_members:
        raise MetadataSchemaError(
            f"feature {definition.key}: its table lacks {', '.join(map(repr, members))}, and {store!r} cannot add "
            "members to structs; write a column of its own instead"
        )
    return fit
