"""An IO manager that hands assets what must be computed of their own feature, and no other rows."""

from contextlib import suppress
from typing import Any, get_args

from dagster._core.execution.plan.outputs import StepOutputHandle
from pydantic import PrivateAttr, field_validator

import dagster as dg
from metaxy.errors import DefinitionError
from metaxy.ext.dagster.io_manager import (
    Destination,
    MetaxyIOManager,
    between_ops,
    feature_of_asset,
    frames_of,
    metadata_of_input,
)
from metaxy.ext.dagster.specs import feature_in
from metaxy.service.asset_increments import AssetIncrement as AssetIncrement
from metaxy.service.asset_increments import Orphaned, chunks_of
from metaxy.wording import did_you_mean


class IncrementalMetaxyIOManager(MetaxyIOManager):
    """Hands an asset the increment of its own feature in place of the rows of a parent, and writes what it returns.

    An asset that takes a parent of its feature gets an `AssetIncrement`: what was new, stale and orphaned of its own
    feature when the run began, of the partitions that the run has. It is kept on disk, so that the asset may read it in
    batches. With several parents, each argument is the same increment. An asset that is no feature, or none of the
    upstream feature's children, gets rows, as by `MetaxyIOManager`.

    Frames: samples as those of `MetadataStore.resolve_update` → the same samples with columns to store, as a frame or
    an iterator of frames. They are written as they come, small ones together; where a run fails, the next one goes
    on. A lazy frame of Polars is written in parts, too.

    Args:
        store: where features are; the default store of the configuration by default.
        orphaned: ``keep``, ``soft_delete`` or ``delete`` samples whose parents are gone, after results are written.
        max_orphaned_share: which part of the feature's samples may go at once; otherwise the run fails, and none goes.
    """

    orphaned: str = "keep"
    max_orphaned_share: float = 0.5
    _given: dict[tuple[str, str], tuple[int, AssetIncrement]] = PrivateAttr(default_factory=dict)

    def __init__(self, **data: Any) -> None:  # type checkers would make one, in which the store is missing
        super().__init__(**data)

    @field_validator("orphaned")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in (allowed := get_args(Orphaned)):
            raise ValueError(
                f"orphaned is {', '.join(map(repr, allowed))}, not {value!r}.{did_you_mean(value, allowed)}"
            )
        return value

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the increment of the asset's own feature or, if that is none of a child, the upstream rows.

        Raises:
            DefinitionError: if the upstream asset is no feature, or several assets are computed at once of it.
        """
        output = None if between_ops(context) else self._output_of_child(context)
        if output is None:
            return super().load_input(context)
        step = context.step_context
        place, attempt = (step.run_id, step.step.key), step.previous_attempt_count
        known = self._given.get(place)
        if known is None or known[0] != attempt:
            destination = Destination.of(self.project, self.own_store, output)
            increment = AssetIncrement.take(self.project, self.own_store, destination.key, destination.part)
            self._given[place] = attempt, increment
            context.log.info(f"feature {destination.key}: {increment!r}")
        return self._given[place][1]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write what an asset returns, delete orphaned samples if that is asked, and tell Dagster all counts.

        Raises:
            TooManyOrphansError: if so many samples are orphaned that it looks like a mistake.
        """
        if between_ops(context) is not None:
            super().handle_output(context, obj)
            return
        place = (context.run_id, context.step_key)
        destination = Destination.of(self.project, self.own_store, context)
        _, increment = self._given.get(place, (0, None))
        if increment is None or increment.feature != destination.key:
            super().handle_output(context, obj)
            return
        with self.project.active():
            chunks = (chunk for frame in frames_of(obj, destination.where) for chunk in chunks_of(frame))
            increment.write(destination.checked(chunk) for chunk in chunks)
            increment.clean(self.orphaned, self.max_orphaned_share)  # type: ignore[arg-type]  # checked above
            counts = {f"metaxy/{name}": count for name, count in increment.counts.items()}
            counts["metaxy/failed"] = increment.failed
            context.add_output_metadata(counts)
            destination.describe(context)
        del self._given[place]
        increment.close()

    def _output_of_child(self, context: dg.InputContext) -> dg.OutputContext | None:
        """Return the output of the step that is a child of the feature of the input, None if there is none."""
        key, found = feature_of_asset(metadata_of_input(context), context), []
        with suppress(dg.DagsterInvariantViolationError):  # outside of a step there is no asset that takes it
            step = context.step_context
            for each in step.step.step_outputs:
                output = step.get_output_context(StepOutputHandle(step.step.key, each.name))
                own = feature_in(output.definition_metadata) if output.has_asset_key else None
                if own is not None and key in self._parents(own):
                    found.append(output)
        if len(found) > 1:
            names = ", ".join(each.asset_key.to_user_string() for each in found)
            raise DefinitionError(
                f"assets {names} are computed by one function of feature {key}, and each has an increment of its own: "
                "write a function for each, or let MetaxyIOManager read the input and call resolve_update"
            )
        return found[0] if found else None

    def _parents(self, key: Any) -> list[Any]:
        return [dep.feature for dep in self.project.graph.get_feature_definition(key).spec.deps]
