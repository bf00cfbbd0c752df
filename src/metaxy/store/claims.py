"""Taking claims: samples of an update that one worker has to itself for a while.

    list what is to do → take the next free samples → resolve these anew → `Claim`: compute, `write`, `release`

What is to do is listed once by each process, and then used for some minutes: of the list come the samples that nobody
holds, and only these are resolved again, after they were taken. So what is handed out is still to do, whatever became
of it since it was listed.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

import narwhals as nw
import polars as pl

from metaxy.columns import METAXY_FEATURE_VERSION, METAXY_STATUS
from metaxy.dag.plan import FeaturePlan
from metaxy.definitions.keys import coerce_to_feature_key
from metaxy.errors import DefinitionError, InvalidConfigError
from metaxy.storage.port import Claimant, Claims, Coordinates, Taken
from metaxy.storage.sql_claims import COUNTER, KEPT
from metaxy.store.claim import Claim, Held
from metaxy.store.parts import StoreParts
from metaxy.store.session import Scope
from metaxy.store.system.rows import scan_rows
from metaxy.store.system.tables import CLAIMS, COL_FEATURE_KEY
from metaxy.store.work_lists import WorkList, refuse_unknown_order
from metaxy.versioning.frames import collect_to_polars

Status = Literal["new", "stale"]
LEASE: Final = timedelta(minutes=10)
LOOKS: Final = 3  # in the time of a lease, for samples that others may let go of
LONGEST_PAUSE: Final = 10.0
WINDOW: Final = 1000  # samples of a list that are looked at together
REFUSED: Final = ("lazy", "as_of", "skip_comparison")  # by these, what is to do is not what it is now
LATER: Final[Mapping[Status, Status]] = {"new": "stale", "stale": "new"}


def keeper_of(store: StoreParts) -> tuple[StoreParts, Claims]:
    """Return the store that keeps the claims of a store, which is itself or the one that it names, and its claims.

    Raises:
        InvalidConfigError: if it cannot compare and swap.
    """
    keeper = store.claims_store
    found = keeper.storage.claims(CLAIMS.key) if isinstance(keeper.storage, Coordinates) else None
    if found is None:
        raise InvalidConfigError(
            f"{keeper!r} cannot keep claims, as nothing in it is compared and swapped; name a PostgreSQL, SQLite or "
            f"DuckDB store that does so for {store!r}: claims_store in metaxy.toml, or claims_store= of the constructor"
        )
    return keeper, found


def this_worker() -> str:
    """Name this thread of this process, on this machine."""
    thread = threading.current_thread()
    number = "" if thread is threading.main_thread() else f":{thread.native_id}"
    return f"{socket.gethostname()}:{os.getpid()}{number}"


@dataclass(frozen=True)
class Claiming:
    """What one call of `MetadataStore.claim` asks for; ``resolve`` is `MetadataStore.resolve_update`."""

    store: StoreParts
    scope: Scope
    plan: FeaturePlan
    resolve: Callable[..., Any]
    options: Mapping[str, Any]
    limit: int
    lease: timedelta
    worker: str
    first: Status = "new"
    order_by: Sequence[str] = ()
    wait: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be claimed."""
        if self.limit < 1:
            raise ValueError(f"a claim is of at least one sample: limit is {self.limit!r}")
        if self.lease <= timedelta(0):
            raise ValueError(f"a claim must live for some time: lease is {self.lease!r}")
        if self.first not in get_args(Status):
            raise ValueError(f'first is "new" or "stale", not {self.first!r}')
        for name in REFUSED:
            if self.options.get(name):
                raise ValueError(f"claim has no option {name}: it hands out what is to do now")

    def take(self) -> Claim:
        """Take the next samples; where others hold all that are left, wait for these if that is asked."""
        pause = min(self.lease.total_seconds() / LOOKS, LONGEST_PAUSE)
        while True:
            claim = self._try_to_take()
            if claim or not claim.elsewhere or not self.wait:
                return claim
            time.sleep(pause)

    def _try_to_take(self) -> Claim:
        """Take the next free samples that are to do; none if none are left, or others hold them all."""
        keeper, claims = keeper_of(self.store)
        lists, key = self.store.work_lists, (self.plan.feature.key, self._version, self.first, tuple(self.order_by))
        with keeper.open("w"), self.store.open("r"), lists.lock:
            listed = lists.find(key, self.options, KEPT)
            if listed and (claim := self._next(keeper, claims, listed)):
                return claim
            listed, view = self._listed(claims.prepare())
            lists.remember(key, self.options, listed)
            if claim := self._next(keeper, claims, listed):
                return claim
            held = self._held(keeper, claims, self._claimant(), listed.ids.columns)
            return Claim(held, self._none(view, listed.ids), elsewhere=listed.elsewhere)

    @property
    def _version(self) -> str:
        return self.scope.version(self.plan.feature.key)

    def _claimant(self) -> Claimant:
        return Claimant(uuid.uuid4().hex, self.worker, str(self.plan.feature.key), self._version)

    def _held(self, keeper: StoreParts, claims: Claims, by: Claimant, ids: Sequence[str]) -> Held:
        return Held(self.store, keeper, claims, self.scope, self.plan, by, self.lease, tuple(ids))

    def _ids(self, columns: Sequence[str]) -> list[str]:
        """Name the IDs that tell apart what is handed out: of an expansion, those of the parent."""
        ids = [name for name in self.plan.feature.id_columns if name in columns]
        if not ids:
            raise DefinitionError(
                f"feature {self.plan.feature.key} is matched with its parents by none of its ID columns, so nothing "
                "names what a claim holds; add such a column to them"
            )
        return ids

    def _listed(self, now: datetime) -> tuple[WorkList, nw.LazyFrame[Any]]:
        """List what is to do: the IDs of all samples that are new or stale; and a view of such samples."""
        increment = self.resolve(self.plan.feature.key, lazy=True, **self.options)
        views = [getattr(increment, status) for status in (self.first, LATER[self.first])]
        refuse_unknown_order(self.order_by, views[0].columns)
        ids = self._ids(views[0].columns)
        columns = list(dict.fromkeys([*ids, *self.order_by]))
        frames = [collect_to_polars(view.select(*columns)) for view in views]
        frames = [frame.sort(self.order_by, maintain_order=True) for frame in frames] if self.order_by else frames
        listed = pl.concat(frame.select(ids) for frame in frames).unique(maintain_order=True)
        return WorkList(listed, now), views[0]

    def _next(self, keeper: StoreParts, claims: Claims, listed: WorkList) -> Claim | None:
        """Take the next samples of a list that are free, and still to do; None if there are none."""
        while listed.left:
            texts, by = listed.window(max(WINDOW, 2 * self.limit)), self._claimant()
            taken = claims.take(
                by, texts, since=listed.since, limit=self.limit, rest=listed.left - len(texts), lease=self.lease
            )
            ids = listed.ids.slice(listed.place)[taken.places]
            chosen = [texts[place] for place in taken.places]
            listed.place += taken.seen
            listed.elsewhere += taken.elsewhere
            if ids.height and (claim := self._still_to_do(keeper, claims, by, taken, ids, chosen)):
                claim.unclaimed = listed.left
                return claim
        return None

    def _still_to_do(
        self,
        keeper: StoreParts,
        claims: Claims,
        by: Claimant,
        taken: Taken,
        ids: pl.DataFrame,
        texts: Sequence[str],
    ) -> Claim | None:
        """Resolve samples anew, now that they are taken; those that are in order are marked as finished."""
        held = self._held(keeper, claims, by, ids.columns)
        try:
            samples = self._samples(ids)
            found = held.texts(samples)
            still = set(found)
            done = [text for text in texts if text not in still]
            if done:
                claims.finish(by.claim, done, lambda: None)
        except BaseException:
            claims.release(by.claim)
            raise
        if not found:
            return None
        places = {text: place for place, text in enumerate(texts)}
        in_order = sorted(range(len(found)), key=lambda row: places[found[row]])
        return Claim(held, samples[in_order], taken)

    def _none(self, view: nw.LazyFrame[Any], ids: pl.DataFrame) -> nw.DataFrame[Any]:
        """Return no samples, with the columns of a view; only where it does not tell all types, the store is asked."""
        schema = view.collect_schema()
        if nw.Unknown in schema.dtypes():
            return self._samples(ids.head(0))
        return nw.from_native(pl.DataFrame(schema={**schema.to_polars(), METAXY_STATUS: pl.String()}))

    def _samples(self, ids: pl.DataFrame) -> nw.DataFrame[Any]:
        increment = self.resolve(self.plan.feature.key, **{**self.options, "ids": ids})
        frames = [
            getattr(increment, status).with_columns(nw.lit(status).alias(METAXY_STATUS)) for status in get_args(Status)
        ]
        return nw.concat([frame for frame in frames if len(frame)] or frames[:1])


