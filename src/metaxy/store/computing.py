"""The verbs of a store about computing: calling a function for what changed, and remembering where it failed."""

from typing import TYPE_CHECKING, Any

import narwhals as nw
from typing_extensions import Unpack

from metaxy._lazy import resolve
from metaxy.store.external import sync_external_features
from metaxy.store.facts import StoreFacts
from metaxy.store.request import ProcessArguments
from metaxy.store.row_errors import errors_of, errors_of_all
from metaxy.store.system.row_errors import record

if TYPE_CHECKING:
    from metaxy.workers.report import ProcessReport


class StoreComputing(StoreFacts):
    """Calls functions for what `MetadataStore.resolve_update` finds, and keeps their errors."""

    def process(self, feature: Any, fn: Any, **options: Unpack[ProcessArguments]) -> "ProcessReport":
        """Compute what is new and stale of a feature by a function, and write it batch by batch.

        What was written stays so: after a crash, or Ctrl-C, the next call goes on where this one ended. The store may
        be closed, and is then opened only to look up what is to be computed, and to write.

        Frames: what the function takes are the columns of `resolve_update`, without versions; what it returns are the
        same samples with the columns to store. IDs may be left out where rows are returned in order.

        Args:
            feature: anything that names a feature.
            fn: takes one row as a dict, a list of such rows, or a frame, as its first parameter is annotated, and
                returns the same kind. For an expansion, it returns several rows per row. It may be async, or yield.
            batch_size: samples per call of a function that takes several, 1,000 by default. For others, as many as are
                handed to a worker at once; by default, as many as take about half a second.
            workers: how many calls run at once.
            executor: ``thread``; ``process``, for functions that compute in Python; or ``async``, the default for
                async functions.
            retries: how often a call that raises is tried again.
            timeout: seconds after which a call has failed.
            on_error: ``record`` errors, as `record_errors` does, and go on; or ``raise``, which ends the run at the
                first sample that fails, after what was begun is written.
            limit: at most so many samples.
            progress: whether to show it: a bar on a terminal, lines elsewhere. Or a function that is told
                such a line now and then, such as that of a logger.
            rows: what the function takes: ``one``, ``many`` or ``frame``.
            first: whether ``new`` or ``stale`` samples are computed first.
            order_by: columns of the samples by which each kind is ordered.
            orphaned: ``soft_delete`` or ``delete`` samples whose parents are gone as well, as `delete_orphaned` does.
            materialization_id: id of this run, which rows get.
            data_version: versions of results, as for `MetadataStore.write`: a column that has them, or a function of a
                frame of results. Where they are equal, what was made of a sample before is not stale.
            claim: share the samples with other processes that do so at the same time: each is computed by one of them.
                The run ends when all that is left is held by others. See `claim`.
            lease: after which time without a sign of life other processes may take what this one has claimed.
            options: what else `resolve_update` takes: ``samples``, ``filters``, ``ids``…

        Raises:
            ProcessError: if a sample fails and errors are not recorded, or results cannot be written.
            InvalidConfigError: if samples are to be claimed, and the store cannot keep claims.
            KeyboardInterrupt: after Ctrl-C, when what was begun is written.
        """
        report: ProcessReport = resolve("metaxy.store.processing:process")(self, feature, fn, options)
        return report

    def record_errors(self, feature: Any, frame: Any) -> None:
        """Remember that samples could not be computed, until they are written or their inputs change.

        Frames: IDs (those of the parent in an expansion) and ``metaxy_provenance``, as samples of `resolve_update` have
        them, ``error_type``, ``error_message`` and, if there is one, ``run_id`` → the system table
        ``metaxy-system/row_errors``. The store counts attempts, cuts messages to one line of 500 characters, and hides
        secrets in them.

        Args:
            feature: anything that names a feature.
            frame: one row for each sample that failed; other columns are not kept.

        Raises:
            MetadataSchemaError: if columns are missing, or IDs or versions NULL.
        """
        scope = self.session.scope("w")
        record(self, scope, scope.graph.get_feature_plan(feature), frame)

    def read_errors(self, feature: Any = None, *, all_attempts: bool = False) -> nw.DataFrame[Any]:
        """Return the errors of samples that count: the samples were not written since, and their inputs are the same.

        Frames: → IDs, typed like those of the feature, or for all features ``feature_key`` and ``ids`` (JSON); then
        ``attempt``, ``error_type``, ``error_message``, ``recorded_at`` (UTC), ``run_id``, ``metaxy_provenance`` and
        ``metaxy_feature_version``. An ID of such a name makes it begin with ``error_``.

        Args:
            feature: anything that names a feature; all features of the graph by default.
            all_attempts: one row per attempt, instead of the last one of each sample with the number of attempts.
        """
        scope = self.session.scope("r")
        if scope.needs_sync:
            sync_external_features(self)
        if feature is None:
            return nw.from_native(errors_of_all(self, scope, all_attempts=all_attempts))
        plan = scope.graph.get_feature_plan(feature)
        return nw.from_native(errors_of(self, scope, plan, all_attempts=all_attempts))
