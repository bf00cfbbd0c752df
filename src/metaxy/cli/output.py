"""Output of commands: what was asked for goes to stdout, everything else to stderr.

Text that machines read (`print_json`, `print_text`) is written by no library: no colour, no wrapping, no padding.
Tables are only coloured and fitted to a width where they go to a terminal. Whatever is printed goes through `printable`
here: names and values may come from anyone.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, TypeAlias
from unicodedata import combining, east_asian_width

from cyclopts import Parameter

from metaxy.errors import RequestError
from metaxy.printable import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import Progress

SEPARATOR = " " * 3
UNLIMITED = 100_000  # columns; a file has no width
OutputFormat: TypeAlias = Annotated[Literal["plain", "json"], Parameter(alias="-f", help="How to print it.")]
"""The type of the option --format, of commands that print tables or JSON."""


# -- what was asked for ------------------------------------------------------------------------------------------------


def print_text(text: str) -> None:
    """Print text that was asked for."""
    print(printable(text), file=sys.stdout)


def print_painted(text: str) -> None:
    """Print a picture with the colours of its renderer, which made everything else in it printable."""
    print(text, file=sys.stdout)


def print_json(value: Any) -> None:
    """Print a value as JSON, for machines."""
    print_text(json_text(value, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 0) -> None:
    """Print a table that was asked for.

    Args:
        title: What stands above it; empty for nothing.
        columns: The heads of the columns.
        rows: The cells, shown as text.
        numbers: How many columns, counted from the right, are numbers.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    draw = _fitted_table if sys.stdout.isatty() else _plain_table
    print_painted(draw(printable(title), list(map(printable, columns)), cells, len(columns) - numbers))


def shown_time(moment: datetime | None) -> str:
    """Write a time as tables show it, in UTC.

    >>> shown_time(datetime(2026, 1, 31, 9, 30, 15, 250, tzinfo=timezone.utc)), shown_time(None)
    ('2026-01-31 09:30:15', '-')
    """
    if moment is None:
        return "-"
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def _plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], first_number: int) -> str:
    """Draw a table as wide as it needs to be, one line per row: for files, and quicker than for terminals."""
    cells = [list(columns), *([" ".join(cell.split("\n")) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    head, *body = (_line(row, widths, first_number) for row in cells)
    rule = "─" * (sum(widths) + len(SEPARATOR) * (len(widths) - 1))
    heading = [title.center(len(rule) + 2).rstrip()] if title else []
    return "\n".join([*heading, "", *(f" {line}".rstrip() for line in (head, rule, *body)), ""])


def _line(row: Sequence[str], widths: Sequence[int], first_number: int) -> str:
    parts = []
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        blanks = " " * (width - _width(cell))
        parts.append(blanks + cell if index >= first_number else cell + blanks)
    return SEPARATOR.join(parts)


def _width(text: str) -> int:
    """Return how many columns a text takes: the letters of some scripts are two wide.

    >>> _width("abc"), _width("日本")
    (3, 4)
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)


def _fitted_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], first_number: int) -> str:
    """Draw a table that fits a terminal; cells that are too long go on in the next line."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    view = Table(title=Text(title) if title else None, box=SIMPLE_HEAD, title_style="bold", pad_edge=False)
    console = console_for(sys.stdout)
    about = columns.index("Feature") if "Feature" in columns else 0  # stays whole, as long as that can be
    names = max((_width(row[about]) for row in rows), default=0)
    for index, column in enumerate(columns):
        whole = index == about and names <= console.width // 2
        side: Literal["left", "right"] = "right" if index >= first_number else "left"
        view.add_column(
            column, justify=side, overflow="fold", no_wrap=whole, min_width=max(map(_width, column.split()), default=0)
        )
    for row in rows:
        view.add_row(*map(Text, row))
    with console.capture() as captured:
        console.print(view)
    return captured.get().rstrip() + "\n"


# -- everything else ---------------------------------------------------------------------------------------------------


def say(text: str, style: str = "") -> None:
    """Tell on stderr what happens, in one line."""
    _to_stderr(text, style)


def done(text: str) -> None:
    """Tell on stderr that something succeeded."""
    _to_stderr(f"✓ {text}", "green")


def inform(text: str) -> None:
    """Tell on stderr what the user may want to know."""
    _to_stderr(f"ℹ {text}", "cyan")  # noqa: RUF001 - the sign is meant


def warn(text: str) -> None:
    """Warn on stderr, in one line."""
    _to_stderr(f"Warning: {' '.join(text.split())}", "yellow")


def complain(text: str) -> None:
    """Say on stderr what went wrong."""
    _to_stderr(text, "")


def _to_stderr(text: str, style: str) -> None:
    text = printable(text)
    if style and sys.stderr.isatty():
        console = console_for(sys.stderr)
        with console.capture() as painted:
            console.print(text, style=style, markup=False, highlight=False, soft_wrap=True, end="")
        text = painted.get()
    print(text, file=sys.stderr)  # not by that console, which knows nothing of a progress bar that is shown


def console_for(stream: TextIO) -> "Console":
    """Return a console that colours and wraps only on a terminal."""
    from rich.console import Console  # takes longer to import than many commands run

    is_terminal = stream.isatty()
    width = None if is_terminal else UNLIMITED
    return Console(file=stream, width=width, force_terminal=is_terminal, highlight=False, markup=False, emoji=False)


@contextmanager
def progress(unit: str = "rows") -> "Iterator[Progress]":
    """Show progress bars with counts on stderr, as long as the block runs; only on a terminal.

    Args:
        unit: What is counted.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    console = console_for(sys.stderr)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield bar


class LogLines(logging.Formatter):
    """Writes log messages as lines that a terminal only shows."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a message."""
        return printable(super().format(record))


# -- questions ---------------------------------------------------------------------------------------------------------


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is done that cannot be undone.

    Args:
        question: What will be done.
        yes: Whether the user agreed already, by --yes.

    Raises:
        RequestError: if the user does not agree, or cannot be asked because there is no terminal.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = f"{question} needs a confirmation, and there is no terminal to ask on"
        raise RequestError("MISSING_CONFIRMATION", message, hint="add --yes", required_flags=["--yes"])
    print(printable(f"{question}? [y/N] "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RequestError("MISSING_CONFIRMATION", "nothing was done: the question was not answered with yes")
