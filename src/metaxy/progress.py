"""How far a run is: a bar on terminals and in notebooks, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

LINE_SECONDS: Final = 10.0


class Progress(Protocol):
    """Is told what was done."""

    def advance(self, done: int, failed: int) -> None:
        """Count what was done, and what failed."""

    def expect(self, total: int) -> None:
        """Learn how many samples there are, where that changes."""

    def note(self, text: str) -> None:
        """Say something."""


class Silent:
    """Says nothing."""

    def advance(self, done: int, failed: int) -> None:
        """Do nothing."""

    def expect(self, total: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class Lines:
    """Says a line at most every few seconds, and one at the end."""

    def __init__(
        self,
        what: str,
        total: int,
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        unit: str = "samples",
    ) -> None:
        self._what, self._total, self._say, self._clock, self._unit = what, total, say, clock, unit
        self._done = self._failed = 0
        self._began = self._said = clock()

    def advance(self, done: int, failed: int) -> None:
        """Count, and say so if it is time."""
        self._done += done
        self._failed += failed
        now = self._clock()
        if now - self._said >= LINE_SECONDS or self._done + self._failed >= self._total:
            self._said = now
            self._say(self._line(now - self._began))

    def expect(self, total: int) -> None:
        """Count to another number."""
        self._total = total

    def note(self, text: str) -> None:
        """Say a line."""
        self._say(text)

    def _line(self, seconds: float) -> str:
        tried = self._done + self._failed
        rate = tried / seconds if seconds else 0.0
        remaining = f", {(self._total - tried) / rate:.0f} s left" if rate and tried < self._total else ""
        failed = f", {self._failed:,} failed" if self._failed else ""
        return (
            f"{self._what}: {self._done:,} of {self._total:,} {self._unit}{failed}, {rate:,.0f} per second{remaining}"
        )


class Bar:
    """A bar of rich."""

    def __init__(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failures]}", style="red"),
            console=Console(stderr=True),
        )
        self._task = self._bars.add_task(what, total=total, rate="", failures="")
        self._failed = 0
        self._bars.start()

    def advance(self, done: int, failed: int) -> None:
        """Move the bar."""
        self._failed += failed
        task = self._bars.tasks[self._task]
        rate = f"{task.speed:,.1f}/s" if task.speed else ""
        failures = f"{self._failed:,} failed" if self._failed else ""
        self._bars.update(self._task, advance=done + failed, rate=rate, failures=failures)

    def expect(self, total: int) -> None:
        """Count to another number."""
        self._bars.tasks[self._task].total = total  # `update` would forget how fast it was

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._bars.console.print(text, markup=False, highlight=False)

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._bars.stop()


class Told(Lines):
    """Gives lines to a function, such as that of a logger, but no notes: they come in the middle of anything."""

    def note(self, text: str) -> None:
        """Do nothing: Ctrl-C may come while the function is called."""


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def progress(
    what: str, total: int, *, shown: "bool | Callable[[str], object]", unit: str = "samples"
) -> Iterator[Progress]:
    """Yield what shows the progress of a run, if there is any and it shall be shown, or told to a function."""
    if not shown or not total:
        yield Silent()
    elif callable(shown):
        yield Told(what, total, shown, unit=unit)
    elif not sys.stderr.isatty() and "ipykernel" not in sys.modules:
        yield Lines(what, total, _to_stderr, unit=unit)
    else:
        bar = Bar(what, total)
        try:
            yield bar
        finally:
            bar.stop()
