"""Children that take the place of those that their parents had: what is not among them goes, and the parent is done.

What a frame of children cannot say is written beside it, in the same append: tombstones of the children that a parent
has no more, and *markers*: deleted rows with the IDs of a parent and NULL for those of a child. The provenance of a
marker says that the parent was computed to no children, with which provenance, or that its children are being written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import narwhals as nw
import polars as pl

from metaxy import columns as c
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.store.data_versions import DataVersion, with_data_versions
from metaxy.store.given import given_frame
from metaxy.store.named import as_names, with_types
from metaxy.store.parts import StoreParts
from metaxy.store.reading import StoredTable, find_or_none
from metaxy.store.session import Scope
from metaxy.store.writing import WriteOptions, refuse_missing_ids, write_frames
from metaxy.versioning.codec import ByField, by_field_forms
from metaxy.versioning.engine import View
from metaxy.versioning.frames import collect_to_polars
from metaxy.versioning.recipe import BEGUN, WRITTEN, Latest
from metaxy.wording import did_you_mean

MOMENT = pl.Datetime("us", "UTC")
RENEWED = (c.METAXY_FEATURE_VERSION, c.METAXY_PROJECT_VERSION, c.METAXY_UPDATED_AT, c.METAXY_MATERIALIZATION_ID)
TYPES = {"str": pl.String(), "int": pl.Int64(), "float": pl.Float64(), "bool": pl.Boolean()}


@dataclass
class Replacement:
    """Writes the children of some parents, in one part or several.

    ``keys`` are the IDs that children share with their parent, ``own`` those that tell them apart.
    """

    store: StoreParts
    scope: Scope
    definition: FeatureDefinition
    parents: pl.DataFrame
    keys: list[str]
    own: list[str]
    options: WriteOptions
    written: list[pl.DataFrame] = field(default_factory=list)
    since: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.store.clock.now()

    @classmethod
    def build(cls, store: StoreParts, scope: Scope, feature: Any, parents: Any, options: WriteOptions) -> "Replacement":
        """Check the parents: a frame with the IDs that their children share, and ``metaxy_provenance``.

        Raises:
            DefinitionError: if the feature is no expansion.
            MetadataSchemaError: if columns are missing, or a parent has two provenances.
        """
        definition = scope.definition(feature)
        keys, own = ids_of_children(scope, definition)
        if options.preserve_feature_version:
            raise ValueError(f"feature {definition.key}: replaces goes with the current feature version only")
        what = _what(definition)
        frame = collect_to_polars(given_frame(parents, what, collect=True))
        for name in (*keys, c.METAXY_PROVENANCE):
            if name not in frame.columns:
                raise MetadataSchemaError(
                    f"{what} lack column {name!r}.{did_you_mean(name, frame.columns)} They have: "
                    f"{', '.join(frame.columns)}; pass rows of resolve_update"
                )
        chosen = frame.select(*keys, c.METAXY_PROVENANCE).unique(maintain_order=True)
        if twice := chosen.filter(pl.struct(keys).is_duplicated()).select(keys).rows(named=True):
            raise MetadataSchemaError(f"{what} have several provenances of {_shown(twice[0])}; pass each parent once")
        return cls(store, scope, definition, chosen, keys, own, options)

    # -- what is written -----------------------------------------------------------------------------------------------

    def write_all(self, children: Any, *, since: datetime | None = None) -> None:
        """Write all children that the parents have, in one append with what goes, and with what is known by that.

        Raises:
            MetadataSchemaError: if others were written past this since a time, where one is given.
        """
        frame = self._children(children)
        with self.store.engine.temporary():
            table = self._table(frame)
            names = table.names(frame)
            self._refuse_strays(table, names)
            stored = table.stored(names)
            if since is not None:
                self._refuse_written_past(stored, since)
            begun = stored.filter(table.is_marker & (pl.col(c.METAXY_PROVENANCE) == BEGUN))
            moment = table.moment(stored)
            beside = [table.tombstones(stored, moment, frame), *self._finished(table, names, begun, moment)]
        self._append(frame, beside)

    def write(self, children: Any, *, data_version: DataVersion | None = None) -> None:
        """Write some of the children; with the first of them it is stored that there will be more.

        ``data_version`` is as for `MetadataStore.write`.
        """
        frame = self._children(with_data_versions(children, self.definition, data_version))
        if not frame.height:
            return
        with self.store.engine.temporary():
            table = self._table(frame)
            names = table.names(frame)
            self._refuse_strays(table, names)
            begun = [] if self.written else [table.markers(table.parents, BEGUN, table.moment(table.stored(names)))]
        self._append(frame, begun)
        self.written.append(names)

    def finish(self) -> None:
        """Let go of the children that were not written, and store that there are no more to come.

        Raises:
            MetadataSchemaError: if children were written past this meanwhile; none goes then.
        """
        if not self.written:
            self.write_all(pl.DataFrame(), since=self.since)
            return
        with self.store.engine.temporary():
            table = self._table(pl.DataFrame())
            names = pl.concat(self.written).cast(pl.Schema(table.types(table.ids)))
            stored = table.stored(names)
            self._refuse_written_past(stored, self.since)
            moment = table.moment(stored)
            gone = table.tombstones(stored, moment, pl.DataFrame())
            beside = [gone, *self._finished(table, names, table.parents, moment)]
        self._append(pl.DataFrame(), beside)

    def _finished(
        self, table: "_Children", names: pl.DataFrame, begun: pl.DataFrame, moment: datetime
    ) -> list[pl.DataFrame]:
        """Make markers for the parents without children, and for those that have some and were begun."""
        empty = table.parents.join(names, on=self.keys, how="anti")
        more = table.parents.join(begun, on=self.keys, how="semi").join(empty, on=self.keys, how="anti")
        return [table.markers(empty, None, moment), table.markers(more, WRITTEN, moment)]

    def _append(self, frame: pl.DataFrame, beside: Sequence[pl.DataFrame]) -> None:
        rows = [part for part in beside if part.height]
        extra = pl.concat(rows, how="diagonal_relaxed") if rows else None
        write_frames(self.store, self.scope, {self.definition.key: frame}, replace(self.options, beside=extra))

    # -- what is given -------------------------------------------------------------------------------------------------

    def _children(self, children: Any) -> pl.DataFrame:
        frame = collect_to_polars(given_frame(children, f"the frame for feature {self.definition.key}", collect=True))
        if frame.height:
            refuse_missing_ids(self.definition, frame.columns)
        return frame

    def _table(self, children: pl.DataFrame) -> "_Children":
        found = find_or_none(self.store, self.definition.key, allow_fallback=self.store.overlays)
        return _Children.build(self, found.checked() if found else None, children)

    def _refuse_strays(self, table: "_Children", names: pl.DataFrame) -> None:
        strays = names.join(table.parents, on=self.keys, how="anti").select(self.keys).unique()
        if strays.height:
            raise MetadataSchemaError(
                f"feature {self.definition.key}: the frame has children of {strays.height} parents that are not among "
                f"those replaced, for example of {_shown(strays.row(0, named=True))}; pass these parents, too"
            )

    def _refuse_written_past(self, stored: pl.DataFrame, since: datetime) -> None:
        """Refuse to let go of children that were just written, as by `write` of the store itself."""
        late = stored.filter(pl.col(c.METAXY_DELETED_AT).is_null() & (pl.col(c.METAXY_UPDATED_AT).cast(MOMENT) > since))
        if late.height:
            child = _shown(late.select(self.definition.spec.id_columns).row(0, named=True))
            raise MetadataSchemaError(
                f"feature {self.definition.key}: {late.height} children were written since their replacement began, "
                f"but not by it, for example {child}; write them by `write` of what `store.replacing` yields"
            )


@dataclass(frozen=True)
class _Children:
    """The children that parents have in a store; all frames have IDs of the types of its table."""

    given: Replacement
    found: StoredTable | None
    schema: nw.Schema
    parents: pl.DataFrame

    @classmethod
    def build(cls, given: Replacement, found: StoredTable | None, children: pl.DataFrame) -> "_Children":
        """Bring the parents to the types of the table or, where there is none, to those of the children."""
        known = {**given.parents.schema, **declared_types(given.definition), **children.schema}
        known = {name: dtype for name, dtype in known.items() if dtype != pl.Null}
        schema = found.scan.schema if found else nw.Schema.from_polars(pl.Schema(known))
        for name in given.own:
            if name not in schema:
                raise MetadataSchemaError(
                    f"feature {given.definition.key}: nothing says of which type its ID column {name!r} is; pass an "
                    "empty frame that has it"
                )
        names = as_names(nw.from_native(given.parents), given.parents.columns, schema, _what(given.definition))
        return cls(given, found, schema, collect_to_polars(names))

    @property
    def ids(self) -> list[str]:
        """All IDs of a child."""
        return list(self.given.definition.spec.id_columns)

    @property
    def is_marker(self) -> pl.Expr:
        """Tells markers from children that were deleted."""
        return pl.col(c.METAXY_DELETED_AT).is_not_null() & pl.all_horizontal(pl.col(self.given.own).is_null())

    def types(self, names: Sequence[str]) -> dict[str, pl.DataType]:
        """Return the Polars types of some columns."""
        texts = (pl.Enum, pl.Categorical)
        types = {name: self.schema.to_polars()[name] for name in names}
        return {name: pl.String() if isinstance(dtype, texts) else dtype for name, dtype in types.items()}

    def names(self, children: pl.DataFrame) -> pl.DataFrame:
        """Return the IDs of children, those of equal rows repeatedly."""
        if not children.height:
            return pl.DataFrame(schema=self.types(self.ids))
        what = f"the frame for feature {self.given.definition.key}"
        return collect_to_polars(with_types(nw.from_native(children), self.ids, self.schema, what))

    def stored(self, names: pl.DataFrame) -> pl.DataFrame:
        """Read what is known of the children of the parents that are not among these, of deleted ones and markers too.

        Of those among them the write itself sees to it that it is later.
        """
        columns = [*self.ids, c.METAXY_PROVENANCE, c.METAXY_UPDATED_AT, c.METAXY_DELETED_AT]
        if self.found is None:
            return pl.DataFrame(schema={**self.types(self.ids), **dict.fromkeys(columns[-2:], MOMENT)}).with_columns(
                pl.lit(None, pl.String).alias(c.METAXY_PROVENANCE)
            )
        present = [name for name in columns if name in self.schema]
        rows = self._rows(present, View(), self.parents.select(self.given.keys), names)
        return rows.with_columns(pl.lit(None, MOMENT).alias(n) for n in columns if n not in present)

    def _rows(
        self, columns: Sequence[str], view: View, wanted: pl.DataFrame, without: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """Read the latest rows of what is wanted, which says so by the columns that it has, without some children."""
        assert self.found is not None  # noqa: S101 - asked only where there is a table
        found, version = self.found, self.given.scope.version(self.given.definition.key)
        latest = Latest(tuple(self.ids), version, include_deleted=True)
        frame = found.scan.frame.join(found.engine.take(nw.from_native(wanted)), on=wanted.columns, how="semi")
        if without is not None and without.height:
            frame = frame.join(found.engine.take(nw.from_native(without)), on=without.columns, how="anti")
        # Whole samples are left out, so that the others need not be brought in order first.
        few = replace(found, scan=replace(found.scan, frame=frame, table=None, row_id=None))
        rows = collect_to_polars(found.engine.latest(few.rows(self.ids), latest, columns, view))
        return rows.cast(pl.Schema({name: dtype for name, dtype in self.types(self.ids).items() if name in columns}))

    def moment(self, stored: pl.DataFrame) -> datetime:
        """Return a time that is later than all that happened to these rows, whatever the clocks of others say."""
        now = self.given.store.clock.now()
        times = stored.select(pl.coalesce(c.METAXY_DELETED_AT, c.METAXY_UPDATED_AT).cast(MOMENT).max()).item()
        return now if times is None or times < now else times + timedelta(microseconds=1)

    def tombstones(self, stored: pl.DataFrame, moment: datetime, children: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of those children that live, as deleted ones."""
        gone = stored.filter(pl.col(c.METAXY_DELETED_AT).is_null())
        if not gone.height:
            return pl.DataFrame()
        columns = [name for name in self.schema if name not in c.STRAY_COLUMNS and name not in RENEWED]
        rows = self._rows(columns, self._view(children), gone.select(self.ids))
        return rows.with_columns(pl.lit(moment, MOMENT).alias(c.METAXY_DELETED_AT))

    def _view(self, children: pl.DataFrame) -> View:
        """Show versions by field in the form that the children have them in."""
        forms = by_field_forms(nw.Schema.from_polars(children.schema))
        members = tuple(f.key.to_struct_key() for f in self.given.definition.spec.fields)
        kinds = {name: forms[name].form if name in forms else "struct" for name in c.BY_FIELD_COLUMNS}
        return View({name: ByField(kind, members) for name, kind in kinds.items() if name in self.schema}, members)

    def markers(self, parents: pl.DataFrame, provenance: str | None, moment: datetime) -> pl.DataFrame:
        """Make a marker for each of these parents, with this provenance or its own."""
        own = {name: pl.lit(None, dtype) for name, dtype in self.types(self.given.own).items()}
        text = pl.col(c.METAXY_PROVENANCE) if provenance is None else pl.lit(provenance)
        members = [f.key.to_struct_key() for f in self.given.definition.spec.fields]
        return parents.with_columns(
            **own,
            **{c.METAXY_PROVENANCE: text, c.METAXY_DELETED_AT: pl.lit(moment, MOMENT)},
            **{c.METAXY_PROVENANCE_BY_FIELD: pl.struct([pl.lit("").alias(member) for member in members])},
        )


