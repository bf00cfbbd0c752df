"""Where a function is called: in this thread, or in something that can be given up: a thread, a process, a loop."""

import asyncio
import concurrent.futures
import multiprocessing
import pickle
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol

from metaxy.wording import text_of
from metaxy.workers.function import Function

GRACE: Final = 1.0  # seconds in which an event loop must answer, or it is blocked


@dataclass(frozen=True)
class Outcome:
    """What a call gave, or what kind of error it raised with which message."""

    value: Any = None
    error_type: str = ""
    message: str = ""
    cause: BaseException | None = field(default=None, repr=False)

    @classmethod
    def of(cls, error: BaseException) -> "Outcome":
        """Describe an error, with all of its lines in one."""
        return cls(error_type=type(error).__name__, message=" ".join(text_of(error).split()), cause=error)

    @property
    def failed(self) -> bool:
        """Whether the call raised."""
        return bool(self.error_type)


class StartError(Exception):
    """A worker process cannot be started, so that nothing can be called."""


class Caller(Protocol):
    """Calls a function; each worker has its own."""

    def run(self, inputs: Sequence[Any]) -> Iterator[Outcome]:
        """Call the function for one input after the other."""

    def close(self) -> None:
        """Let go of threads and processes."""


def attempt(function: Function, given: Any) -> Outcome:
    """Call a function here; whatever it raises, even an exit, is what came out."""
    try:
        return Outcome(function(given))
    except BaseException as error:
        return Outcome.of(error)


@dataclass
class Direct:
    """Calls the function in the thread of the worker."""

    function: Function

    def run(self, inputs: Sequence[Any]) -> Iterator[Outcome]:
        """Call it here."""
        for given in inputs:
            yield attempt(self.function, given)

    def close(self) -> None:
        """Do nothing."""


class Remote(Protocol):
    """Something that calls a function, and that can be given up."""

    def send(self, inputs: Sequence[Any]) -> None:
        """Hand inputs over."""

    def receive(self, timeout: float | None) -> Outcome:
        """Wait for what came out of the next input.

        Raises:
            TimeoutError: if nothing came in time.
            EOFError: if it died.
        """

    def give_up(self, *, died: bool = False) -> str:
        """End it, as far as that is possible, and say what became of it."""


@dataclass
class Elsewhere:
    """Calls the function in a remote, and starts another one where one does not answer in time, or dies."""

    start: Callable[[], Remote]
    timeout: float | None = None
    _remote: Remote | None = None

    def run(self, inputs: Sequence[Any]) -> Iterator[Outcome]:
        """Hand inputs over, and the rest of them once more where a remote was given up."""
        for number in range(len(inputs)):
            if number == 0 or self._remote is None:
                self._hand_over(inputs[number:])
            yield self._received()

    def _hand_over(self, inputs: Sequence[Any]) -> None:
        if self._remote is None:
            self._remote = self.start()
        try:
            self._remote.send(inputs)
        except OSError:  # it died while nothing was asked of it
            self.close()
            self._remote = self.start()
            self._remote.send(inputs)

    def _received(self) -> Outcome:
        assert self._remote is not None  # noqa: S101 - inputs were handed over
        try:
            return self._remote.receive(self.timeout)
        except TimeoutError:
            return Outcome.of(TimeoutError(f"did not return within {self.timeout:g} s; {self._given_up()}"))
        except (EOFError, ConnectionError):
            message = self._given_up(died=True)
            return Outcome(error_type="WorkerDied", message=message, cause=ChildProcessError(message))

    def _given_up(self, *, died: bool = False) -> str:
        remote, self._remote = self._remote, None
        return remote.give_up(died=died) if remote else ""

    def close(self) -> None:
        """End the remote."""
        self._given_up()


