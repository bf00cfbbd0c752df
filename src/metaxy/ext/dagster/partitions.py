"""Which rows of a feature a run, an input or an output has: those of its partitions, and those of its asset."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import reduce
from operator import and_
from typing import Any, Final, NamedTuple, TypeAlias

import narwhals as nw
from narwhals.dtypes import DType

import dagster as dg
from dagster import AssetExecutionContext, AssetSpec, InputContext, OpExecutionContext, OutputContext
from metaxy.errors import DefinitionError, MetadataSchemaError
from metaxy.ext.dagster.constants import (
    DAGSTER_METAXY_FEATURE_METADATA_KEY,
    DAGSTER_METAXY_PARTITION_KEY,
    DAGSTER_METAXY_PARTITION_METADATA_KEY,
)
from metaxy.ext.dagster.partition_values import PartitionColumn, any_of
from metaxy.ext.dagster.specs import feature_of, plain
from metaxy.service.project import Project
from metaxy.wording import did_you_mean

Types: TypeAlias = Mapping[str, DType]
Definition: TypeAlias = dg.PartitionsDefinition[Any]
SHOWN: Final = 3  # rows in a message
TYPES: Final[Types] = {"str": nw.String(), "int": nw.Int64(), "bool": nw.Boolean(), "date": nw.Date()}


class Partitions(NamedTuple):
    """Some partitions of an asset: their keys, None for all that there are, and what defines them."""

    keys: Sequence[str] | None = None
    definition: Definition | None = None

    @classmethod
    def of(
        cls,
        context: AssetExecutionContext | OpExecutionContext | InputContext | OutputContext,
        spec: AssetSpec | None = None,
    ) -> "Partitions":
        """Return those of a run; of an input or an output, those that its asset has there."""
        if isinstance(context, (InputContext, OutputContext)):
            subset = context._asset_partitions_subset  # all partitions have no end, and no condition
            if subset is None or type(subset).__name__ == "AllPartitionsSubset":
                return cls()
            return cls(context.asset_partition_keys, context.asset_partitions_def)
        if not context.has_partition_key and not context.has_partition_key_range:
            return cls()
        definition = spec.partitions_def if spec is not None else None
        if definition is None:
            with suppress(dg.DagsterError):  # of an op, or of a function that is called outside of a run
                definition = context.assets_def.partitions_def
        return cls([context.partition_key] if context.has_partition_key else context.partition_keys, definition)


EVERYTHING: Final = Partitions()


def conditions(
    metadata: Mapping[str, Any], partitions: Partitions = EVERYTHING, types: Types | None = None
) -> list[nw.Expr]:
    """Return the conditions on the rows of an asset: those of partitions, and those of ``metaxy/partition``.

    Args:
        metadata: the metadata of the asset.
        partitions: which of its partitions are meant.
        types: the types of columns, such as the schema of a frame; without, keys are compared as they are.

    Raises:
        DefinitionError: if ``partition_by`` or ``metaxy/partition`` do not say what they must.
        MetadataSchemaError: if there is no such column, or keys cannot be its values.
    """
    columns, where = partition_columns(metadata, partitions.definition), _where(metadata)
    by_key = [] if partitions.keys is None or not columns else [_of_keys(partitions, columns, types, where)]
    fixed = fixed_values(metadata).items()
    return [*by_key, *(_column(name, types, where).among(values) for name, values in fixed)]


def columns_of(metadata: Mapping[str, Any], partitions: Partitions = EVERYTHING) -> list[str]:
    """Return the columns that `conditions` look at."""
    by_key = () if partitions.keys is None else partition_columns(metadata, partitions.definition).values()
    return list(dict.fromkeys([*by_key, *fixed_values(metadata)]))


def partition_columns(metadata: Mapping[str, Any], definition: Definition | None = None) -> dict[str | None, str]:
    """Return the column of each dimension, as ``partition_by`` says; a dimension that is the only one has no name.

    Raises:
        DefinitionError: if a dimension has no column, or a column is named for a dimension that is not there.
    """
    given, where = plain(metadata.get(DAGSTER_METAXY_PARTITION_KEY)), _where(metadata)
    if given is None:
        return {}
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return _columns_of_dimensions(given, [each.name for each in definition.partitions_defs], where)
    if isinstance(given, str):
        return {None: given}
    if isinstance(given, Mapping) and definition is None:
        return dict(given)
    raise DefinitionError(f'{where}: partition_by is the name of a column, such as "day", not {given!r}')


def _columns_of_dimensions(given: Any, dimensions: Sequence[str], where: str) -> dict[str | None, str]:
    example = "{" + ", ".join(f'"{name}": "<column>"' for name in dimensions) + "}"
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{where}: its partitions have dimensions; let partition_by be {example}, not {given!r}")
    for name in given:
        if name not in dimensions:
            hint = did_you_mean(str(name), dimensions)
            raise DefinitionError(
                f"{where}: no dimension of partitions is {name!r}.{hint} Let partition_by be {example}"
            )
    if missing := [name for name in dimensions if name not in given]:
        raise DefinitionError(f"{where}: partition_by has no column for {', '.join(missing)}; let it be {example}")
    return dict(given)


def fixed_values(metadata: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what ``metaxy/partition`` says: the values that each of some columns may have."""
    given = plain(metadata.get(DAGSTER_METAXY_PARTITION_METADATA_KEY))
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DefinitionError(f'{_where(metadata)}: metaxy/partition is such as {{"column": "value"}}, not {given!r}')
    return {name: list(value) if isinstance(value, (list, tuple, set)) else [value] for name, value in given.items()}