def held_samples(store: StoreParts) -> dict[tuple[str, str], int]:
    """Count the samples that live workers have, by feature and version; none where nobody ever claimed any."""
    try:
        keeper, _ = keeper_of(store)
    except InvalidConfigError:  # it keeps no claims
        return {}
    with keeper.open("r"):
        if not keeper.storage.has_table(CLAIMS.key):
            return {}
        live = open_claims(store).filter(pl.col("is_live"))
    by = (COL_FEATURE_KEY, METAXY_FEATURE_VERSION)
    return {(key, version): count for key, version, count in live.group_by(by).agg(pl.col("samples").sum()).rows()}


def open_claims(store: StoreParts, feature: Any = None) -> pl.DataFrame:
    """Return the claims of all workers, the oldest first, or only those to samples of one feature."""
    keeper, claims = keeper_of(store)
    of_features = nw.col(COL_FEATURE_KEY) != COUNTER
    wanted = of_features if feature is None else nw.col(COL_FEATURE_KEY) == str(coerce_to_feature_key(feature))
    with keeper.open("r"):
        rows = scan_rows(keeper.storage, CLAIMS).filter(wanted & nw.col("finished_at").is_null())
        found = CLAIMS.fit(collect_to_polars(rows.select(*CLAIMS.schema)))
        now = claims.clock()
    by = (COL_FEATURE_KEY, METAXY_FEATURE_VERSION, "worker", "token", "taken_at", "expires_at")
    counted = found.group_by(by).agg(pl.len().cast(pl.Int64).alias("samples"))
    return counted.with_columns((pl.col("expires_at") > now).alias("is_live")).sort("token")