def ids_of_children(scope: Scope, definition: FeatureDefinition) -> tuple[list[str], list[str]]:
    """Return the IDs that a feature shares with its parents, and its own.

    Raises:
        DefinitionError: if it is no expansion.
    """
    plan, ids = scope.graph.get_feature_plan(definition.key), definition.spec.id_columns
    shared = {name for dep in plan.feature_deps for name in plan.get_input_id_columns_for_dep(dep)}
    own = [name for name in ids if name not in shared]
    if not own or not plan.feature.expands:
        raise DefinitionError(
            f"feature {definition.key} is no expansion: no row of a parent has many rows of it, so there is nothing "
            "to replace; write its rows without `replaces`"
        )
    if others := sorted(shared - set(ids)):
        raise DefinitionError(
            f"feature {definition.key} is matched with its parents by {others[0]!r}, which is none of its ID columns; "
            "add it to them to use `replaces`"
        )
    return [name for name in ids if name in shared], own


def _what(definition: FeatureDefinition) -> str:
    return f"the parents that the children of feature {definition.key} replace those of"


def declared_types(definition: FeatureDefinition) -> dict[str, pl.DataType]:
    """Return the types of columns that the feature class declares, where one type of Polars is meant."""
    kinds = {column.name: {kind.name for kind in column.annotation.kinds} for column in definition.declared_columns}
    return {name: TYPES[kind] for name, found in kinds.items() if len(found) == 1 for kind in found if kind in TYPES}


def _shown(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in row.items())
