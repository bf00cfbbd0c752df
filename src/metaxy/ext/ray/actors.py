"""Actors of Ray that call a function; what they load is little, as each that dies is replaced."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import GetTimeoutError, RayActorError, RayError

import ray
from metaxy.ext.ray.surroundings import Surroundings
from metaxy.wording import first_line
from metaxy.workers.calls import Outcome, StartError, attempt, packed, unpacked
from metaxy.workers.function import Function


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
        self._inputs: deque[Any] = deque()
        self._death = ""
        try:
            wrong = ray.get(actor.start.remote())
        except RayActorError as error:
            raise StartError(f"an actor for function {name} ended before it began: {first_line(error)}") from error
        if wrong is not None:
            raise StartError(f"an actor cannot construct {name}: {wrong}")

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
