"""One case for the agreement of engines: a small graph, and what happens to its tables, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.agreement.conditions import Condition
from tests.agreement.reference import Given

from metaxy.definitions.keys import FeatureKey
from metaxy.definitions.spec import FeatureSpec


@dataclass(frozen=True)
class Write:
    """Rows that a user writes; ``tick`` is the time since the last event, 0 for one in the same microsecond."""

    feature: FeatureKey
    rows: Given
    tick: int = 1


@dataclass(frozen=True)
class Delete:
    feature: FeatureKey
    condition: Condition
    soft: bool = True
    tick: int = 1


@dataclass(frozen=True)
class Bump:
    """A new code version of a field, or an old one again."""

    feature: FeatureKey
    field: int
    code_version: str


@dataclass(frozen=True)
class Resolve:
    """An update, and what of it is written back.

    ``kept`` chooses rows (None: the very frames that came back), ``expand`` the further IDs that each gets in an
    expansion, ``data`` overrides the data version of some fields. ``chosen`` picks samples that are asked for by
    themselves as well, by the first of their IDs or by all; ``failed`` picks samples of which an error is recorded.
    """

    feature: FeatureKey
    samples: Given | None = None
    filters: Mapping[FeatureKey, tuple[Condition, ...]] | None = None
    everywhere: tuple[Condition, ...] = ()
    target: tuple[Condition, ...] = ()
    stale: tuple[Condition, ...] = ()
    compare: bool = True
    one_row_per_group: bool = False
    lazy: bool = False
    chosen: tuple[bool, ...] = ()
    previous: bool = False
    failed: tuple[bool, ...] = ()
    payload: str | None = None
    kept: tuple[bool, ...] | None = None
    expand: tuple[Any, ...] = ()
    data: Mapping[str, str] | None = None
    tick: int = 1


@dataclass(frozen=True)
class Replace:
    """All children of some parents are written, in place of those that they had.

    ``kept`` chooses among all parents or, ``changed``, among those that are to be computed; each gets one of
    ``children``, in turn. These are written at once or, from 0 on, in so many ``parts``; it may break off after them.
    """

    feature: FeatureKey
    kept: tuple[bool, ...]
    children: tuple[tuple[Any, ...], ...]
    changed: bool = True
    parts: int | None = None
    breaks: bool = False
    lazy: bool = False
    tick: int = 1


@dataclass(frozen=True)
class Settle:
    """Everything is written back and deleted as the update says; then nothing may be left to do.

    ``replaces``: children are all that their parents have.
    """

    feature: FeatureKey
    expand: tuple[Any, ...]
    replaces: bool = False


Step = Write | Delete | Bump | Resolve | Replace | Settle


@dataclass(frozen=True)
class Case:
    algorithm: str
    length: int
    specs: tuple[FeatureSpec, ...]
    kinds: Mapping[str, str]
    filters: Mapping[str, Condition]
    steps: tuple[Step, ...]
    split: int | None = None  # the step from which on all is done in a branch over what was there before
