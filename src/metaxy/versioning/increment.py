"""Increments of `resolve_update`: new, stale and orphaned samples, eager or lazy, as Narwhals or Polars frames."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_CHANGED_FIELDS, is_system_column
from metaxy.notebook import Html, bullets, card, data_table, folded, table
from metaxy.versioning.frames import as_lazy, count_lazy_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PREVIEW_ROWS = 5
OF_CHILDREN = ("orphaned", "behind")  # which an expansion counts in children, as these are its rows


class Tally(NamedTuple):
    """How many samples are new, stale and orphaned, how many there should be, and how many rows there are.

    ``changed_fields`` says in how many samples each field changed, None if that was not asked. ``failed`` samples are
    new or stale, but left out, as they failed before. ``drifted`` is how many have another payload than is stored, or
    are behind their parents, if that was asked.
    """

    new: int
    stale: int
    orphaned: int
    expected: int
    stored: int
    changed_fields: dict[str, int] | None = None
    failed: int = 0
    drifted: int | None = None


class PolarsIncrement(NamedTuple):
    """New, stale and orphaned samples as Polars frames."""

    new: pl.DataFrame
    stale: pl.DataFrame
    orphaned: pl.DataFrame

    def __bool__(self) -> bool:
        return any(frame.height for frame in self)

    def __repr__(self) -> str:
        return f"PolarsIncrement(rows: {', '.join(f'{kind}={len(rows)}' for kind, rows in self._asdict().items())})"

    def _repr_html_(self) -> str:
        """Show how many rows of each kind there are, and the first of them, in a notebook."""
        frames = {kind: nw.from_native(frame, eager_only=True) for kind, frame in self._asdict().items()}
        counts = table(((kind, f"{len(frame):,}") for kind, frame in frames.items()), ("kind", "rows"), numbers=True)
        return card("", counts, *(_preview(*each) for each in frames.items() if len(each[1])))


class _Frames(NamedTuple):
    new: nw.DataFrame[Any]
    stale: nw.DataFrame[Any]
    orphaned: nw.DataFrame[Any]


class Increment(_Frames):
    """Samples to compute (`new`), to compute again (`stale`) and to remove (`orphaned`).

    ``new`` and ``stale`` hold the columns of the parents and the versions to write; ``orphaned`` holds the stored rows.
    It unpacks like a tuple of the three, is true if there is anything to do, and shows itself as a table in notebooks.
    ``expected`` is how many samples the feature should have, where that is known. Where several rows may be one sample,
    as in an aggregation, ``sample_columns`` tell samples apart; elsewhere it is empty. ``len(increment.new)`` counts
    rows and `counts` samples: where they differ, the increment shows both. ``fields`` are those of the feature if it
    was asked which of them changed. ``failed`` is how many samples are left out, as they failed before, if that was
    asked. ``drifted`` are samples whose versions are equal and whose payload is not, and ``behind`` those that have
    older values of columns of their parents, both as rows to write, if that was asked. ``unread`` is how many samples
    could not be read and stay as they are, if any said so. Of an expansion, ``new`` and ``stale`` hold parents, which
    ``parent_columns`` tell apart, and the other frames children; its text says which.

    >>> frame = nw.from_native(pl.DataFrame({"id": ["a", "b"]}))
    >>> increment = Increment(frame, frame.head(0), frame.head(0)).with_expected(5)
    >>> increment
    Increment(new=2, stale=0, orphaned=0, unchanged=3)
    >>> bool(increment), [len(batch) for batch in increment.batches(1)]
    (True, [1, 1])
    """

    expected: int | None = None
    sample_columns: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None
    drifted: nw.DataFrame[Any] | None = None
    failed: int | None = None
    behind: nw.DataFrame[Any] | None = None
    unread: int | None = None
    parent_columns: tuple[str, ...] = ()

    def with_payload(
        self, *, drifted: nw.DataFrame[Any] | None = None, behind: nw.DataFrame[Any] | None = None
    ) -> "Increment":
        """Return the increment with samples of equal versions in which another column differs."""
        return self._with(drifted=drifted, behind=behind)

    def with_expected(
        self, expected: int | None, sample_columns: Sequence[str] = (), fields: Iterable[str] | None = None
    ) -> "Increment":
        """Return the increment with the number of samples that the feature should have."""
        named = None if fields is None else tuple(fields)
        return self._with(expected=expected, sample_columns=tuple(sample_columns), fields=named)

    def with_parents(self, columns: Sequence[str]) -> "Increment":
        """Return the increment of an expansion, with the columns that tell parents apart."""
        return self._with(parent_columns=tuple(columns))

    def with_failed(self, failed: int) -> "Increment":
        """Return the increment with the number of samples that are left out, as they failed before."""
        return self._with(failed=failed)

    def with_unread(self, unread: int) -> "Increment":
        """Return the increment with the number of samples that stay as they are, as they could not be read."""
        return self._with(unread=unread)

    def _with(self, **known: Any) -> "Increment":
        increment = type(self)(*self)
        vars(increment).update(vars(self), **known)
        return increment

    def __bool__(self) -> bool:
        return any(len(frame) for frame in self)

    @property
    def counts(self) -> dict[str, int]:
        """How many samples are new, stale, orphaned and, where known, drifted, behind, failed, unread and unchanged.

        Of an expansion, children are orphaned and behind, and parents all else.
        """
        counts = {"new": self._samples(self.new), "stale": self._samples(self.stale), "orphaned": len(self.orphaned)}
        counts |= {kind: len(frame) for kind, frame in self._payload_frames()}
        if self.failed is not None:
            counts["failed"] = self.failed
        if self.unread is not None:
            counts["unread"] = self.unread
        if self.expected is not None:
            others = sum(counts.values()) - counts["orphaned"] - self._beside_their_parents
            counts["unchanged"] = max(self.expected - others, 0)
        return counts

    @property
    def _beside_their_parents(self) -> int:
        """How many more children are behind than parents have such children."""
        return 0 if self.behind is None else len(self.behind) - _count(self.behind, self.parent_columns)

    def _payload_frames(self) -> Iterator[tuple[str, nw.DataFrame[Any]]]:
        for kind, frame in (("drifted", self.drifted), ("behind", self.behind)):
            if frame is not None:
                yield kind, frame

    @property
    def changed_fields(self) -> dict[str, int] | None:
        """In how many new and stale samples each field changed, by field; None without ``previous=True``."""
        if self.fields is None:
            return None
        columns = [*self.sample_columns, METAXY_CHANGED_FIELDS]
        samples = [frame.select(*columns).to_polars() for frame in (self.new, self.stale)]
        once = [frame.unique(self.sample_columns) if self.sample_columns else frame for frame in samples]
        counts = Counter(pl.concat([frame[METAXY_CHANGED_FIELDS] for frame in once]).explode().drop_nulls())
        return {name: counts[name] for name in self.fields if counts[name]}

    @property
    def progress(self) -> float | None:
        """Per cent of the expected samples that were computed at least once; None if that is not known."""
        if not self.expected or self.failed or self.unread:
            return None
        return 100 * (self.expected - self._samples(self.new)) / self.expected

    def _samples(self, frame: nw.DataFrame[Any]) -> int:
        return _count(frame, self.sample_columns)

    def batches(self, size: int) -> Iterator[nw.DataFrame[Any]]:
        """Yield the samples to compute, new ones first, at most ``size`` at a time; rows of one sample stay together.

        Raises:
            ValueError: if ``size`` is less than 1.
        """
        if size < 1:
            raise ValueError(f"a batch must hold at least one sample, not {size}")
        for frame in (self.new, self.stale):
            yield from self._groups(frame, size) if self.sample_columns else _slices(frame, size)

    def _groups(self, frame: nw.DataFrame[Any], size: int) -> Iterator[nw.DataFrame[Any]]:
        keys = frame.select(*self.sample_columns).to_polars().with_row_index("__metaxy_row")
        rows = keys.group_by(self.sample_columns, maintain_order=True).agg("__metaxy_row")["__metaxy_row"]
        for start in range(0, len(rows), size):
            yield frame[rows[start : start + size].explode().to_list()]

    def collect(self) -> "Increment":
        """Return this increment: it is eager already."""
        return self

    def to_polars(self) -> PolarsIncrement:
        """Convert the three frames to Polars."""
        return PolarsIncrement(*(frame.to_polars() for frame in self))

    def to_pandas(self) -> tuple["pd.DataFrame", "pd.DataFrame", "pd.DataFrame"]:
        """Convert the three frames to Pandas."""
        return self.new.to_pandas(), self.stale.to_pandas(), self.orphaned.to_pandas()

    def to_arrow(self) -> tuple["pa.Table", "pa.Table", "pa.Table"]:
        """Convert the three frames to Arrow tables."""
        return self.new.to_arrow(), self.stale.to_arrow(), self.orphaned.to_arrow()

    def __repr__(self) -> str:
        def shown(kind: str, samples: int, rows: int) -> str:
            return f"{kind}={samples}" if samples == rows else f"{kind}={samples} in {rows} rows"

        counts = self._shown_counts()
        fields = [] if self.fields is None else [f"changed_fields={self.changed_fields}"]
        if not self.parent_columns:
            return f"Increment({', '.join([*(shown(*each) for each in counts), *fields])})"
        parents = [shown(*each) for each in counts if each[0] not in OF_CHILDREN]
        children = [shown(*each) for each in counts if each[0] in OF_CHILDREN]
        return f"Increment(parents: {', '.join([*parents, *fields])}; children: {', '.join(children)})"

    def _shown_counts(self) -> list[tuple[str, int, int]]:
        """Return kinds with the number of their samples, and of their rows where these are in a frame."""
        rows = {kind: len(frame) for kind, frame in zip(self._fields, self, strict=True)}
        shown = {kind: samples for kind, samples in self.counts.items() if samples or kind not in ("drifted", "behind")}
        return [(kind, samples, rows.get(kind, samples)) for kind, samples in shown.items()]

    def _repr_html_(self) -> str:
        """Show counts and the first samples of each kind in a notebook; rows, too, where there are more of them."""
        counts = self._shown_counts()
        differ = any(samples != rows for _, samples, rows in counts)
        units = {kind: "children" if kind in OF_CHILDREN else "parents" for kind, *_ in counts if self.parent_columns}
        lines: list[tuple[str, ...]] = [
            (" ".join(filter(None, [kind, units.get(kind)])), f"{samples:,}", *([f"{rows:,}"] if differ else []))
            for kind, samples, rows in counts
        ]
        for name, count in (self.changed_fields or {}).items():
            lines.append((f"{name} changed", f"{count:,}", *([""] if differ else [])))
        heads = ("samples", "count", *(["rows"] if differ else []))
        frames = (*zip(self._fields, self, strict=True), *self._payload_frames())
        return card("", table(lines, heads, numbers=True), *(_preview(*each) for each in frames if len(each[1])))


def _preview(name: str, frame: nw.DataFrame[Any]) -> Html:
    """Return the first rows of a frame: those that tell most come first, which are not Metaxy's own."""
    columns = sorted(frame.columns, key=is_system_column)
    rows = frame.head(PREVIEW_ROWS).select(*columns).to_polars().rows()
    return folded(name, data_table(columns, rows))


