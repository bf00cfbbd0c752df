"""Ops that look after rows: delete, rebase, optimize, copy. Each counts, and can be tried without a change."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import dagster as dg
from dagster import OpExecutionContext
from metaxy.ext.dagster.resources import project_of
from metaxy.service import maintenance
from metaxy.service.maintenance import Outcome
from metaxy.service.project import Project

STORE: Final = "metaxy_store"
FEATURE: Final = dg.ScalarUnion(scalar_type=str, non_scalar_schema=[str])


def _field(config: Any, description: str, **default: Any) -> dg.Field:
    return dg.Field(config, description=description, **default, is_required=not default)


_FEATURE: Final = _field(FEATURE, "Key of the feature: its parts, or a/b.")
_FEATURES: Final = _field(
    dg.Noneable([str]), "Keys of features, such as a/b; all that the store has by default.", default_value=None
)
_FILTERS: Final = "Conditions that all hold of the rows, such as \"status = 'inactive'\"."
_DRY_RUN: Final = _field(bool, "Only count what would be done.", default_value=False)


@dg.op(
    required_resource_keys={STORE},
    config_schema={
        "feature_key": _FEATURE,
        "filters": _field([str], _FILTERS),
        "soft": _field(dg.Noneable(bool), "Hide the rows, instead of removing them for good.", default_value=True),
        "dry_run": _DRY_RUN,
    },
)
def delete(context: OpExecutionContext) -> int:
    """Delete the samples of a feature that fulfil all filters; how many rows is its result, and in its metadata."""
    config = context.op_config
    if not config["filters"]:
        raise dg.Failure("filters are empty, so nothing says what to delete: give conditions, or 'TRUE' for all rows")
    soft = config["soft"] is not False
    options = {"filters": config["filters"], "soft": soft, "dry_run": config["dry_run"]}
    with _project(context) as project:
        return _counted(context, maintenance.delete(project, [_key(config)], **options), {"metaxy/soft": soft})


@dg.op(
    required_resource_keys={STORE},
    config_schema={
        "feature_keys": _FEATURES,
        "keep_days": _field(float, "For how many days what was replaced is kept, for readers.", default_value=7.0),
        "dry_run": _DRY_RUN,
    },
)
def optimize(context: OpExecutionContext) -> int:
    """Make the tables of features quick to read again, as `MetadataStore.optimize` does; its result are their rows."""
    config = context.op_config
    keep = timedelta(days=config["keep_days"])
    with _project(context) as project:
        outcomes = maintenance.optimize(project, config["feature_keys"], keep=keep, dry_run=config["dry_run"])
        return _counted(context, outcomes)


@dg.op(
    required_resource_keys={STORE},
    config_schema={
        "feature_key": _FEATURE,
        "from_version": _field(str, "The feature version that the rows have."),
        "to_version": _field(dg.Noneable(str), "Which they get; the current one by default.", default_value=None),
        "same_inputs": _field(bool, "Only rows that were made from what is there now.", default_value=False),
        "dry_run": _DRY_RUN,
    },
)
def rebase(context: OpExecutionContext) -> int:
    """Give rows of one version of a feature those of another, where they are still right; its result is how many."""
    config = context.op_config
    with _project(context) as project:
        done = maintenance.rebase(
            project,
            _key(config),
            from_version=config["from_version"],
            to_version=config["to_version"],
            same_inputs=config["same_inputs"],
            dry_run=config["dry_run"],
        )
    return _told(context, done.rows, {"metaxy/left_out": done.left_out, "metaxy/already_there": done.already_there})


@dg.op(
    config_schema={
        "feature_keys": _FEATURES,
        "source": _field(str, "Name of the configured store that has the rows."),
        "target": _field(str, "Name of the configured store that gets them."),
        "filters": _field([str], _FILTERS, default_value=[]),
        "with_feature_history": _field(bool, "Rows of all versions of features.", default_value=True),
        "with_sample_history": _field(bool, "All rows of samples, and not only the latest.", default_value=False),
        "dry_run": _DRY_RUN,
    },
)
def copy(context: OpExecutionContext) -> int:
    """Copy rows of features from one store to another, as they are; its result is how many were not there yet."""
    config = dict(context.op_config)
    project = Project.loaded()
    with project.active():
        done = maintenance.copy(project, config.pop("feature_keys"), **config)
    metadata = {"metaxy/features": done.features, "metaxy/left_out": list(done.left_out), "metaxy/source": done.source}
    return _told(context, done.rows, metadata)


@contextmanager
def _project(context: OpExecutionContext) -> Iterator[Project]:
    """Make the project of the store active, in whatever thread Dagster runs the op."""
    store = getattr(context.resources, STORE)
    project = project_of(store).with_store(store)
    with project.active():
        yield project


def _key(config: Mapping[str, Any]) -> str:
    key = config["feature_key"]
    return key if isinstance(key, str) else "/".join(key)


def _counted(context: OpExecutionContext, outcomes: Iterable[Outcome], metadata: Mapping[str, Any] = {}) -> int:
    """Do what is to be done to each feature, and say so; where it fails, the others are still done."""
    done, failures = {}, []
    for outcome in outcomes:
        if outcome.failure is None:
            context.log.info(f"feature {outcome.feature}: {outcome.rows:,} rows")
            done[outcome.feature] = outcome.rows
        else:
            where, message = f"feature {outcome.feature}: ", outcome.failure.message
            failures.append(where + message.removeprefix(where))
    if failures:
        raise dg.Failure("; ".join(failures), metadata={"metaxy/rows_by_feature": done})
    return _told(context, sum(done.values()), {**metadata, "metaxy/rows_by_feature": done})


def _told(context: OpExecutionContext, rows: int, metadata: Mapping[str, Any]) -> int:
    dry_run = context.op_config["dry_run"]
    context.add_output_metadata({"metaxy/rows": rows, "metaxy/dry_run": dry_run, **metadata})
    context.log.info(f"{rows:,} rows" + (" would be, as this is a dry run" if dry_run else ""))
    return rows
