"""Rows that are stored as they are, with all their system columns: copies and tombstones."""

from typing import Any

import narwhals as nw

from metaxy import columns as c
from metaxy.definitions.definition import FeatureDefinition
from metaxy.storage.port import Append, Scan
from metaxy.store.parts import StoreParts
from metaxy.store.reading import MOMENT, event_time
from metaxy.store.session import Scope
from metaxy.store.writing import fit_to_table, fitted, forms_of_table, refuse_types, user_columns
from metaxy.versioning.codec import by_field_forms
from metaxy.versioning.system_columns import SystemColumns


def as_they_are(
    store: StoreParts, scope: Scope, definition: FeatureDefinition, given: nw.LazyFrame[Any], table: Scan | None
) -> Append:
    """Fit rows with all their system columns to a table, None for a new one; nothing that they have is changed."""
    engine = store.engine.for_writing(given, scope.algorithm)
    rows = engine.take(given)
    schema = rows.collect_schema()
    system = _system_columns(store, scope, definition, schema, table)
    known = table.schema if table else {}
    refuse_types(store, definition, {name: schema[name] for name in system.user_columns if name not in known})
    fit = fit_to_table(store, definition, schema, system, table)
    return fitted(engine, rows, system, fit, table, definition)


def rewritten_at(store: StoreParts, table: Scan) -> nw.Expr:
    """Write the time at which a row of a table is written once more: now, but not before its last event."""
    now = nw.lit(store.clock.now()).cast(MOMENT)
    return nw.max_horizontal(now, event_time(table)).alias(c.METAXY_UPDATED_AT)


def _system_columns(
    store: StoreParts, scope: Scope, definition: FeatureDefinition, schema: nw.Schema, table: Scan | None
) -> SystemColumns:
    """Keep all that the rows have; fields that only other versions of the feature have, too."""
    given = by_field_forms(schema)
    fields = [f.key.to_struct_key() for f in definition.spec.fields]
    forms = [*given.values(), *(table.by_field.values() if table else ())]
    members = tuple(dict.fromkeys([*fields, *(m for form in forms for m in form.members)]))
    scalars = {column.name: column.kind for column in c.SYSTEM_COLUMNS if column.kind != "by_field"}
    computed = (c.METAXY_PROVENANCE, c.METAXY_DATA_VERSION)
    stored = forms_of_table(store.storage, scope.shape, members, table)
    # Maps and JSON may hold fields that nothing here knows of.
    verbatim = {n for n, form in given.items() if form.form != "struct" and stored[n].form == form.form}
    return SystemColumns(
        members=members,
        user_columns=user_columns(schema),
        hash=scope.hash,
        texts={name: None for name, kind in scalars.items() if kind == "text" and name not in computed},
        times={name: None for name, kind in scalars.items() if kind == "timestamp"},
        kept=frozenset(name for name in scalars if name in schema),
        given=given,
        forms=stored,
        verbatim=frozenset(verbatim),
        exact=True,
    )