def _not_computed(increment: object, kinds: Iterable[str]) -> str:
    return card(type(increment).__name__, bullets(kinds), note="not computed yet: call collect()")


def _count(frame: nw.DataFrame[Any], columns: Sequence[str]) -> int:
    """Count what columns tell apart, or rows if there are none."""
    # Arrow tells the two zeros apart, and engines do not.
    return frame.select(*columns).to_polars().n_unique() if columns else len(frame)


def _slices(frame: nw.DataFrame[Any], size: int) -> Iterator[nw.DataFrame[Any]]:
    for start in range(0, len(frame), size):
        yield frame[start : start + size]


@dataclass(kw_only=True)
class PolarsLazyIncrement:
    """New, stale and orphaned samples as Polars lazy frames."""

    new: pl.LazyFrame
    stale: pl.LazyFrame
    orphaned: pl.LazyFrame
    input: pl.LazyFrame | None = None
    compute: Callable[[], Increment] | None = field(default=None, repr=False)

    def collect(self, **kwargs: Any) -> PolarsIncrement:
        """Compute the three frames at once, from one snapshot."""
        if self.compute is not None:
            return self.compute().to_polars()
        return PolarsIncrement(*pl.collect_all([self.new, self.stale, self.orphaned], **kwargs))

    def _repr_html_(self) -> str:
        return _not_computed(self, ("new", "stale", "orphaned", *([] if self.input is None else ["input"])))