def _of_keys(partitions: Partitions, columns: Mapping[str | None, str], types: Types | None, where: str) -> nw.Expr:
    keys, definition = list(partitions.keys or ()), partitions.definition
    if None in columns or not keys:
        return _column(next(iter(columns.values())), types, where).among(keys, definition)
    return _of_pairs([_by_dimension(key, definition, where) for key in keys], definition, columns, types, where)


def _by_dimension(key: str, definition: Definition | None, where: str) -> Mapping[str, str]:
    if isinstance(definition, dg.MultiPartitionsDefinition) and not isinstance(key, dg.MultiPartitionKey):
        key = definition.get_partition_key_from_str(key)
    if not isinstance(key, dg.MultiPartitionKey):
        raise DefinitionError(f"{where}: partition key {key!r} has no dimensions, and partition_by names some")
    return key.keys_by_dimension


def _of_pairs(
    keys: Sequence[Mapping[str, str]],
    definition: Definition | None,
    columns: Mapping[str | None, str],
    types: Types | None,
    where: str,
) -> nw.Expr:
    """Return whether a row has one of some pairs, for partitions have two dimensions; there need not be all pairs."""
    known = {each.name: each.partitions_def for each in getattr(definition, "partitions_defs", ())}
    first, second = keys[0]

    def among(dimension: Any, values: Sequence[str]) -> nw.Expr:
        return _column(columns[dimension], types, where).among(values, known.get(dimension))

    seconds: dict[str, set[str]] = {}
    for key in keys:
        seconds.setdefault(key[first], set()).add(key[second])
    alike: dict[frozenset[str], list[str]] = {}
    for value, rest in seconds.items():
        alike.setdefault(frozenset(rest), []).append(value)
    return any_of(among(first, values) & among(second, sorted(rest)) for rest, values in alike.items())


def _column(name: str, types: Types | None, where: str) -> PartitionColumn:
    if types is None or name in types:
        return PartitionColumn(name, None if types is None else types[name], where)
    raise MetadataSchemaError(
        f"{where}: rows have no column {name!r}, by which its partitions are told apart.{did_you_mean(name, types)} "
        "Write rows that have it, or name another column as partition_by or in metaxy/partition"
    )


def _where(metadata: Mapping[str, Any]) -> str:
    return f"asset of feature {plain(metadata.get(DAGSTER_METAXY_FEATURE_METADATA_KEY))}"


