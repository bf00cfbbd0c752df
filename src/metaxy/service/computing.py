"""Computing one feature by its function, for faces that run one at a time: what was done, and what is left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaxy.definitions.keys import FeatureKey
from metaxy.process.registry import Computed
from metaxy.service.project import Project
from metaxy.store.request import ProcessArguments, UpdateOptions
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import count_lazy_rows
from metaxy.workers.report import ProcessReport, SampleError

__all__ = ["Computation", "ProcessArguments", "ProcessReport", "SampleError", "compute", "is_option"]


@dataclass(frozen=True)
class Computation:
    """What became of a feature: the report of `MetadataStore.process`, and how many samples have lost their parents.

    ``orphaned`` samples are gone if the report says so, else they are still there.
    """

    report: ProcessReport
    orphaned: int

    @property
    def failed_share(self) -> float:
        """Which part of the samples that were tried failed."""
        tried = self.report.done + self.report.failed
        return self.report.failed / tried if tried else 0.0


def is_option(name: str) -> bool:
    """Whether `MetadataStore.process` has such an option."""
    return name in ProcessArguments.__annotations__


def compute(
    project: Project, store: MetadataStore, feature: FeatureKey, function: Computed, options: Mapping[str, Any]
) -> Computation:
    """Compute what is new and stale of a feature in a store, which may be closed; options go before the function's.

    Raises:
        ProcessError: as `MetadataStore.process`.
        KeyboardInterrupt: after Ctrl-C, when what was begun is written.
    """
    with project.active():
        arguments = {**function.arguments(), **options}
        report = store.process(feature, function.fn, **arguments)
        if report.orphaned is not None:
            return Computation(report, report.orphaned)
        asked = {name: value for name, value in arguments.items() if name in UpdateOptions.__annotations__}
        with store:
            increment = store.resolve_update(feature, lazy=True, **{"payload": "ignore", **asked})
            return Computation(report, count_lazy_rows(increment.orphaned))
