"""A claim: samples that one worker has to itself, until it writes them, lets them go, or its lease expires."""

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import narwhals as nw
from typing_extensions import Self

from metaxy.dag.plan import FeaturePlan
from metaxy.errors import ClaimLostError, MetadataSchemaError, MetaxyError
from metaxy.storage.port import Claimant, Claims, Taken
from metaxy.store.data_versions import DataVersion, with_data_versions
from metaxy.store.given import given_frame
from metaxy.store.parts import StoreParts
from metaxy.store.pending_renames import settle
from metaxy.store.replacing import Replacement
from metaxy.store.session import Scope
from metaxy.store.system.id_texts import texts_of_ids
from metaxy.store.system.row_errors import record
from metaxy.store.writing import WriteOptions, write_frames
from metaxy.versioning.frames import Frame, collect_to_polars
from metaxy.wording import first_line

BEATS: Final = 3  # how often a claim is renewed in the time of its lease


@dataclass(frozen=True)
class Held:
    """Where a claim is kept, and what it is of; ``ids`` are the columns that tell its samples apart."""

    store: StoreParts
    keeper: StoreParts
    claims: Claims
    scope: Scope
    plan: FeaturePlan
    by: Claimant
    lease: timedelta
    ids: tuple[str, ...]

    def texts(self, frame: Frame) -> list[str]:
        """Write the IDs of rows as texts.

        Raises:
            MetadataSchemaError: if a column is missing, or an ID is NULL.
        """
        if isinstance(frame, nw.DataFrame) and not len(frame):
            return []
        for name in self.ids:
            if name not in frame.columns:
                raise MetadataSchemaError(
                    f"feature {self.by.feature}: the frame lacks ID column {name!r}. It has: {', '.join(frame.columns)}"
                )
        return texts_of_ids(collect_to_polars(frame.select(*self.ids)), self.ids).to_list()

    def renew(self) -> dict[str, datetime]:
        """Let the claim live on; return what it holds."""
        with self.keeper.open("w"):
            return dict(self.claims.renew(self.by.claim, self.lease))


