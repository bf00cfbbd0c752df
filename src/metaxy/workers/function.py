"""A function of the user: what it takes, how it is called, and what it gives, in one form."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin, is_typeddict

import narwhals as nw
import polars as pl

from metaxy.workers.snapshots import snapshot, snapshot_of_frame

RowsOf: TypeAlias = Literal["one", "many", "frame"]
"""What a function takes: one row as a dict, a list of such rows, or a frame."""

FRAMES: Final[Mapping[tuple[str, str], Callable[[pl.DataFrame], Any]]] = {
    ("polars", "DataFrame"): lambda frame: frame,
    ("polars", "LazyFrame"): lambda frame: frame.lazy(),
    ("narwhals", "DataFrame"): nw.from_native,
    ("narwhals", "LazyFrame"): lambda frame: nw.from_native(frame.lazy()),
    ("pandas", "DataFrame"): lambda frame: nw.from_native(frame).to_pandas(),
    ("pyarrow", "Table"): lambda frame: nw.from_native(frame).to_arrow(),
}
POLARS: Final = ("polars", "DataFrame")
NAMED: Final = {"pl": "polars", "nw": "narwhals", "pd": "pandas", "pa": "pyarrow"}


@dataclass(frozen=True)
class Function:
    """A function that computes rows; ``frame`` names the library and the class of the frame that it takes."""

    call: Callable[[Any], Any]
    name: str
    rows: RowsOf
    is_async: bool = False
    frame: tuple[str, str] = POLARS

    @classmethod
    def of(cls, fn: Any, rows: RowsOf | None = None) -> "Function":
        """Find out what a function takes: by ``rows``, or by the annotation of its first parameter.

        Raises:
            TypeError: if it cannot be called, or nothing says what it takes.

        >>> def embed(row: dict) -> dict: ...
        >>> Function.of(embed).rows, Function.of(embed, "many").rows
        ('one', 'many')
        """
        if isinstance(fn, Function):
            return fn
        if not callable(fn):
            raise TypeError(f"fn is a {type(fn).__qualname__}, which cannot be called; pass a function")
        if rows is not None and rows not in get_args(RowsOf):
            raise ValueError(f'rows is "one", "many" or "frame", not {rows!r}')
        name, annotation = name_of(fn), _annotation(fn)
        library = _library(annotation)
        taken = rows or _rows_of(annotation, library)
        if taken is None:
            raise TypeError(
                f"nothing says what function {name} takes: annotate its first parameter as dict, list or pl.DataFrame, "
                'or pass rows="one", "many" or "frame"'
            )
        plain = _plain(fn)
        is_async = inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)
        return cls(fn, name, taken, is_async, library if library in FRAMES else POLARS)

    def __call__(self, given: Any) -> Any:
        """Call it here, whatever kind of function it is, and return all that it gives."""
        if self.is_async:
            return asyncio.run(self.awaited(given))
        result = self.call(self._taken(given))
        return [self._kept(each) for each in result] if inspect.isgenerator(result) else self._kept(result)

    async def awaited(self, given: Any) -> Any:
        """Await it."""
        result = self.call(self._taken(given))
        if inspect.isasyncgen(result):
            return [self._kept(each) async for each in result]
        return self._kept(await result)

    def _kept(self, result: Any) -> Any:
        return snapshot_of_frame(result) if self.rows == "frame" else snapshot(result)

    def _taken(self, given: Any) -> Any:
        return FRAMES[self.frame](given) if self.rows == "frame" else given


def name_of(fn: Any) -> str:
    """Return the name of a function as users know it, without where it is nested."""
    plain = fn.func if isinstance(fn, functools.partial) else fn
    name = getattr(plain, "__qualname__", type(plain).__qualname__)
    return str(name).rpartition("<locals>.")[2]


def _plain(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if inspect.isroutine(fn) else type(fn).__call__


def _annotation(fn: Any) -> Any:
    """Return the annotation of the first parameter, as text where it cannot be looked up, None without one."""
    try:
        parameters = inspect.signature(fn, eval_str=True).parameters
    except NameError:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):  # made of C, without a signature
        return None
    first = next(iter(parameters.values()), None)
    if first is None or first.annotation is inspect.Parameter.empty:
        return None
    return first.annotation


def _library(annotation: Any) -> tuple[str, str]:
    """Return the library of a frame and its class."""
    if isinstance(annotation, str):
        module, _, name = annotation.partition("[")[0].rpartition(".")
        return NAMED.get(module, module), name
    kind = get_origin(annotation) or annotation
    return str(getattr(kind, "__module__", "")).partition(".")[0], str(getattr(kind, "__name__", ""))


def _rows_of(annotation: Any, library: tuple[str, str]) -> RowsOf | None:
    if library in FRAMES:
        return "frame"
    if isinstance(annotation, str):
        name = library[1].lower()
        return "one" if name in {"dict", "mapping"} else "many" if name in {"list", "sequence", "iterable"} else None
    if is_typeddict(annotation):
        return "one"
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Mapping):
        return "one"
    return "many" if issubclass(kind, Sequence) or kind is Iterable else None
