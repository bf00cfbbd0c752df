"""What hashes of images and audio share: inputs are paths, bytes and values, in any mixture."""

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypedDict

import polars as pl
from typing_extensions import Unpack

from metaxy.content.cache import Trust
from metaxy.content.clusters import EXACT, FINGERPRINT, Known, clustered
from metaxy.content.frames import ERROR, VERSION, OnError, Outcome, listed, refuse_errors, result_frame
from metaxy.content.places import Opened, Stamp
from metaxy.content.reading import FACTS, Reading, Recipe, versions_by
from metaxy.content.running import in_threads
from metaxy.errors import ContentError
from metaxy.wording import first_line


class ReadingOptions(TypedDict, total=False):
    """How files are read, as for `hash_files`."""

    workers: int | None
    trust: Trust
    cache: "str | os.PathLike[str] | None"
    retries: int
    storage_options: Mapping[str, Any] | None
    progress: bool | None


@dataclass(frozen=True)
class Medium:
    """A kind of inputs.

    Args:
        what: What they are called.
        recipe: How a file gets its version.
        of_value: How a value that is no file gets what follows the name of the recipe.
    """

    what: str
    recipe: Recipe
    of_value: Callable[[Any], str]

    def outcome(self, value: Any) -> Outcome:
        """Say what became of an input that is at no path: the bytes of a file, or a value."""
        facts: Mapping[str, Any] = {}
        try:
            if isinstance(value, (bytes, bytearray, memoryview)):
                opened = _opened(bytes(value))
                facts = {"size": opened.stamp.size}
                digest = self.recipe.digest(opened)
            else:
                digest = self.of_value(value)
        except Exception as error:
            return Outcome.of_error(error, facts)
        return Outcome(f"{self.recipe.name}:{digest}", facts=facts)


def _opened(data: bytes) -> Opened:
    """Return bytes as a file that is open."""
    stamp = Stamp(len(data))
    return Opened(BytesIO(data), "", stamp, lambda: stamp)


@dataclass(frozen=True)
class Likeness:
    """When inputs are alike.

    Args:
        exact: The recipe of the exact digest, which a medium for this gives before each fingerprint.
        recipe: That of versions which are equal for inputs that are alike.
        threshold: How similar these are, at least.
        known: What earlier calls returned.
    """

    exact: str
    recipe: str
    threshold: float
    known: Any


def hash_media(
    inputs: Iterable[Any],
    medium: Medium,
    likeness: Likeness | None,
    on_error: OnError,
    **reading: Unpack[ReadingOptions],
) -> pl.DataFrame:
    """Return the versions of inputs: exact ones, or those of what is alike."""
    known = None if likeness is None else Known.of(likeness.recipe, likeness.known)  # refused before all is read
    frame = _versions(inputs, medium, **reading)
    if likeness is not None and known is not None:
        frame = clustered(_split(frame, likeness.exact), likeness.recipe, likeness.threshold, known)
    if on_error == "raise":
        _refuse_errors(frame)
    return frame


def _versions(inputs: Iterable[Any], medium: Medium, **reading: Unpack[ReadingOptions]) -> pl.DataFrame:
    """Return the versions of inputs in their order, with the columns of `hash_files`; text and `Path` are paths."""
    options: Any = {name: value for name, value in reading.items() if name != "progress"}
    how = Reading.of(medium.recipe, **options)  # which refuses wrong options before inputs are made
    given = listed(inputs, medium.what)
    is_file = [isinstance(each, (str, os.PathLike)) for each in given]
    paths = [each for each, here in zip(given, is_file, strict=True) if here]
    values = [each for each, here in zip(given, is_file, strict=True) if not here]
    of_files = versions_by(how, paths, progress=reading.get("progress"))
    outcomes = in_threads(medium.outcome, values, workers=reading.get("workers"))
    frames = [of_files, result_frame({"path": [None] * len(values)}, outcomes, facts=FACTS)]
    order = pl.Series("place", sorted(range(len(given)), key=lambda place: not is_file[place]), dtype=pl.Int64)
    return pl.concat(frames).with_columns(order).sort("place").drop("place")


def _refuse_errors(frame: pl.DataFrame) -> None:
    """Raise an error if an input has no version; what has no path is called by its place."""
    names = pl.col("path").fill_null(pl.format("input {}", pl.int_range(pl.len())))
    refuse_errors(frame.with_columns(names))


def _split(frame: pl.DataFrame, recipe: str) -> pl.DataFrame:
    """Return exact versions, of a recipe, and fingerprints in columns of their own, where both are in one text."""
    parts = frame[VERSION].str.split(":").list.get(1, null_on_oob=True).str.split_exact(" ", 1).struct
    columns = [(f"{recipe}:" + parts.field("field_0")).alias(EXACT), parts.field("field_1").alias(FINGERPRINT)]
    return frame.drop(VERSION, ERROR).with_columns(*columns, frame[ERROR])


def need(*packages: str, extra: str) -> None:
    """Load packages, so that one that is missing is the error of the call, not of each input.

    Raises:
        ImportError: if one is missing.
    """
    try:
        for package in packages:
            importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f'{extra} need the package {error.name}: pip install "metaxy[{extra}]"') from error


@contextmanager
def decoding() -> Iterator[None]:
    """Say that bytes are no good where a decoder raises: reading them again would not help.

    Raises:
        ContentError: instead of what a decoder raises.
    """
    try:
        yield
    except (ContentError, MemoryError):
        raise
    except Exception as error:
        raise ContentError(getattr(error, "strerror", None) or first_line(error)) from error
