"""Layers of a feature: the table of a store, and under it those of its fallback stores, seen as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw

from metaxy.columns import BY_FIELD_COLUMNS, is_system_column
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import MetadataSchemaError, PolarsMaterializationWarning, TableNotFoundError, warn_user
from metaxy.storage.evolution import common_type
from metaxy.storage.port import Hosting, Scan
from metaxy.store.parts import StoreParts
from metaxy.versioning.codec import ByField, Form, type_of
from metaxy.versioning.column_types import Types
from metaxy.versioning.polars_engine import PolarsEngine
from metaxy.versioning.unions import Part, Union


@dataclass(frozen=True)
class Layer:
    """A table, the store that has it, and whether the engine of the store that reads it can do so itself."""

    store: StoreParts
    scan: Scan
    is_native: bool


def layers_of(reader: StoreParts, key: FeatureKey, *, below: bool = False) -> list[Layer]:
    """Return the tables of a feature that a store sees, its own first; ``below`` leaves that one out."""
    found = [*_layers(reader, reader, key)]
    return [layer for layer in found if layer.store is not reader] if below else found


def _layers(reader: StoreParts, store: StoreParts, key: FeatureKey) -> Iterator[Layer]:
    own = _layer(reader, store, key)
    if own is not None:
        yield own
        if store.fallback == "tables":
            return
    for fallback in store.fallback_stores:
        under = [*_layers(reader, fallback, key)]
        yield from under
        if under and store.fallback == "tables":
            return


def _layer(reader: StoreParts, store: StoreParts, key: FeatureKey) -> Layer | None:
    storage = store.storage
    hosted = reader.storage.host(storage) if store is not reader and isinstance(reader.storage, Hosting) else None
    if store is not reader and hosted is None:
        reader.keep_open(store)
    try:
        scan = (hosted or storage).scan(key)
    except TableNotFoundError:
        return None
    if store is reader or hosted is not None:
        return Layer(store, scan, is_native=True)
    frame = reader.engine.rebound(scan.frame)
    return Layer(store, scan if frame is None else replace(scan, frame=frame), is_native=frame is not None)


def stacked(reader: StoreParts, key: FeatureKey, layers: Sequence[Layer]) -> tuple[Scan, bool]:
    """Put layers together: in the database of the store that reads them if it can read all, else in Polars.

    Returns:
        The layers as one table, and whether Polars has to read it.

    Raises:
        MetadataSchemaError: if a column has types in two of them that have no values in common.
    """
    outside = next((layer for layer in layers if not layer.is_native), None)
    if len(layers) == 1 and outside is None:
        return layers[0].scan, False
    types = _types(key, [(layer.store, layer.scan.schema) for layer in layers])
    forms = _forms(layers)
    schema = nw.Schema(types | {name: type_of(form) for name, form in forms.items()})
    scans = [layer.scan for layer in layers]
    parts = [Part(each.frame, each.schema, each.by_field, each.table, each.types) for each in scans]
    union = Union(parts, schema, forms)
    found = reader.engine.union(union) if outside is None or isinstance(reader.engine, PolarsEngine) else None
    in_polars = found is None
    if found is None:
        found = PolarsEngine().union(union)
        _warn(reader, outside or layers[-1])
    assert found is not None  # noqa: S101 - Polars takes all
    documents = frozenset[str]().union(*(each.documents for each in scans))
    return Scan(found[0], schema, by_field=forms, documents=documents, row_id=found[1]), in_polars


def _warn(reader: StoreParts, below: Layer) -> None:
    """Say once of each store that its database does not read what lies under it."""
    if not reader.reads_in_polars:
        reader.reads_in_polars = True
        message = (
            f"the database of {reader!r} does not read the rows of {below.store!r}, as they are in another one or in a "
            "file that is open twice; both are read, and versions computed, with Polars"
        )
        warn_user(message, PolarsMaterializationWarning)


def _types(key: FeatureKey, tables: Sequence[tuple[StoreParts, Types]]) -> dict[str, Any]:
    """Return the types of all columns.

    Raises:
        MetadataSchemaError: if two of them cannot meet, or names differ only by case.
    """
    types: dict[str, Any] = {}
    owners: dict[str, StoreParts] = {}
    names: dict[str, str] = {}
    for store, schema in tables:
        for name, dtype in schema.items():
            twin = names.setdefault(name.lower(), name)
            if twin != name:
                raise MetadataSchemaError(
                    f"feature {key}: column {name!r} of {store!r} and {twin!r} of {owners[twin]!r} differ only by "
                    "case; rename one of them"
                )
            known = types.get(name, dtype)
            met = dtype if name in BY_FIELD_COLUMNS else _meeting_type(name, known, dtype)
            if met is None:
                raise MetadataSchemaError(
                    f"feature {key}: column {name!r} is {known} in {owners[name]!r} and {dtype} in {store!r}, which "
                    "cannot be seen as one; cast it, or rename it in one of them"
                )
            types[name] = met
            owners.setdefault(name, store)
    return types


def _meeting_type(name: str, left: Any, right: Any) -> Any:
    if is_system_column(name) and isinstance(left, nw.Datetime) and isinstance(right, nw.Datetime) and left != right:
        return nw.Datetime("us", "UTC")  # ours are UTC, whatever their table says
    return common_type(left, right)


def _forms(layers: Sequence[Layer]) -> dict[str, ByField]:
    """Choose the form of versions by field that holds those of all tables: a struct has only the fields it knows."""
    forms = {}
    for name in BY_FIELD_COLUMNS:
        given = [form for layer in layers if (form := layer.scan.by_field.get(name))]
        kinds: set[Form] = {form.form for form in given}
        members = tuple(dict.fromkeys(member for form in given for member in form.members))
        if given:
            kind: Form = "json" if "json" in kinds else "map" if "map" in kinds else "struct"
            forms[name] = ByField(kind, members if kind == "struct" else ())
    return forms


def refuse_unlike(key: FeatureKey, store: StoreParts, schema: Types, below: Sequence[Layer]) -> None:
    """Refuse rows with these columns, which could not be seen together with those that lie under them."""
    _types(key, [(store, schema), *((layer.store, layer.scan.schema) for layer in below)])