class Claim:
    """Samples that this worker has to itself, as rows of `MetadataStore.resolve_update` with ``metaxy_status``.

    A thread renews it for as long as somebody has it. As a block, it is released at its end. It is true if it has
    samples; of one that has none, ``elsewhere`` says how many are still to do, but held by others. ``unclaimed`` is how
    many samples were behind it in the list of what is to do. ``token`` is greater than those of all claims before it,
    for other places that must refuse late writes.
    """

    def __init__(
        self,
        held: Held,
        samples: nw.DataFrame[Any],
        taken: Taken | None = None,
        elsewhere: int = 0,
    ) -> None:
        self.samples = samples
        self.token = taken.token if taken else 0
        self.expires_at = taken.expires_at if taken else None
        self.elsewhere = elsewhere
        self.unclaimed = 0
        self._held = held
        self._texts = held.texts(samples)
        self._left = set(self._texts)  # what is neither written nor released
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._failure = ""
        if self._left:
            pause = held.lease.total_seconds() / BEATS
            beating = (weakref.ref(self), self._ended, pause)
            threading.Thread(target=keep_alive, args=beating, name="metaxy-claim", daemon=True).start()

    @property
    def worker(self) -> str:
        """Who has it."""
        return self._held.by.worker

    @property
    def held(self) -> int:
        """How many samples it still has."""
        return len(self._left)

    @property
    def left(self) -> nw.DataFrame[Any]:
        """The samples that were not written yet."""
        return self.samples[[row for row, text in enumerate(self._texts) if text in self._left]]

    def renew(self) -> datetime | None:
        """Let the claim live on for its lease, from now; return until when.

        Raises:
            ClaimLostError: if it does not hold all of its samples any more.
        """
        with self._lock:
            held = self._held.renew() if self._left else {}
            if lost := self._left - held.keys():
                raise self._lost_error(lost)
            self.expires_at = max(held.values(), default=self.expires_at)
            return self.expires_at

    def write(
        self,
        df: Any,
        *,
        replaces: Any = None,
        materialization_id: str | None = None,
        data_version: DataVersion | None = None,
    ) -> None:
        """Write results of samples of the claim, which are finished by that; those that it lost are never written.

        Frames: as for `MetadataStore.write`.

        Args:
            df: rows of the feature.
            replaces: of an expansion, the parents whose children these are, all of them; by default, all that are left.
            materialization_id: id of the run that writes.
            data_version: versions of these results, as for `MetadataStore.write`.

        Raises:
            ClaimLostError: if the lease of a sample had expired and another worker took it; nothing is stored then.
            MetadataSchemaError: if there are rows of samples that the claim does not have, or wrote before.
        """
        key = self._held.plan.feature.key
        versioned = with_data_versions(df, self._held.scope.definition(key), data_version)
        frame = given_frame(versioned, f"the frame for feature {key}", collect=True)
        parents = self._parents(replaces)
        texts = list(dict.fromkeys(self._held.texts(frame if parents is None else parents)))
        self._refuse_others(texts)
        options = WriteOptions(materialization_id, fence=partial(self._finish, texts))
        store, scope = self._held.store, self._held.scope
        with self._lock, self._held.keeper.open("w"), store.open("w"):
            settle(store, scope, key)
            if parents is None:
                write_frames(store, scope, {key: frame}, options)
            else:
                Replacement.build(store, scope, key, parents, options).write_all(frame)
            self._let_go(texts)

    def record_errors(self, frame: Any) -> None:
        """Remember that samples of the claim could not be computed, and let go of them.

        Frames: as for `MetadataStore.record_errors`.

        Raises:
            ClaimLostError: if another worker took a sample; nothing is recorded then.
            MetadataSchemaError: if there are rows of samples that the claim does not have, or wrote before.
        """
        given = given_frame(frame, f"the errors of feature {self._held.by.feature}", collect=True)
        texts = list(dict.fromkeys(self._held.texts(given)))
        self._refuse_others(texts)
        store, scope, plan = self._held.store, self._held.scope, self._held.plan
        with self._lock, self._held.keeper.open("w"), store.open("w"):
            record(store, scope, plan, given, partial(self._finish, texts))
            self._let_go(texts)

    def _let_go(self, texts: Sequence[str]) -> None:
        self._left.difference_update(texts)
        if not self._left:
            self._ended.set()

    def _parents(self, replaces: Any) -> Frame | None:
        """Return the parents whose children are written, None if the feature is no expansion."""
        if replaces is not None:
            return given_frame(replaces, f"the parents for feature {self._held.by.feature}", collect=True)
        return self.left if self._held.plan.feature.expands else None

    def _refuse_others(self, texts: Sequence[str]) -> None:
        others = [text for text in texts if text not in self._left]
        if others:
            known = "were written by this claim before" if set(others) & set(self._texts) else "it does not have"
            raise MetadataSchemaError(
                f"feature {self._held.by.feature}: the frame has {len(others)} samples of a claim that {known}, for "
                f"example {others[0]}; write them with store.write"
            )

    def _finish(self, texts: Sequence[str], work: Callable[[], None]) -> None:
        if lost := self._held.claims.finish(self._held.by.claim, texts, work):
            raise self._lost_error(lost)

    def _lost_error(self, lost: Any) -> ClaimLostError:
        gone = set(lost)
        ids = [row for row, text in zip(self._rows(), self._texts, strict=True) if text in gone]
        why = f"; the last attempt to renew it failed: {self._failure}" if self._failure else ""
        return ClaimLostError(
            f"feature {self._held.by.feature}: {self.worker} lost its claim to {len(ids)} samples, for example "
            f"{next(iter(ids), '')}, as its lease of {self._held.lease} expired and another worker may have them, so "
            f"nothing was written; write without error.samples, or claim with a longer lease{why}",
            samples=ids,
        )

    def _rows(self) -> list[dict[str, Any]]:
        return collect_to_polars(self.samples.select(*self._held.ids)).rows(named=True)

    def release(self) -> None:
        """Let others have what was not written."""
        self._ended.set()
        with self._lock:
            if self._left:
                with self._held.keeper.open("w"):
                    self._held.claims.release(self._held.by.claim)
                self._left.clear()

    def beat(self) -> None:
        """Renew it; why that failed is told when it is lost, and until then there are other attempts."""
        try:
            held = self._held.renew()
        except MetaxyError as error:
            self._failure = first_line(error)
            return
        self.expires_at = max(held.values(), default=self.expires_at)

    def __len__(self) -> int:
        return len(self.samples)

    def __bool__(self) -> bool:
        return len(self.samples) > 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of what was not written."""
        self.release()

    def __repr__(self) -> str:
        until = f", until {self.expires_at:%H:%M:%S} UTC" if self.expires_at else ""
        return f"Claim({self._held.by.feature}: {len(self)} samples for {self.worker}{until})"


def keep_alive(claim: "weakref.ref[Claim]", ended: threading.Event, pause: float) -> None:
    """Renew a claim again and again, until it has ended or nobody has it any more."""
    while not ended.wait(pause):
        found = claim()
        if found is None:
            return
        found.beat()
        del found