View: TypeAlias = nw.LazyFrame[Any] | Callable[[], nw.LazyFrame[Any]]


class LazyIncrement:
    """New, stale and orphaned samples, not computed yet.

    The frames are views, not a snapshot: each is built when it is asked for, and computed from what the tables hold
    when it is collected. `collect` computes all three at once from one snapshot. ``sample_columns`` tell samples apart
    where several rows may be one, and are empty elsewhere.
    """

    def __init__(
        self,
        *,
        new: View,
        stale: View,
        orphaned: View,
        input: View | None = None,  # noqa: A002 - the name that metaxy 0.1 gave it
        drifted: View | None = None,
        behind: View | None = None,
        compute: Callable[[], Increment] | None = None,
        sample_columns: Sequence[str] = (),
    ) -> None:
        self.sample_columns = tuple(sample_columns)
        self._views: dict[str, View | None] = {"new": new, "stale": stale, "orphaned": orphaned, "input": input}
        self._views |= {"drifted": drifted, "behind": behind}
        self.compute = compute

    @classmethod
    def of(cls, increment: Increment, joined: View | None = None) -> "LazyIncrement":
        """Show an increment as views of what was computed; ``joined`` are its expected rows, if there are any."""
        new, stale, orphaned = map(as_lazy, increment)
        more: dict[str, Any] = {kind: as_lazy(frame) for kind, frame in increment._payload_frames()}
        more |= {"compute": lambda: increment, "sample_columns": increment.sample_columns}
        return cls(new=new, stale=stale, orphaned=orphaned, input=joined, **more)

    @property
    def new(self) -> nw.LazyFrame[Any]:
        """Samples to compute."""
        return self._built("new")

    @property
    def stale(self) -> nw.LazyFrame[Any]:
        """Samples to compute again."""
        return self._built("stale")

    @property
    def orphaned(self) -> nw.LazyFrame[Any]:
        """Samples to remove."""
        return self._built("orphaned")

    @property
    def input(self) -> nw.LazyFrame[Any] | None:
        """The joined parents with provenance, before the comparison; None for samples that the user gave."""
        return None if self._views["input"] is None else self._built("input")

    @property
    def drifted(self) -> nw.LazyFrame[Any] | None:
        """Samples whose versions are equal and whose payload is not, None if that was not asked."""
        return None if self._views["drifted"] is None else self._built("drifted")

    @property
    def behind(self) -> nw.LazyFrame[Any] | None:
        """Samples with older values of columns of their parents, None if that was not asked."""
        return None if self._views["behind"] is None else self._built("behind")

    def _built(self, name: str) -> nw.LazyFrame[Any]:
        view: Any = self._views[name]
        if callable(view):
            view = self._views[name] = view()
        frame: nw.LazyFrame[Any] = view
        return frame

    def __repr__(self) -> str:
        return f"LazyIncrement({self.new.implementation.name.lower()}, not computed yet: call collect())"

    def _repr_html_(self) -> str:
        """Show in a notebook what can be asked of it; nothing is built or computed for that."""
        return _not_computed(self, [kind for kind, view in self._views.items() if view is not None])

    def collect(self, **kwargs: Any) -> Increment:
        """Compute the three frames at once, from one snapshot."""
        if self.compute is not None:
            return self.compute()
        return Increment(*(frame.collect(**kwargs) for frame in (self.new, self.stale, self.orphaned)))

    def to_polars(self) -> PolarsLazyIncrement:
        """Convert to Polars lazy frames; what is not Polars yet is computed for that."""
        frames = (self.new, self.stale, self.orphaned)
        if all(frame.implementation.is_polars() for frame in frames):
            new, stale, orphaned = (frame.to_native() for frame in frames)
            given = None if self.input is None else self.input.to_native()
            return PolarsLazyIncrement(new=new, stale=stale, orphaned=orphaned, input=given, compute=self.compute)
        new, stale, orphaned = (frame.lazy() for frame in self.collect().to_polars())
        given = None if self.input is None else _deferred(self.input)
        return PolarsLazyIncrement(new=new, stale=stale, orphaned=orphaned, input=given)


def _deferred(frame: nw.LazyFrame[Any]) -> pl.LazyFrame:
    """Make a Polars lazy frame that asks the database when it is collected."""

    def collected(rows: nw.LazyFrame[Any]) -> pl.DataFrame:
        native: pl.DataFrame = rows.collect("polars").to_native()
        return native

    return pl.defer(lambda: collected(frame), schema=lambda: collected(frame.head(0)).schema)


def input_progress(increment: LazyIncrement, columns: Sequence[str]) -> float | None:
    """Return which part of the expected samples, told apart by these columns, is not new, in percent."""
    if increment.input is None or not columns:
        return None
    expected, new = (count_lazy_rows(frame.select(columns).unique()) for frame in (increment.input, increment.new))
    return 100 * (expected - new) / expected if expected else None
