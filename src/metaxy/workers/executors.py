"""Which callers workers get, by the name of an executor."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, Protocol, TypeAlias, get_args

from metaxy.workers.calls import Caller, Direct, Elsewhere, InLoop, Loop, ProcessRemote, Remote, ThreadRemote
from metaxy.workers.function import Function


class Launcher(Protocol):
    """Starts what calls a function elsewhere, such as on other machines."""

    def starting(self, function: Function) -> Callable[[], Remote]:
        """Return what starts one, which may raise `StartError`."""


NamedExecutor: TypeAlias = Literal["thread", "process", "async"]
Executor: TypeAlias = NamedExecutor | Launcher


@contextmanager
def callers(function: Function, executor: Executor | None, timeout: float | None) -> Iterator[Callable[[], Caller]]:
    """Yield what makes a caller for each worker; without a name, async functions share a loop, others get threads.

    Raises:
        ValueError: for another executor, and for "async" and a function that cannot be awaited.
        TypeError: for "process" and a function that cannot be pickled.
    """
    chosen = executor or ("async" if function.is_async else "thread")
    if not (chosen in get_args(NamedExecutor) or hasattr(chosen, "starting")):
        raise ValueError(f'executor is "thread", "process" or "async", not {executor!r}')
    if not isinstance(chosen, str):
        launch = chosen.starting(function)
        yield lambda: Elsewhere(launch, timeout)
    elif chosen == "process":
        start = partial(ProcessRemote, _pickled(function), function.name)
        yield lambda: Elsewhere(start, timeout)
    elif chosen == "async":
        loop = Loop(_awaitable(function))
        try:
            yield lambda: InLoop(loop, timeout)
        finally:
            loop.close()
    elif timeout is None:
        yield lambda: Direct(function)
    else:
        yield lambda: Elsewhere(partial(ThreadRemote, function), timeout)


def _awaitable(function: Function) -> Function:
    if not function.is_async:
        raise ValueError(f'function {function.name} is not async; use executor="thread" or "process"')
    return function


def _pickled(function: Function) -> bytes:
    try:
        return pickle.dumps(function)
    except Exception as error:  # whatever code of the user raises
        raise TypeError(
            f"function {function.name} cannot be pickled, so that no worker process can call it ({error}); define it "
            'at the top of a module, or use executor="thread"'
        ) from error
