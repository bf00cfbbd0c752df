"""Whole assets made of functions: a run computes what is new and stale of a feature, and writes it batch by batch."""

import inspect
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from typing_extensions import TypedDict, Unpack

import dagster as dg
from dagster import AssetExecutionContext
from metaxy.definitions.keys import FeatureKey
from metaxy.errors import DefinitionError, DefinitionWarning
from metaxy.ext.dagster.assets import metaxify
from metaxy.ext.dagster.constants import DAGSTER_METAXY_FEATURE_METADATA_KEY
from metaxy.ext.dagster.events import generate_materialize_results
from metaxy.ext.dagster.partitions import Partitions
from metaxy.ext.dagster.specs import asset_key_of, with_prefix
from metaxy.ext.dagster.targets import FeatureAsset
from metaxy.ext.dagster.validating import refuse_keys_without_column
from metaxy.process.registry import Computed, computed
from metaxy.process.registry import computes as register
from metaxy.process.undecorated import Undecorated, undecorated
from metaxy.service.computing import Computation, ProcessArguments, is_option
from metaxy.service.project import Project
from metaxy.wording import did_you_mean

Function = Callable[..., Any]


class AssetOptions(TypedDict, total=False):
    """Arguments of ``dagster.asset`` that an asset of a function takes."""

    name: str
    key: dg.AssetKey | str | Sequence[str]
    key_prefix: str | Sequence[str]
    deps: Iterable[Any]
    metadata: Mapping[str, Any]
    tags: Mapping[str, str]
    description: str
    required_resource_keys: set[str]
    resource_defs: Mapping[str, object]
    hooks: set[dg.HookDefinition]
    io_manager_key: str
    partitions_def: dg.PartitionsDefinition[str]
    op_tags: Mapping[str, Any]
    group_name: str
    automation_condition: dg.AutomationCondition[Any]
    freshness_policy: dg.FreshnessPolicy
    backfill_policy: dg.BackfillPolicy
    retry_policy: dg.RetryPolicy
    code_version: str
    owners: Sequence[str]
    kinds: set[str]
    pool: str


class ComputesOptions(ProcessArguments, AssetOptions, total=False):
    """Arguments of `MetadataStore.process`, and of ``dagster.asset``."""


def computes(
    feature: Any,
    *,
    max_failed_share: float = 0.5,
    store_resource_key: str = "store",
    **options: Unpack[ComputesOptions],
) -> Callable[[Function], dg.AssetsDefinition]:
    """Make an asset of a function that computes a feature: a run computes what is new and stale, and nothing else.

    The function is one for `metaxy.process.run` and `mx run` as well, as if `metaxy.process.computes` decorated it. A
    function that this decorated already keeps its options.

    Frames: as `MetadataStore.process`.

    Args:
        feature: anything that names a feature.
        max_failed_share: a run fails if a larger part of its samples failed: 0 if none may, 1 if all may. Those that
            failed in a run before, too, do not count. Errors are recorded and what was computed is written in any case.
        store_resource_key: the resource that has the store.
        options: those of `MetadataStore.process`, such as ``workers`` or ``orphaned``; ``samples`` of a root feature,
            a frame or a function that returns one for each run; and those of ``dagster.asset``, such as ``group_name``.

    Raises:
        TypeError: if there is no such option.
        ValueError: if ``max_failed_share`` is no share, or partitions have no column.
        UnknownFeatureError: if no such feature is defined yet.
    """
    of_process, of_asset = _split(options)

    def make(fn: Function) -> dg.AssetsDefinition:
        project = Project.loaded()
        key = _key(project, feature)
        function = _registered(key, fn, of_process)
        return Asset(project, key, function, max_failed_share, store_resource_key).definition(of_asset)

    return make


def assets_from_functions(
    functions: Mapping[Any, Any] | None = None,
    *,
    features: Iterable[Any] | None = None,
    max_failed_share: float = 0.5,
    store_resource_key: str = "store",
    **options: Unpack[AssetOptions],
) -> list[dg.AssetsDefinition]:
    """Make an asset of each function that computes a feature of the project, parents before children.

    Args:
        functions: what computes each feature, as for `metaxy.process.run`: those that `metaxy.process.computes` named
            by default.
        features: which features; all that have a function by default.
        max_failed_share: as for `computes`.
        store_resource_key: the resource that has the store.
        options: of ``dagster.asset``, for each of them.

    Raises:
        ValueError: if no function computes one of the features.
        UnknownFeatureError: if one is not defined.
    """
    project = Project.loaded()
    by_key = (
        computed() if functions is None else {_key(project, each): Computed.of(fn) for each, fn in functions.items()}
    )
    keys = list(by_key) if features is None else [_key(project, each) for each in features]
    if missing := [str(key) for key in keys if key not in by_key]:
        message = f"no function computes {', '.join(missing)}: decorate one with @mx.computes, and import its module"
        raise ValueError(f"{message} before its asset is made")
    return [
        Asset(project, key, by_key[key], max_failed_share, store_resource_key).definition(options)
        for key in project.graph.topological_sort_features(keys)
    ]


