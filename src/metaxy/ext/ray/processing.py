"""A function of the user in actors of Ray, with all that `MetadataStore.process` does around it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MethodType
from typing import Any

from typing_extensions import Unpack

from metaxy.config import MetaxyConfig
from metaxy.ext.ray.actors import Actors, Constructed
from metaxy.ext.ray.surroundings import Surroundings
from metaxy.store.request import ProcessArguments
from metaxy.store.store import MetadataStore
from metaxy.workers.function import Function, RowsOf
from metaxy.workers.report import ProcessReport


def process(
    store: MetadataStore,
    feature: Any,
    fn: Any,
    *,
    concurrency: int = 2,
    num_cpus: float = 1,
    num_gpus: float = 0,
    fn_constructor_kwargs: Mapping[str, Any] | None = None,
    ray_remote_args: Mapping[str, Any] | None = None,
    config: MetaxyConfig | None = None,
    **options: Unpack[ProcessArguments],
) -> ProcessReport:
    """Compute what is new and stale of a feature by a function that runs in actors of Ray, and write it.

    Frames: as `MetadataStore.process`.

    This process resolves the update, hands out batches, and writes what comes back; actors only call the function, so
    that they need no access to the store. An actor that dies, or does not answer in time, is replaced: its sample is
    tried again as often as ``retries`` says, the others of its batch go on. Ray itself starts and retries nothing. Jobs
    that are started with ``claim=True`` share the samples.

    Args:
        store: where the feature is; closed, or open for writing.
        feature: anything that names a feature.
        fn: a function as `MetadataStore.process` takes it, or a class whose instances are called like one: each actor
            makes its own, once, which is where a model is loaded.
        concurrency: number of actors.
        num_cpus: what an actor needs of CPUs, as Ray counts them.
        num_gpus: and of GPUs.
        fn_constructor_kwargs: what the class is made with.
        ray_remote_args: further options of the actors, such as ``runtime_env`` or ``resources``.
        config: the project's configuration; by default the active one, or that of the nearest file.
        options: as `MetadataStore.process` takes them, but ``workers`` and ``executor``.

    Raises:
        ProcessError: as `MetadataStore.process`, and if an actor cannot be started.
    """
    needs = {"num_cpus": num_cpus, "num_gpus": num_gpus, **(ray_remote_args or {})}
    surroundings = Surroundings.of(config)
    function = _function(fn, options.get("rows"), fn_constructor_kwargs or {})
    with surroundings.active():
        return store.process(
            feature, function, **options | ProcessArguments(workers=concurrency, executor=Actors(surroundings, needs))
        )


def _function(fn: Any, rows: RowsOf | None, options: Mapping[str, Any]) -> Function:
    if not isinstance(fn, type):
        if options:
            raise TypeError("fn_constructor_kwargs are for a class; pass one as fn, or functools.partial of a function")
        return Function.of(fn, rows)
    called = next((vars(base)["__call__"] for base in fn.__mro__ if "__call__" in vars(base)), None)
    if called is None:
        raise TypeError(f"instances of {fn.__qualname__} cannot be called; give the class a method __call__")
    shape = Function.of(MethodType(called, object()), rows)
    return replace(shape, call=Constructed(fn, dict(options)), name=fn.__qualname__)
