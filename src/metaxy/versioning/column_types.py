"""The types of flat columns, for databases that cannot say which types a query returns."""

from collections.abc import Mapping, Sequence

import narwhals as nw

from metaxy.versioning.recipe import Recipe

Types = Mapping[str, nw.dtypes.DType]


def flat_types(recipe: Recipe, inputs: Sequence[Types], current: Types | None) -> dict[str, nw.dtypes.DType]:
    """Return the columns of a recipe's statement, in order, with their types."""
    shorts: dict[str, nw.dtypes.DType] = {}
    for step, types in zip(recipe.inputs, inputs, strict=False):
        for column in step.columns:
            shorts[column.short] = _wider(shorts.get(column.short), types[column.stored])
    if not recipe.inputs:
        shorts = {column.short: inputs[0][column.stored] for column in recipe.output}
    flat: dict[str, nw.dtypes.DType] = {"status": nw.Int32()}
    flat |= {column.short: shorts[column.short] for column in recipe.output}
    flat |= {name: nw.String() for name in (*(f.short for f in recipe.fields), "p")}
    if recipe.current and recipe.compare and current is not None:
        flat |= {column.short: current[column.stored] for column in recipe.current.columns}
    if recipe.earlier:
        flat |= {name: nw.Int32() for name in (*recipe.earlier.flags, "was")}
        flat |= {column.short: (current or {})[column.stored] for column in recipe.earlier.columns}
    return flat


def _wider(known: nw.dtypes.DType | None, other: nw.dtypes.DType) -> nw.dtypes.DType:
    """Return a type for IDs of two parents, which are of one family."""
    if known is None or known == other:
        return other
    if isinstance(other, nw.Decimal):  # as which integers are kept that have no other type
        return other
    return nw.Int64() if known.is_integer() else known