# -- as metaxy 0.1 had them -------------------------------------------------------------------------------------------


def get_partition_filter(
    context: AssetExecutionContext | OpExecutionContext, spec: AssetSpec, *, types: Types | None = None
) -> list[nw.Expr]:
    """Return the condition on rows of the run's partitions, nothing if the run or the asset has none.

    Args:
        types: types of columns, such as ``store.read(feature).collect_schema()``; those that the class of the feature
            declares by default, without which keys are compared as texts.

    Raises:
        MetadataSchemaError: if keys cannot be values of the column, or it holds times and ``types`` are not given.
    """
    partitions = Partitions.of(context, spec)
    metadata = {**spec.metadata, DAGSTER_METAXY_PARTITION_METADATA_KEY: None}
    if types is not None or partitions.keys is None:
        return conditions(metadata, partitions, types)
    declared = _declared(spec)
    columns = partition_columns(metadata, partitions.definition).values()
    for name in columns:
        if declared.get(name) == "datetime":
            raise MetadataSchemaError(
                f"{_where(metadata)}: column {name!r} holds times, and nothing says in which zone; pass types, such as "
                "store.read(feature).collect_schema()"
            )
    known = {name: TYPES[declared[name]] for name in columns if declared.get(name) in TYPES}
    return conditions(metadata, partitions, known if known.keys() >= set(columns) else None)


def _declared(spec: AssetSpec) -> dict[str, str]:
    """Return the type of each column for which the class of the feature declares one."""
    key = feature_of(spec)
    definition = Project.loaded().graph.feature_definitions_by_key.get(key) if key else None
    kinds = {column.name: column.annotation.kinds for column in definition.declared_columns} if definition else {}
    return {name: found[0].name for name, found in kinds.items() if len(found) == 1}


def build_partition_filter(partition_col: str | None, partition_key: str | None) -> list[nw.Expr]:
    """Return the condition that a column is a partition key as it is, nothing if there is no column or key.

    >>> len(build_partition_filter("day", "2026-01-01")), build_partition_filter("day", None)
    (1, [])
    """
    return [] if partition_col is None or partition_key is None else [nw.col(partition_col) == partition_key]


def build_metaxy_partition_filter(
    partition_metadata: Mapping[str, Any] | None, *, types: Types | None = None
) -> list[nw.Expr]:
    """Return the conditions that ``metaxy/partition`` says: a value for each column, or a list of values.

    >>> len(build_metaxy_partition_filter({"camera": ["left", "right"], "year": 2026}))
    2
    """
    return conditions({DAGSTER_METAXY_PARTITION_METADATA_KEY: partition_metadata}, types=types)


def build_partition_filter_from_input_context(context: InputContext, *, types: Types | None = None) -> list[nw.Expr]:
    """Return the conditions on rows of an input: of the partitions that it has in this run, and of its asset."""
    upstream = context.upstream_output
    return conditions(upstream.definition_metadata if upstream else {}, Partitions.of(context), types)


# -- rows of other partitions ------------------------------------------------------------------------------------------


def refuse_other_rows(frame: Any, wanted: Sequence[nw.Expr], columns: Sequence[str], where: str) -> None:
    """Raise an error that names rows which do not fulfil all conditions.

    Args:
        frame: any dataframe of Narwhals.
        columns: which columns name a row: IDs, and those of partitions.

    Raises:
        MetadataSchemaError: if there are such rows.
    """
    if not wanted:
        return
    holds = reduce(and_, wanted)
    others = frame.filter(~holds | holds.is_null()).select(*columns)
    first = others.head(SHOWN + 1).lazy().collect("polars").rows(named=True)
    if first:
        shown = "; ".join(", ".join(f"{name} = {value}" for name, value in row.items()) for row in first[:SHOWN])
        more = "; …" if len(first) > SHOWN else ""
        raise MetadataSchemaError(
            f"{where}: rows are of other partitions than those of this run, so the frame that has them is not written: "
            f"{shown}{more}. Return only rows of context.partition_keys, or name another column as partition_by"
        )