def _key(project: Project, feature: Any) -> FeatureKey:
    return project.graph.get_feature_definition(feature).key


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell options of `MetadataStore.process` from those of assets."""
    for name in options:
        if name not in ComputesOptions.__annotations__:
            raise TypeError(f"computes has no option {name!r}.{did_you_mean(name, ComputesOptions.__annotations__)}")
    of_process = {name: value for name, value in options.items() if is_option(name)}
    return of_process, {name: value for name, value in options.items() if name not in of_process}


def _registered(key: FeatureKey, fn: Function, options: Mapping[str, Any]) -> Computed:
    """Name a function for a feature, with the options that it has already."""
    known = computed().get(key)
    if known is not None and (known.fn is fn or known.samples is fn):
        given = {} if known.samples is None or known.samples is fn else {"samples": known.samples}
        options = {**known.options, **given, **options}
    # What workers load by its name is the asset.
    loaded = undecorated(fn, options.get("rows")) if options.get("executor") == "process" else fn
    register(key, **options)(loaded)
    return computed()[key]


@dataclass(frozen=True)
class Asset:
    """What the asset of a function is made of."""

    project: Project
    feature: FeatureKey
    function: Computed
    max_failed_share: float
    store_resource_key: str

    def __post_init__(self) -> None:
        if not 0 <= self.max_failed_share <= 1:
            raise ValueError(f"max_failed_share is a share, from 0 to 1, not {self.max_failed_share!r}")

    def definition(self, options: Mapping[str, Any]) -> dg.AssetsDefinition:
        """Return the asset, with options of ``dagster.asset``."""
        given = dict(options)
        named = self._named(given)
        given.setdefault("description", self._documentation())
        given["metadata"] = {**given.get("metadata", {}), DAGSTER_METAXY_FEATURE_METADATA_KEY: str(self.feature)}
        given["required_resource_keys"] = {*given.get("required_resource_keys", ()), self.store_resource_key}

        def run(context: AssetExecutionContext) -> dg.MaterializeResult[Any]:
            return self._run(context)

        key = named["key"] or asset_key_of(self.project, self.feature, named["key_prefix"])  # names its op
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DefinitionWarning)  # what it warns of is an error here
            asset: dg.AssetsDefinition = metaxify(dg.asset(key=key, **given)(run), **named)
        refuse_keys_without_column(asset.get_asset_spec())
        return asset

    def _named(self, options: dict[str, Any]) -> dict[str, Any]:
        """Take out of options what names the asset, in the words of `metaxify`."""
        key, prefix, name = (options.pop(each, None) for each in ("key", "key_prefix", "name"))
        if name is None:
            return {"key": key, "key_prefix": prefix}
        if key is not None:
            raise DefinitionError(
                f"feature {self.feature}: the asset has key={key!r} and name={name!r}: give one of them"
            )
        return {"key": with_prefix(dg.AssetKey(name), prefix), "key_prefix": None}

    def _documentation(self) -> str | None:
        """Return what the function says of itself; without that, the feature speaks."""
        call = getattr(self.function.fn, "call", self.function.fn)
        for fn in (call.fn if isinstance(call, Undecorated) else call, self.function.samples):
            if inspect.isroutine(fn) and fn.__doc__:  # one that takes nothing lists samples
                return inspect.getdoc(fn)
        return None

    def _run(self, context: AssetExecutionContext) -> dg.MaterializeResult[Any]:
        [spec] = context.assets_def.specs
        refuse_keys_without_column(spec)  # partitions may have come later, such as those of a component
        store = getattr(context.resources, self.store_resource_key)
        asset = FeatureAsset(self.project, spec.key, self.feature, spec.metadata, self.function)
        target = asset.target(store, Partitions.of(context, spec))
        with _interruptible():
            done = target.compute(materialization_id=context.run.run_id, progress=context.log.info)
        metadata = metadata_of(done)
        self._log(context, done)
        if done.failed_share > self.max_failed_share:
            raise dg.Failure(self._failed(done), metadata=metadata)
        known = next(generate_materialize_results(context, store, [spec], project=self.project), None)
        if known is None:  # nothing was ever written
            return dg.MaterializeResult(metadata=metadata)
        told = {**metadata, **(known.metadata or {})}  # and no value, which an IO manager would be asked to write
        return dg.MaterializeResult(metadata=told, data_version=known.data_version, tags=known.tags)

    def _log(self, context: AssetExecutionContext, done: Computation) -> None:
        context.log.info(repr(done.report))
        for error in done.errors:
            context.log.error(f"sample {error}")
        if (more := done.report.failed - len(done.errors)) > 0:
            context.log.error(f"{more:,} more samples failed; `mx metadata errors {self.feature}` shows them")

    def _failed(self, done: Computation) -> str:
        report = done.report
        failed = report.failed - done.failed_before
        first = f"; the first is {done.errors[0]}" if done.errors else ""
        return (
            f"feature {self.feature}, function {report.function}: {failed:,} of {failed + report.done:,} samples "
            f"failed that had not failed before, more than max_failed_share={self.max_failed_share:g} allows{first}"
        )


def metadata_of(done: Computation) -> dict[str, Any]:
    """Return what a run did, as metadata of its event."""
    report = done.report
    counts = {
        "new": report.new,
        "stale": report.stale,
        "orphaned": done.orphaned,
        "computed": report.done,
        "failed": report.failed,
        "seconds": round(report.seconds, 3),
    }
    shown = {f"metaxy/{name}": count for name, count in counts.items()}
    if report.unread:
        shown["metaxy/unread"] = report.unread
    if done.errors:
        return {**shown, "metaxy/errors": dg.MetadataValue.md("\n".join(f"- {error}" for error in done.errors))}
    return dict(shown)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let all that ends a run of Dagster end a computation in order: what was begun is written.

    Dagster ends runs by SIGINT and, in containers, by SIGTERM. Only the first is known to a computation.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _as_interrupt) if in_main else None
    try:
        yield
    except KeyboardInterrupt as error:
        raise dg.DagsterExecutionInterruptedError(str(error)) from error
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(number, frame)
