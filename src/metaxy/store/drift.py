"""The warning about samples whose versions are equal to what is stored, but whose payload is not."""

from typing import Any

import polars as pl

from metaxy.dag.plan import FeaturePlan
from metaxy.errors import DriftedSamplesWarning, warn_user
from metaxy.versioning.payload import differs_polars
from metaxy.versioning.recipe import DRIFTED, Pair, Recipe

LONGEST = 80  # characters of a value that is shown


def warn_of_drift(recipe: Recipe, flat: Any) -> None:
    """Warn of the drifted samples among flat rows: how many differ in which column, one of them, and what to do."""
    rows = pl.DataFrame(flat).filter(pl.col("status") == DRIFTED)
    differ = {pair: rows.select(differs_polars(pair, rows.schema)).to_series() for pair in recipe.pairs}
    counts = {pair: int(found.sum()) for pair, found in differ.items() if found.any()}
    columns = ", ".join(f"{pair.name} in {count}" for pair, count in counts.items())
    first = next(iter(counts), None)
    example = "" if first is None else f" ({columns}), such as {_example(recipe, first, rows.filter(differ[first]))}"
    warn_user(
        f"feature {recipe.feature}: {_said(recipe, rows.height)}{example}; {_advice(recipe)}", DriftedSamplesWarning
    )


def looks_at_copies(plan: FeaturePlan) -> bool:
    """Return whether a feature may be asked for older copies: each comes from one row, unless many make one sample."""
    return not any(dep.aggregates for dep in plan.feature_deps)


def warn_of_aggregation(plan: FeaturePlan, payload: str) -> None:
    """Warn of a question about copies that has no answer."""
    if payload == "ignore" or looks_at_copies(plan) or not any(dep.select for dep in plan.feature_deps):
        return
    warn_user(
        f"feature {plan.feature.key}: payload={payload!r} finds no samples that are behind, as an aggregation makes "
        "one of many rows, which may hold several values; leave it out, or make what matters a field of the parent",
        DriftedSamplesWarning,
    )


def _said(recipe: Recipe, count: int) -> str:
    if recipe.inputs:
        return f"{count} samples have older values of columns of their parents"
    return f"{count} samples have the versions that are stored, but another payload"


def _advice(recipe: Recipe) -> str:
    if recipe.inputs:
        return "write increment.behind to store the new ones"
    return (
        "write increment.drifted to store it or, if it does not matter, leave these columns out of the samples, or "
        'pass payload="ignore"'
    )


def _example(recipe: Recipe, pair: Pair, rows: pl.DataFrame) -> str:
    sample = ", ".join(f"{name}={_shown(rows[short][0])}" for name, short in recipe.match_by_name.items())
    return f"{sample}, whose {pair.name} is {_shown(rows[pair.expected][0])} and not {_shown(rows[pair.stored][0])}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
