"""Computing one feature by its function, for faces that run one at a time: what was done, and what is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import narwhals as nw

from metaxy._lazy import resolve
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.errors import FeatureNotFoundError
from metaxy.process.registry import Computed
from metaxy.service.failures import configured_secrets
from metaxy.service.parts import WHOLE, Conditions, Part, options_of, within
from metaxy.service.project import Project
from metaxy.service.row_errors import SampleError, errors, failed_again
from metaxy.store.request import Filters, ProcessArguments, UpdateOptions, UpdateRequest, as_filters
from metaxy.store.resolving import Resolution
from metaxy.store.store import MetadataStore
from metaxy.versioning.expressions import both
from metaxy.versioning.frames import collect_to_polars, count_lazy_rows
from metaxy.workers.report import SHOWN_ERRORS, ProcessReport

__all__ = ["SHOWN_ERRORS", "Computation", "Needs", "Part", "ProcessArguments", "ProcessReport", "Target", "is_option"]


@dataclass(frozen=True)
class Computation:
    """What became of a feature: the report of `MetadataStore.process`, and how many samples have lost their parents.

    ``orphaned`` samples are gone if the report says so, else they are still there. ``failed_before`` are those that
    failed in a run before this one as well. ``errors`` are the first errors of samples, as text without secrets.
    """

    report: ProcessReport
    orphaned: int
    failed_before: int = 0
    errors: Sequence[str] = ()

    @property
    def failed_share(self) -> float:
        """Which part of the samples failed, without those that failed before: they say nothing about this run."""
        failed = self.report.failed - self.failed_before
        return failed / (self.report.done + failed) if failed else 0.0


@dataclass(frozen=True)
class Needs:
    """How many samples of a feature are new, stale and orphaned; of the first two, ``failed`` ones are left out.

    Where ``no_input`` is, a parent has no table, and nothing can be said.
    """

    new: int = 0
    stale: int = 0
    orphaned: int = 0
    failed: int = 0
    no_input: str | None = None

    @property
    def in_sync(self) -> bool:
        """Whether the feature has what it should have."""
        return self.no_input is None and not (self.new or self.stale or self.orphaned)


def is_option(name: str) -> bool:
    """Whether `MetadataStore.process` has such an option."""
    return name in ProcessArguments.__annotations__


@dataclass(frozen=True)
class Target:
    """A feature in a store, which may be closed, or a part of it; and what computes it, if that is known."""

    project: Project
    store: MetadataStore
    feature: FeatureKey
    function: Computed | None = None
    part: Part = WHOLE

    def compute(self, **options: Any) -> Computation:
        """Compute what is new and stale by the function; options go before its own.

        Raises:
            ProcessError: as `MetadataStore.process`.
            KeyboardInterrupt: after Ctrl-C, when what was begun is written.
        """
        if self.function is None:
            raise ValueError(f"no function computes feature {self.feature}")
        with self.project.active():
            arguments = self._arguments(options)
            accept = partial(within, self.part) if self.part else None
            report: ProcessReport = resolve("metaxy.store.processing:process")(
                self.store, self.feature, self.function.fn, arguments, accept
            )
            with self.store:
                run = arguments.get("materialization_id")
                before = failed_again(self.store, self.feature, run) if report.failed else 0
                orphaned = self._orphaned(arguments) if report.orphaned is None else report.orphaned
            shown = tuple(configured_secrets().hide(str(error)) for error in report.errors[:SHOWN_ERRORS])
            return Computation(report, orphaned, before, shown)

    def _orphaned(self, arguments: Mapping[str, Any]) -> int:
        increment = self.store.resolve_update(self.feature, lazy=True, **_of_update(arguments))
        return count_lazy_rows(increment.orphaned)

    def needs(self, **options: Any) -> Needs | None:
        """Count what is left to do, by one statement; None for a root of which nothing says what it should have.

        Args:
            options: of `MetadataStore.resolve_update`, such as ``max_attempts``.
        """
        with self.project.active(), self.store:
            try:
                return self._needs(_of_update(self._arguments(options)))
            except FeatureNotFoundError as error:
                return Needs(no_input=str(error))

    def parts_in_need(self, parts: Mapping[str, Conditions], **options: Any) -> list[str]:
        """Return the names of those parts that have new or stale samples, by one statement for each of the two kinds.

        Raises:
            MetadataSchemaError: if samples do not have the columns that conditions name.
        """
        with self.project.active(), self.store:
            asked = _of_update(self._arguments(options))
            increment = self.store.resolve_update(self.feature, lazy=True, **asked)
            counts = [_count_parts(frame, list(parts.values())) for frame in (increment.new, increment.stale)]
        return [name for name, *found in zip(parts, *counts, strict=True) if any(found)]

    def errors(self) -> list[SampleError]:
        """Return the errors of samples that count, each of the last attempt."""
        with self.project.active():
            return errors(self.project.with_store(self.store), [str(self.feature)])

    @cached_property
    def _own(self) -> Mapping[str, Any]:
        """The options of the function; samples are listed once for all that is asked."""
        return self.function.arguments() if self.function else {}

    def _needs(self, asked: Mapping[str, Any]) -> Needs | None:
        if asked.get("samples") is not None:
            counts = self.store.resolve_update(self.feature, **asked).counts
            return Needs(counts["new"], counts["stale"], counts["orphaned"], counts.get("failed", 0))
        scope = self.store.session.scope("r")
        plan = scope.graph.get_feature_plan(self.feature)
        if not plan.feature_deps:
            return None
        options = {"versioning_engine": self.store.versioning_engine, **asked}
        tally = Resolution.of(self.store, scope, plan, UpdateRequest.build(plan, **options)).tally()
        return Needs(tally.new, tally.stale, tally.orphaned, tally.failed)

    def _arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the function with those that are given, for the part that is meant."""
        arguments = {**self._own, **options}
        if self.part:
            with self.store:
                of_part = options_of(self.store, self.feature, self.part, arguments.get("samples"))
            target = [*as_filters(arguments.get("target_filters")), *of_part.get("target_filters", ())]
            arguments |= {"filters": _both(arguments.get("filters"), of_part.get("filters")), "target_filters": target}
        return arguments


def _of_update(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments of `MetadataStore.process` that are for `MetadataStore.resolve_update`."""
    asked = {name: value for name, value in arguments.items() if name in UpdateOptions.__annotations__}
    return {"payload": "ignore", **asked}


def _count_parts(frame: nw.LazyFrame[Any], parts: Sequence[Conditions]) -> Sequence[int]:
    """Count the rows of each part."""
    types = frame.collect_schema()
    conditions = [both(nw.lit(value=True), *part(types)) for part in parts]
    counts = [nw.when(each).then(1).otherwise(0).sum().alias(f"part{n}") for n, each in enumerate(conditions)]
    return [count or 0 for count in collect_to_polars(frame.select(*counts)).row(0)] if parts else []


def _both(
    one: Mapping[Any, Filters] | None, other: Mapping[FeatureKey, Filters] | None
) -> dict[FeatureKey, list[nw.Expr]]:
    """Return the conditions of both on each feature."""
    joint: dict[FeatureKey, list[nw.Expr]] = {}
    for feature, filters in [*(one or {}).items(), *(other or {}).items()]:
        joint.setdefault(coerce_to_feature_key(feature), []).extend(as_filters(filters))
    return joint