class ThreadRemote:
    """A thread that is abandoned where it does not answer: Python cannot end it."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._asked: queue.SimpleQueue[Sequence[Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._abandoned = False
        threading.Thread(target=copy_context().run, args=(self._work,), name="metaxy-call", daemon=True).start()

    def _work(self) -> None:
        while not self._abandoned:
            for given in self._asked.get():
                if self._abandoned:
                    return
                self._answers.put(attempt(self._function, given))

    def send(self, inputs: Sequence[Any]) -> None:
        """Put inputs into the queue of the thread."""
        self._asked.put(inputs)

    def receive(self, timeout: float | None) -> Outcome:
        """Wait for the thread."""
        try:
            return self._answers.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def give_up(self, *, died: bool = False) -> str:  # noqa: ARG002 - threads do not die
        """Let the thread end after what it does now."""
        self._abandoned = True
        self._asked.put(())
        return "its thread goes on in the background, as threads cannot be ended"


class ProcessRemote:
    """A process of its own, started anew (not forked), which unpickles the function."""

    def __init__(self, pickled: bytes, name: str) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._connection, far = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(far,), daemon=True)
        self._process.start()
        far.close()
        try:
            self._connection.send_bytes(pickled)
            ready = self._connection.recv()
        except (EOFError, OSError) as error:
            self.give_up()
            raise StartError(
                f"a worker process for function {name} ended before it began; a script needs its start below "
                '`if __name__ == "__main__":`'
            ) from error
        if ready is not None:
            self.give_up()
            raise StartError(f"a worker process cannot load function {name}: {ready}")

    def send(self, inputs: Sequence[Any]) -> None:
        """Send inputs through the pipe."""
        self._connection.send(inputs)

    def receive(self, timeout: float | None) -> Outcome:
        """Wait at the pipe."""
        if not self._connection.poll(timeout):
            raise TimeoutError
        return unpacked(self._connection.recv_bytes())

    def give_up(self, *, died: bool = False) -> str:
        """Kill the process."""
        self._connection.close()
        self._process.join(GRACE if died else 0.0)
        self._process.kill()
        self._process.join()
        return f"its process ended by itself with code {self._process.exitcode}" if died else "its process was ended"


def _serve(connection: Connection) -> None:
    """Call what comes through a pipe, in a process of its own, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; this one is told what to do
    with suppress(EOFError, OSError):
        try:
            function: Function = pickle.loads(connection.recv_bytes())  # noqa: S301 - of our own process
        except Exception as error:  # whatever the module of the function raises
            connection.send(f"{type(error).__name__}: {error}")
            return
        connection.send(None)
        while True:
            for given in connection.recv():
                connection.send_bytes(packed(attempt(function, given)))


def packed(outcome: Outcome) -> bytes:
    """Pickle an outcome; of errors that cannot be pickled only what they say."""
    if not outcome.failed:
        try:
            return pickle.dumps(outcome)
        except Exception as error:  # whatever the result raises
            outcome = Outcome.of(error)
            outcome = replace(outcome, message=f"what it returned cannot be pickled: {outcome.message}")
    return pickle.dumps(Outcome(error_type=outcome.error_type, message=outcome.message))


def unpacked(answer: bytes) -> Outcome:
    """Unpickle an outcome that `packed` made in a worker; what cannot be unpickled here is an error."""
    try:
        outcome: Outcome = pickle.loads(answer)  # noqa: S301 - of our own worker
    except Exception as error:  # whatever code of the user raises
        return Outcome.of(error)
    return outcome


class Loop:
    """An event loop in a thread of its own, which all workers share; another one takes the place of one that hangs."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def current(self) -> asyncio.AbstractEventLoop:
        """Return the loop, running."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="metaxy-loop", daemon=True)
                self._thread.start()
            return self._loop

    def replace_if_blocked(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether a loop does not answer, as something in it waits without `await`; it is abandoned then."""
        answered = threading.Event()
        loop.call_soon_threadsafe(answered.set)
        if answered.wait(GRACE):
            return False
        with self._lock:
            if self._loop is loop:
                self._loop = None
        return True

    def close(self) -> None:
        """End the loop."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(GRACE)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        while not _ran(loop):
            pass
    finally:
        loop.close()


def _ran(loop: asyncio.AbstractEventLoop) -> bool:
    """Run a loop; return whether it was told to stop, rather than left by a task whose awaiter must learn of that."""
    try:
        loop.run_forever()
    except (KeyboardInterrupt, SystemExit):
        return False
    return True


@dataclass
class InLoop:
    """Awaits the function in a loop that other workers share."""

    loop: Loop
    timeout: float | None = None

    def run(self, inputs: Sequence[Any]) -> Iterator[Outcome]:
        """Await one input after the other; other workers await theirs meanwhile."""
        for given in inputs:
            loop = self.loop.current()
            future = asyncio.run_coroutine_threadsafe(_awaited(self.loop.function, given), loop)
            try:
                yield future.result(self.timeout)
            except concurrent.futures.TimeoutError:
                future.cancel()
                blocked = self.loop.replace_if_blocked(loop)
                message = f"did not return within {self.timeout:g} s"
                message += "; it blocks the event loop, which goes on in the background" if blocked else ""
                yield Outcome.of(TimeoutError(message))

    def close(self) -> None:
        """Leave the loop to the others."""


async def _awaited(function: Function, given: Any) -> Outcome:
    """Await a function; whatever it raises is what came out, also that something in it was cancelled."""
    try:
        return Outcome(await function.awaited(given))
    except BaseException as error:
        return Outcome.of(error)
