"""One sample: what a store has of it now and had before, why it failed, and its rows in the features around."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from metaxy.columns import METAXY_DELETED_AT, METAXY_UPDATED_AT
from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import FeatureNotFoundError, RequestError
from metaxy.service.browsing import Page, PageColumn, page_of, shown_columns
from metaxy.service.exact_values import Exact, exact, exact_rows, parsed
from metaxy.service.failures import Failure
from metaxy.service.project import Project
from metaxy.service.row_errors import SampleError, errors_of
from metaxy.store.store import MetadataStore
from metaxy.store.system.row_errors import features_with_errors
from metaxy.versioning.frames import collect_to_polars

EARLIER: Final = 100  # rows of a sample that are shown
NEAR: Final = 20  # rows of a feature around


@dataclass(frozen=True)
class Near:
    """Rows of a feature around that have the IDs of a sample, by the ID columns that both have; or an error."""

    feature: str
    ids: Sequence[str]
    columns: Sequence[PageColumn] = ()
    rows: Sequence[Sequence[Exact]] = ()
    more: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Sample:
    """A sample with all columns, those of Metaxy too; values are as `exact_values.exact_rows` returns them.

    ``row`` is its row in the current version of the feature, None if it has none or was deleted; ``earlier`` are its
    other rows, of all versions and those that mark a deletion, newest first, at most 100 of them.
    """

    feature: str
    ids: Sequence[str]
    columns: Sequence[PageColumn]
    row: Sequence[Exact] | None
    earlier: Sequence[Sequence[Exact]]
    errors: Sequence[SampleError]
    parents: Sequence[Near]
    children: Sequence[Near]


def sample(project: Project, feature: str, ids: Mapping[str, Any], *, store: str | None = None) -> Sample:
    """Return a sample by its IDs, which are values as `browsing.page` shows them.

    Raises:
        RequestError: if these are not its ID columns, or no values of their types.
        FeatureNotFoundError: if the feature has no table.
    """
    [key] = project.keys([feature])
    spec = project.graph.get_feature_definition(key).spec
    if set(ids) != set(spec.id_columns):
        message = f"a sample of {key} is named by {', '.join(spec.id_columns)}, not by {', '.join(ids) or 'nothing'}"
        raise RequestError("INVALID_VALUE", message, kind="request")
    with project.store(store) as opened, project.graph.use():
        types = opened.read(key).collect_schema().to_polars()
        named = parsed({name: ids[name] for name in spec.id_columns}, types, f"the sample of {key}")
        columns, row, earlier = _rows(opened, spec, named)
        errors = _errors(opened, key, named)
        parents = [_near(opened, other, pairs, named) for other, pairs in _parents(project, spec)]
        children = [_near(opened, other, pairs, named) for other, pairs in _children(project, spec)]
    return Sample(str(key), spec.id_columns, columns, row, earlier, errors, parents, children)


def _rows(
    store: MetadataStore, spec: FeatureSpec, named: pl.DataFrame
) -> tuple[Sequence[PageColumn], Sequence[Exact] | None, Sequence[Sequence[Exact]]]:
    """Return the columns, the current row, and the others."""
    current = store.read(spec.key, ids=named)
    names = shown_columns(current.columns, spec.id_columns, system_columns=True)
    found = page_of(current, names, spec.id_columns, 1)
    every: Any = {"with_feature_history": True, "with_sample_history": True, "include_soft_deleted": True}
    history: Any = store.read(spec.key, ids=named, **every)
    rows = collect_to_polars(history).select(names)
    event = pl.coalesce(name for name in (METAXY_DELETED_AT, METAXY_UPDATED_AT) if name in names)
    earlier = exact_rows(rows.sort(event, METAXY_UPDATED_AT, descending=True, nulls_last=True).head(EARLIER + 1))
    now = found.rows[0] if found.rows else None
    if now in earlier:
        earlier.remove(list(now or ()))
    return found.columns, now, earlier[:EARLIER]


def _errors(store: MetadataStore, key: FeatureKey, named: pl.DataFrame) -> list[SampleError]:
    """Return all attempts that failed and still count, by the IDs that errors of the feature have."""
    if str(key) not in features_with_errors(store):
        return []
    wanted = named.row(0, named=True)
    found = errors_of(store, str(key), all_attempts=True)
    those = [each for each in found if all(wanted.get(name) == value for name, value in each.ids.items())]
    return [replace(each, ids={name: exact(value) for name, value in each.ids.items()}) for each in those]


# -- features around ---------------------------------------------------------------------------------------------------

Pairs = Mapping[str, str]
"""Columns of a feature around, and the ID columns of the sample that they are equal to."""


def _parents(project: Project, spec: FeatureSpec) -> Iterator[tuple[FeatureSpec, Pairs]]:
    for dep in spec.deps:
        parent = project.graph.get_feature_definition(dep.feature).spec
        names = zip(parent.id_columns, dep.renamed(parent.id_columns), strict=True)
        pairs = {there: here for there, here in names if here in spec.id_columns}
        if _tells_apart(pairs, parent, spec):
            yield parent, pairs


def _children(project: Project, spec: FeatureSpec) -> Iterator[tuple[FeatureSpec, Pairs]]:
    for definition in project.graph.feature_definitions_by_key.values():
        child = definition.spec
        for dep in (dep for dep in child.deps if dep.feature == spec.key):
            names = zip(dep.renamed(spec.id_columns), spec.id_columns, strict=True)
            pairs = {there: here for there, here in names if there in child.id_columns}
            if _tells_apart(pairs, child, spec):
                yield child, pairs


def _tells_apart(pairs: Pairs, there: FeatureSpec, here: FeatureSpec) -> bool:
    """Return whether these are all IDs of one of the two; by some of them, rows of others would be found too."""
    return bool(pairs) and (len(pairs) == len(there.id_columns) or len(pairs) == len(here.id_columns))


def _near(store: MetadataStore, spec: FeatureSpec, pairs: Pairs, named: pl.DataFrame) -> Near:
    ids = named.select(pl.col(here).alias(there) for there, here in pairs.items())
    near = Near(str(spec.key), spec.id_columns)
    try:
        frame = store.read(spec.key, ids=ids)
        names = shown_columns(frame.columns, spec.id_columns, system_columns=False)
        found: Page = page_of(frame, names, spec.id_columns, NEAR)
    except FeatureNotFoundError:
        return near
    except Exception as error:  # a feature around that cannot be read hides nothing else
        return replace(near, error=Failure.of(error).message)
    return replace(near, columns=found.columns, rows=found.rows, more=found.more)
