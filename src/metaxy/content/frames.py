"""What all hashes return: a frame with one row per input, in the order of the inputs.

Its columns are what names the input, then facts about it, then ``version``, and ``error``, which says why there is no
version. Exactly one of the last two is NULL.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

import polars as pl

from metaxy.errors import ContentError
from metaxy.masking import mask_address, mask_text
from metaxy.printable import printable
from metaxy.wording import first_line, storable

OnError: TypeAlias = Literal["record", "raise"]
"""What happens where an input cannot be hashed: its row says why, or a `metaxy.errors.ContentError` is raised."""

VERSION: Final = "version"
ERROR: Final = "error"
LONGEST_REASON: Final = 500  # characters
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Outcome:
    """What became of one input: its version, or the reason why it has none, and facts about it."""

    version: str | None = None
    error: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_error(cls, error: BaseException, facts: Mapping[str, Any] = _NOTHING) -> "Outcome":
        """Say in one line, without secrets, why an input has no version.

        >>> Outcome.of_error(ValueError("no image")).error
        'ValueError: no image'
        """
        return cls(error=reason(error), facts=facts)


def reason(error: BaseException) -> str:
    """Return what happened, in one line that can be stored: the kind of an error and what it says."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    kind = type(error).__name__
    return storable(printable(mask_text(kind if said == kind else f"{kind}: {said}")))[:LONGEST_REASON]


def listed(inputs: Iterable[Any], what: str) -> list[Any]:
    """Return inputs as a list, those of a column as Python values.

    Raises:
        TypeError: if it is a single one, or a table, of which some kinds would give the names of their columns.

    >>> listed(iter(["a.png"]), "images")
    ['a.png']
    """
    if hasattr(type(inputs), "columns"):
        raise TypeError(f"{what} are a list or a column, such as frame['path'], not a whole {type(inputs).__name__}")
    is_one = isinstance(inputs, (str, bytes, bytearray, os.PathLike, Mapping))
    if is_one or not isinstance(inputs, Iterable):
        raise TypeError(f"{what} are several, such as a list of them, not one {type(inputs).__name__}")
    for name in ("to_pylist", "to_list"):  # columns of PyArrow, and those of Polars, Pandas and Narwhals
        if hasattr(inputs, name):
            values: list[Any] = getattr(inputs, name)()
            return values
    return list(inputs)


def check_on_error(on_error: str) -> None:
    """Refuse anything but a way to treat errors.

    Raises:
        ValueError: if it is none.
    """
    check_option("on_error", on_error, get_args(OnError))


def check_option(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse anything but one of some words.

    Raises:
        ValueError: if it is none.
    """
    if value not in choices:
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, choices))}")


def result_frame(
    inputs: Mapping[str, Sequence[str | None]],
    outcomes: Sequence[Outcome],
    *,
    facts: Mapping[str, Any] = _NOTHING,
    on_error: OnError = "record",
) -> pl.DataFrame:
    """Build the frame from outcomes, one per input.

    Args:
        inputs: Columns of text that say which input a row is of; the first one names inputs in messages. May be empty.
        outcomes: In the order of the inputs.
        facts: Names and Polars types of the facts that outcomes have.
        on_error: Whether errors are in the frame, or raised.

    Raises:
        ContentError: if an input has no version and ``on_error`` is ``"raise"``.
    """
    frame = pl.DataFrame(
        {
            **{name: pl.Series(values, dtype=pl.String) for name, values in inputs.items()},
            **{
                name: pl.Series([outcome.facts.get(name) for outcome in outcomes], dtype=kind, strict=True)
                for name, kind in facts.items()
            },
            VERSION: pl.Series([outcome.version for outcome in outcomes], dtype=pl.String),
            ERROR: pl.Series([outcome.error for outcome in outcomes], dtype=pl.String),
        }
    )
    if on_error == "raise":
        refuse_errors(frame)
    return frame


def refuse_errors(frame: pl.DataFrame) -> None:
    """Raise an error that names the first input without a version, if there is one.

    Raises:
        ContentError: its ``failed`` has all of them.
    """
    failed = frame.with_row_index("row").filter(pl.col(ERROR).is_not_null())
    if failed.is_empty():
        return
    names = failed[frame.columns[0]] if frame.columns[0] != VERSION else "input " + failed["row"].cast(pl.String)
    reasons = {shown(name): why for name, why in zip(names, failed[ERROR], strict=True)}
    first, why = next(iter(reasons.items()))
    error = ContentError(
        f"{failed.height} of {frame.height} inputs have no version, the first is {first}: {why}; mend them, or pass "
        "on_error='record' to have the reasons in the frame"
    )
    error.failed = MappingProxyType(reasons)
    raise error


def shown(name: Any) -> str:
    r"""Return what names an input as messages have it: without passwords, and without control characters.

    >>> shown("https://me:hunter2@host/a\x1b.png")
    'https://***@host/a\\u001b.png'
    """
    text = str(name)
    return printable(mask_address(text) if "://" in text else text)
