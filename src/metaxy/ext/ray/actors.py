"""Actors of Ray that call a function; what they load is little, as each that dies is replaced."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ray.exceptions import GetTimeoutError, RayActorError, RayError

import ray
from metaxy.ext.ray.surroundings import Surroundings
from metaxy.wording import first_line
from metaxy.workers.calls import Outcome, StartError, attempt, packed, unpacked
from metaxy.workers.function import Function

logger = logging.getLogger(__name__)
RESOURCES: Final = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}  # as options of actors, and of nodes


@dataclass(frozen=True)
class Actors:
    """Starts actors that call a function."""

    surroundings: Surroundings
    needs: Mapping[str, Any]

    def starting(self, function: Function) -> "Callable[[], ActorRemote]":
        """Return what starts one; the function is pickled once for all.

        Raises:
            TypeError: if it cannot be pickled.
        """
        actor = ray.remote(max_restarts=0, max_task_retries=0, **self.needs)(Worker)
        try:
            pickled = ray.put(function)
        except Exception as error:  # whatever code of the user raises, of which Ray tells on many lines
            raise TypeError(
                f"function {function.name} cannot be pickled, so that no actor can call it "
                f"({first_line(error.__cause__ or error)}); pass a class that makes such things when an actor "
                "constructs it"
            ) from error
        self._warn_if_no_node_has_what_it_needs(function.name)
        return lambda: ActorRemote(actor.remote(self.surroundings, [pickled]), function.name)

    def _warn_if_no_node_has_what_it_needs(self, name: str) -> None:
        """Say what Ray waits for: a cluster that grows may get such a node, and others never will."""
        needs = {RESOURCES[key]: amount for key, amount in self.needs.items() if key in RESOURCES}
        needs |= self.needs.get("resources") or {}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        if not any(all(node.get(key, 0) >= amount for key, amount in needs.items()) for node in nodes):
            asked = ", ".join(f"{key}: {amount:g}" for key, amount in needs.items() if amount)
            logger.warning("function %s waits for a node with %s, as none of the cluster has that", name, asked)


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


class Worker:
    """What an actor does."""

    def __init__(self, surroundings: Surroundings, pickled: "Sequence[ray.ObjectRef[Function]]") -> None:
        self._surroundings = surroundings
        self._pickled = pickled

    def start(self) -> str | None:
        """Load the function, and make the instance of a class; return what cannot be done, and why."""
        step = "be loaded"
        try:
            with self._surroundings.active():
                [self._function] = ray.get(list(self._pickled))
                step = "be constructed"
                if isinstance(self._function.call, Constructed):
                    self._function.call.construct()
        except Exception as error:  # whatever code of the user raises
            return f"{step} in an actor: {type(error).__name__}: {first_line(error)}"
        return None

    def call(self, given: Any) -> bytes:
        """Call the function, and pickle what comes out: what cannot be pickled is an error of the sample."""
        with self._surroundings.active():
            return packed(attempt(self._function, given))


class ActorRemote:
    """An actor as workers see it."""

    def __init__(self, actor: Any, name: str) -> None:
        self._actor = actor
        self._inputs: deque[Any] = deque()
        self._death = ""
        try:
            wrong = ray.get(actor.start.remote())
        except RayActorError as error:
            raise StartError(f"an actor for function {name} ended before it began: {first_line(error)}") from error
        if wrong is not None:
            raise StartError(f"{name} cannot {wrong}")

    def send(self, inputs: Sequence[Any]) -> None:
        """Keep inputs; the actor gets one at a time, so that of one that dies it is known what it had begun."""
        self._inputs = deque(inputs)

    def receive(self, timeout: float | None) -> Outcome:
        """Give the actor the next input, and wait for it."""
        try:
            answer = ray.get(self._actor.call.remote(self._inputs.popleft()), timeout=timeout)
        except GetTimeoutError:
            raise TimeoutError from None
        except RayError as error:
            self._death = first_line(error)
            raise EOFError(self._death) from error
        return unpacked(answer)

    def give_up(self, *, died: bool = False) -> str:
        """Kill the actor; one that is called dead may only be out of reach."""
        ray.kill(self._actor)
        return (self._death or "its actor died") if died else "its actor was ended"
