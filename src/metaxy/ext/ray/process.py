"""A function of the user in actors of Ray, with all that `MetadataStore.process` does around it."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MethodType
from typing import Any

from ray.exceptions import GetTimeoutError, RayActorError
from typing_extensions import Unpack

import ray
from metaxy.config import MetaxyConfig
from metaxy.ext.ray.surroundings import Surroundings
from metaxy.store.request import ProcessArguments
from metaxy.store.store import MetadataStore
from metaxy.wording import first_line
from metaxy.workers.calls import Outcome, StartError, attempt, packed, unpacked
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
    tried again as often as ``retries`` says, the others of its batch go on. Ray itself starts and retries nothing.

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


@dataclass(frozen=True)
class Actors:
    """Starts actors that call a function."""

    surroundings: Surroundings
    needs: Mapping[str, Any]

    def starting(self, function: Function) -> "Callable[[], ActorRemote]":
        """Return what starts one."""
        actor = ray.remote(max_restarts=0, max_task_retries=0, **self.needs)(Worker)
        return lambda: ActorRemote(actor.remote(self.surroundings, function), function.name)


@dataclass
class Constructed:
    """A class whose instance is called, and made where it is called first."""

    made_of: type[Any]
    options: Mapping[str, Any]
    instance: Any = field(default=None, init=False)

    def construct(self) -> None:
        """Make the instance."""
        self.instance = self.made_of(**self.options)

    def __call__(self, given: Any) -> Any:
        """Call the instance."""
        return self.instance(given)


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


class Worker:
    """What an actor does."""

    def __init__(self, surroundings: Surroundings, function: Function) -> None:
        self._surroundings = surroundings
        self._function = function

    def start(self) -> str | None:
        """Make the instance of a class; return what is wrong if that fails."""
        try:
            with self._surroundings.active():
                if isinstance(self._function.call, Constructed):
                    self._function.call.construct()
        except Exception as error:  # whatever code of the user raises
            return f"{type(error).__name__}: {first_line(error)}"
        return None

    def call(self, given: Any) -> bytes:
        """Call the function, and pickle what comes out: what cannot be pickled is an error of the sample."""
        with self._surroundings.active():
            return packed(attempt(self._function, given))


class ActorRemote:
    """An actor as workers see it."""

    def __init__(self, actor: Any, name: str) -> None:
        self._actor = actor
        self._answers: deque[Any] = deque()
        self._death = ""
        try:
            wrong = ray.get(actor.start.remote())
        except RayActorError as error:
            raise StartError(f"an actor for function {name} ended before it began: {first_line(error)}") from error
        if wrong is not None:
            raise StartError(f"an actor cannot construct {name}: {wrong}")

    def send(self, inputs: Sequence[Any]) -> None:
        """Hand inputs over; the actor takes one after the other."""
        self._answers = deque(self._actor.call.remote(given) for given in inputs)

    def receive(self, timeout: float | None) -> Outcome:
        """Wait for the actor."""
        try:
            answer = ray.get(self._answers.popleft(), timeout=timeout)
        except GetTimeoutError:
            raise TimeoutError from None
        except RayActorError as error:
            self._death = first_line(error)
            raise EOFError(self._death) from error
        return unpacked(answer)

    def give_up(self, *, died: bool = False) -> str:
        """Kill the actor, unless it is dead."""
        if died:
            return self._death or "its actor died"
        ray.kill(self._actor)
        return "its actor was ended"
