"""Claims: samples that one worker has to itself; what becomes of them when it is late, is in `tests/faults`."""

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.factory import define, everything, rows, values
from tests.services import postgres
from tests.stores import STORES, StoreFactory, postgresql_database

from metaxy.config import MetaxyConfig
from metaxy.definitions.dependency import FeatureDep
from metaxy.definitions.lineage import LineageRelationship
from metaxy.errors import (
    ClaimLostError,
    InvalidConfigError,
    MetadataSchemaError,
    ProcessError,
    SystemDataNotFoundError,
)
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.ext.postgresql.claims import PostgreSQLClaims
from metaxy.ext.sqlite import SQLiteMetadataStore
from metaxy.storage.port import Claimant, Claims, Coordinates
from metaxy.store import outbox
from metaxy.store.claims import keeper_of
from metaxy.store.store import MetadataStore
from metaxy.store.system.tables import CLAIMS

KEEPERS = ("postgresql", "sqlite", "duckdb")
Make = Callable[..., MetadataStore]


@pytest.fixture
def sharing(make: StoreFactory, tmp_path: Path) -> Make:
    """Make a store that can share out work: by itself or, if it cannot, by an SQLite file."""
    store = make()
    if isinstance(store.storage, Coordinates) and store.storage.claims(CLAIMS.key):
        return make
    with pytest.raises(InvalidConfigError, match="claims_store in metaxy"):
        keeper_of(store)
    keeper = SQLiteMetadataStore(tmp_path / "claims.sqlite", auto_create_tables=True)
    return lambda **options: make(claims_store=keeper, **options)


def claimed(claim: Any) -> list[str]:
    return list(claim.samples["id"])


@pytest.mark.three_stores
def test_a_sample_has_one_worker_at_a_time(sharing: Make) -> None:
    define("video")
    define("clip", "video")
    first, second = sharing(), sharing()
    with first.open("w"):
        first.write("video", rows(id=["a", "b", "c", "d", "e"], n=[1, 2, 3, 4, 5]))
    with first.claim("clip", limit=2, worker="one") as one:
        assert set(one.samples["metaxy_status"]) == {"new"}
        other = second.claim("clip", worker="two")
        # Two workers have equal parts of what is left: three of five, and one of them is the greater half.
        assert (len(one), len(other), other.token > one.token) == (2, 2, True)
        one.write(one.samples.head(1))
        held = second.read_claims("clip").select("worker", "samples", "token", "is_live").rows()
        assert held == [("one", 1, one.token, True), ("two", 2, other.token, True)]
        assert not len(second.read_claims("video"))
        assert claimed(one)[1:] == list(one.left["id"])
        for wrong in (one.samples.head(1), other.samples):
            with pytest.raises(MetadataSchemaError, match="of a claim that"):
                one.write(wrong)
        with pytest.raises(MetadataSchemaError, match="lacks ID column 'id'"):
            one.write(one.samples.drop("id"))
    other.write(other.samples)
    with first:
        assert values(first.read("clip")) == sorted([claimed(one)[0], *claimed(other)])
    with first.open("w"):
        first.write("video", rows("2", id=claimed(other), n=[7, 7]))
    with second.claim("clip", first="stale", order_by="n") as rest:
        assert list(rest.samples["metaxy_status"]) == ["stale"] * 2 + ["new"] * 2
        assert claimed(rest)[:2] == claimed(other)
        rest.write(rest.samples.filter(nw.col("metaxy_status") == "stale"))
        assert not (nothing := first.claim("clip"))
        assert (len(nothing), nothing.elsewhere, nothing.renew()) == (0, 2, None)
        assert {"id", "metaxy_provenance_by_field", "metaxy_status"} <= set(nothing.samples.columns)
    with first.claim("clip") as last:
        last.write(last.samples)
    assert not first.claim("clip").elsewhere
    with first:
        assert "metaxy_status" not in first.read("clip").collect_schema()
        assert sorted(everything(first, "clip")["id"]) == sorted(["a", "b", "c", "d", "e", *claimed(other)])


@pytest.mark.three_stores
def test_processing_claims_each_sample_once_in_a_run(sharing: Make) -> None:
    """Two stores are two processes, of which the second begins while the first computes."""
    define("video")
    define("clip", "video")
    first, second = sharing(), sharing()
    with first.open("w"):
        first.write("video", rows(id=[f"v{n}" for n in range(20)], n=list(range(20))))
        first.write("clip", first.resolve_update("clip", ids=["v19"]).new)
        first.write("video", rows("2", id=["v19"], n=[19]))
    seen: list[str] = []
    theirs: list[Any] = []

    def compute(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(row["id"])
        assert row.keys() == {"id", "n"}
        if len(seen) == 3:
            theirs.append(second.process("clip", compute, claim=True, progress=False))
        if row["n"] % 5 == 0:
            raise ValueError("no fifths")
        return {"size": row["n"]}

    def run(store: MetadataStore, **options: Any) -> Any:
        return store.process("clip", compute, claim=True, progress=False, **options)

    report = run(first, first="stale", order_by="n")
    assert theirs, report.errors
    [other] = theirs
    assert seen[0] == "v19"
    assert sorted(seen) == sorted(f"v{n}" for n in range(20))
    assert (report.new + other.new, report.stale, report.failed + other.failed) == (19, 1, 4)
    assert (report.done + other.done, report.lost, report.elsewhere) == (16, 0, 0)
    assert (other.elsewhere, other.in_sync) == (report.total, False)
    with first:
        assert values(first.read_errors("clip"), "id", "attempt") == [(f"v{n}", 1) for n in (0, 10, 15, 5)]
        assert len(values(first.read("clip"))) == 16
    some = run(second, errors="only", limit=3)
    assert (run(second, errors="skip").total, some.failed, some.limited) == (0, 3, True)
    assert run(second, max_attempts=2).total == 1
    assert not first.claim("clip", errors="skip")
    with pytest.raises(ProcessError, match="no fifths"):
        run(first, on_error="raise")
    assert len(first.claim("clip")) == 4
    with pytest.raises(ValueError, match="claim has no option skip_comparison"):
        run(first, skip_comparison=True)


def test_claimed_results_are_written_by_size_and_what_is_refused_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "FLUSH_BYTES", 10_000)
    monkeypatch.setattr(outbox, "FLUSH_SECONDS", 3_600.0)
    define("video")
    define("clip", "video")
    keeper = SQLiteMetadataStore(tmp_path / "claims.sqlite", auto_create_tables=True)
    store = DuckDBMetadataStore(tmp_path / "features.duckdb", auto_create_tables=True)
    with store.open("w"):
        store.write("video", rows(id=list("abcdef")))
    options: dict[str, Any] = {"claim": True, "batch_size": 1, "progress": False}
    closed = DuckDBMetadataStore(tmp_path / "features.duckdb", auto_create_tables=False, claims_store=keeper)
    with pytest.raises(ProcessError, match="may not create it"):
        closed.process("clip", lambda row: {"text": row["id"]}, rows="one", **options)
    assert "trying again" not in caplog.text
    store.process("clip", lambda row: {"text": row["id"] * 6_000}, rows="one", **options)
    with store:
        assert store.read("clip").collect()["metaxy_updated_at"].n_unique() == 3


def test_writing_and_claiming_may_share_one_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    define("video")
    define("clip", "video")
    store = DuckDBMetadataStore(tmp_path / "features.duckdb", auto_create_tables=True)
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c"]))
    opened: list[str] = []
    reopen = store.storage.open

    def noted(mode: Any) -> None:
        opened.append(mode)
        reopen(mode)

    monkeypatch.setattr(store.storage, "open", noted)
    claim, claims = store.claim("clip", limit=1), 1
    while claim:
        with store.open("w"):
            claim.write(claim.samples)
            claim = store.claim("clip", limit=1)
        claims += 1
    assert opened == ["w"] * claims
    with store:
        assert values(store.read("clip")) == ["a", "b", "c"]


@pytest.mark.three_stores
def test_nothing_is_resolved_for_a_claim_of_nothing(sharing: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the columns of others without being asked; only what is to do is listed."""
    define("video")
    define("clip", "video")
    store = sharing()
    with store.open("w"):
        store.write("video", rows(id=["a"], n=[1], at=[datetime(2026, 1, 2, tzinfo=timezone.utc)]))
    with store.claim("clip") as claim:
        schema = claim.samples.collect_schema()
        claim.write(claim.samples)
    asked: list[Any] = []
    resolve = store.resolve_update

    def noted(*given: Any, **how: Any) -> Any:
        asked.append(how.get("lazy"))
        return resolve(*given, **how)

    monkeypatch.setattr(store, "resolve_update", noted)
    nothing = store.claim("clip")
    assert not nothing
    assert nothing.samples.collect_schema() == schema
    assert asked == [True]


@pytest.mark.three_stores
def test_processing_claims_parents_and_groups(sharing: Make) -> None:
    define("video")
    chunks = FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"]))
    define("chunk", chunks, ids=["id", "k"])
    define("whole", FeatureDep(feature="chunk", lineage=LineageRelationship.aggregation(on=["id"])), ids=["id"])
    store = sharing()
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c"], n=[2, 1, 3]))

    def cut(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"k": k} for k in range(row["n"] - 1)]

    def count(given: pl.DataFrame) -> pl.DataFrame:
        return given.group_by("id").agg(size=pl.len())

    for feature, fn, total, written in (("chunk", cut, 3, 3), ("whole", count, 2, 2)):
        report = store.process(feature, fn, claim=True, batch_size=1, progress=False)
        assert (report.total, report.done, report.rows, report.in_sync) == (total, total, written, True)
        assert store.process(feature, fn, claim=True, progress=False).total == 0
    with store:
        assert values(store.read("whole"), "id", "size") == [("a", 1), ("c", 2)]


@pytest.mark.three_stores
def test_the_first_parents_may_have_no_children(sharing: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else says of which type the IDs of children are; they come when some were to be written long ago."""
    monkeypatch.setattr(outbox, "PUT_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "FLUSH_SECONDS", 0.0)
    define("video")
    chunks = FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"]))
    store = sharing()
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c", "d"], n=[0, 0, 2, 0]))

    def cut(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"k": k} for k in range(row["n"])]

    for feature, claim in (("chunk", False), ("piece", True)):
        define(feature, chunks, ids=["id", "k"])
        options: dict[str, Any] = {"claim": claim, "batch_size": 1, "order_by": "id", "progress": False}
        told = f"feature {feature}, .* nothing says of which type ID column 'k' is; declare it in the class"
        with pytest.raises(ProcessError, match=told):
            store.process(feature, cut, limit=2, **options)
        assert store.process(feature, cut, **options).rows == 2
        with store:
            assert values(store.read(feature), "id", "k") == [("c", 0), ("c", 1)]
            assert not store.resolve_update(feature)
        none = store.process(feature, lambda _: pl.DataFrame(), rows="frame", staleness_predicates="k = 0", **options)
        assert (none.done, none.rows, none.failed) == (1, 0, 0)
    with pytest.raises(
        ValueError, match=r"order_by: samples have no column 'i'\. Did you mean 'id'.* They have: id, n"
    ):
        store.claim("chunk", order_by=["n", "i"])


@pytest.mark.three_stores
def test_errors_of_claims_are_fenced(sharing: Make) -> None:
    define("video")
    define("clip", "video")
    store = sharing()
    with store.open("w"):
        store.write("video", rows(id=["a", "b"]))
    claim = store.claim("clip")
    failed = claim.samples.to_polars().with_columns(error_type=pl.lit("OSError"), error_message=pl.lit("none"))
    claim.record_errors(failed.filter(pl.col("id") == "a"))
    assert list(claim.left["id"]) == ["b"]
    with pytest.raises(MetadataSchemaError, match="of a claim that were written by this claim before"):
        claim.record_errors(failed)
    with claim._held.keeper.open("w"):
        claim._held.claims.release(claim._held.by.claim)
    with pytest.raises(ClaimLostError):
        claim.record_errors(failed.filter(pl.col("id") == "b"))
    with store:
        assert values(store.read_errors("clip")) == ["a"]


@pytest.mark.three_stores
def test_parents_are_claimed_where_they_have_many_children(sharing: Make) -> None:
    define("video")
    chunks = FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"]))
    define("chunk", chunks, ids=["id", "chunk"])
    store = sharing()
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c"]))
    with store.claim("chunk") as claim:
        assert set(claimed(claim)) == {"a", "b", "c"}
        children = claim.samples.to_polars().filter(pl.col("id") != "c")
        two = pl.concat(children.with_columns(chunk=pl.lit(n)) for n in (1, 2))
        claim.write(two.filter(pl.col("id") == "a"), replaces=claim.samples.filter(nw.col("id") == "a"))
        assert set(claim.left["id"]) == {"b", "c"}
        claim.write(two.filter(pl.col("id") == "b"))  # and c has no children
        assert not len(claim.left)
    with store:
        assert values(store.read("chunk"), "id", "chunk") == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
        assert not store.resolve_update("chunk")
    assert not store.claim("chunk")


@pytest.mark.three_stores
def test_what_is_claimed_is_what_an_update_names(sharing: Make) -> None:
    define("video", ids=["id"])
    define("clip", FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["group"])), ids=["group"])
    store = sharing()
    samples = rows(id=["a", "b", "c"], group=[1, 1, 2])
    with store.claim("video", samples=samples, limit=2) as claim:
        assert (claimed(claim), repr(claim)[:22]) == (["a", "b"], "Claim(video: 2 samples")
        claim.write(claim.samples)
    with store.open("w"):
        assert claimed(store.claim("video", samples=samples)) == ["c"]
        store.write("video", samples)
    assert not store.claim("video", samples=samples)
    with store.claim("clip", filters={"video": "id != 'c'"}) as claim:
        assert sorted(claimed(claim)) == ["a", "b"]
        claim.write(claim.samples.select("group", "metaxy_provenance_by_field", "metaxy_provenance").head(1))
    assert claimed(store.claim("clip")) == ["c"]
    for wrong in ({"limit": 0}, {"lease": timedelta(0)}, {"first": "old"}, {"skip_comparison": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            store.claim("clip", **wrong)


@pytest.mark.parametrize("name", KEEPERS)
def test_claims_expire_and_are_taken_over(tmp_path: Path, name: str) -> None:
    """What a database does, one step at a time: claims whose lease is 0 expire at once."""
    store, hour, none = STORES[name](tmp_path), timedelta(hours=1), timedelta(0)
    with pytest.raises(SystemDataNotFoundError, match=r"store\.claim"), store:
        store.read("metaxy-system/claims")
    _, claims = keeper_of(store)
    with store.open("w"):
        began = claims.prepare()
        take = taker(claims, ["a", "b", "c"], began)
        assert take("late", 3, none) == (["a", "b", "c"], 3, 0)
        assert take("quick", 2, hour) == (["a", "b"], 2, 0)
        assert claims.renew("late", none).keys() == {"c"}
        assert claims.finish("late", ["b", "c"], never) == ["b"]
        with pytest.raises(ZeroDivisionError):
            claims.finish("quick", ["a"], fail)
        assert claims.finish("quick", ["a"], lambda: None) == []
        assert claims.finish("quick", ["a"], never) == ["a"]
        # What is finished is taken again by who lists it after that: it became stale again.
        assert take("third", 3, hour) == (["c"], 3, 1)
        later = taker(claims, ["a", "b", "c"], claims.prepare())
        assert later("fourth", 3, hour) == (["a"], 3, 2)
        claims.release("quick")
        assert later("fifth", 3, hour) == (["b"], 3, 2)
        tokens = everything(store, "metaxy-system/claims").filter(pl.col("feature_key") != "")["token"]
        assert sorted(tokens) == [3, 4, 5]


def taker(claims: Claims, samples: Sequence[str], since: Any) -> Callable[..., tuple[list[str], int, int]]:
    """Take samples as a worker of the name of its claim, without regard for others; say which, and what was seen."""

    def take(name: str, limit: int, lease: timedelta) -> tuple[list[str], int, int]:
        by = Claimant(name, "worker", "clip", "1")
        taken = claims.take(by, samples, since=since, limit=limit, rest=0, lease=lease)
        return [samples[place] for place in taken.places], taken.seen, taken.elsewhere

    return take


def never() -> None:
    raise AssertionError


def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("name", KEEPERS)
def test_threads_share_out_samples(tmp_path: Path, name: str) -> None:
    """Two of them share a store, which another store of this process opens and closes meanwhile."""
    define("video")
    define("clip", "video")
    stores = [STORES[name](tmp_path) for _ in range(2)]
    with stores[0].open("w") as store:
        store.write("video", rows(id=[f"v{n}" for n in range(60)]))
    failed: list[BaseException] = []

    def work(store: MetadataStore) -> None:
        try:
            while claim := store.claim("clip", limit=7, lease=timedelta(seconds=30), wait=True):
                with claim:
                    claim.write(claim.samples)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=copy_context().run, args=(work, stores[n % 2])) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with stores[0]:
        assert sorted(everything(stores[0], "clip")["id"]) == sorted(f"v{n}" for n in range(60))


def test_samples_cannot_be_taken_from_who_writes_them(tmp_path: Path) -> None:
    """A server locks rows: others get the next samples, and wait for nothing."""
    one, two = STORES["postgresql"](tmp_path), STORES["postgresql"](tmp_path)
    (_, mine), (_, theirs) = keeper_of(one), keeper_of(two)
    with one.open("w"), two.open("w"):
        samples, since, seen = ["a", "b"], mine.prepare(), list[Any]()
        taker(mine, samples, since)("late", 1, timedelta(0))
        take = taker(theirs, samples, since)
        assert mine.finish("late", ["a"], lambda: seen.append(take("quick", 2, timedelta(1)))) == []
        assert seen == [(["b"], 2, 1)]


def test_a_store_names_who_keeps_its_claims(tmp_path: Path) -> None:
    stores = {
        "lake": {"type": "metaxy.ext.delta.DeltaMetadataStore", "root_path": str(tmp_path), "claims_store": "claims"},
        "claims": {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(tmp_path / "c.duckdb")},
    }
    define("video")
    samples = rows(id=["a"])
    with MetaxyConfig(stores=stores, auto_create_tables=True).use() as config:
        lake = config.get_store("lake")
        assert isinstance(lake.claims_store, DuckDBMetadataStore)
        claim = lake.claim("video", samples=samples)
        with config.get_store("claims") as keeper:
            assert everything(keeper, "metaxy-system/claims")["feature_key"].to_list() == ["", "video"]
        with lake.claims_store.open("w"):
            keeper_of(lake)[1].release(claim._held.by.claim)
        with pytest.raises(ClaimLostError, match="lost its claim") as caught:
            claim.write(claim.samples)
        assert caught.value.samples == [{"id": "a"}]
        with lake:
            assert not lake.has_feature("video")


def test_processing_goes_on_after_a_connection_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is closed while the function runs, so that what it loses is the connection of a write."""
    define("video")
    define("clip", "video")
    store = STORES["postgresql"](tmp_path)
    with store.open("w"):
        store.write("video", rows(id=["a", "b", "c"]))
    finish = PostgreSQLClaims.finish
    lost: list[int] = []

    def finish_late(claims: Any, claim: str, samples: Sequence[str], work: Callable[[], None]) -> Sequence[str]:
        if not lost:
            lost.append(claims.rows("SELECT pg_backend_pid()", [])[0][0])
            with postgres.connect(postgresql_database()) as server:
                server.execute("SELECT pg_terminate_backend(%s)", lost)
        return finish(claims, claim, samples, work)

    monkeypatch.setattr(PostgreSQLClaims, "finish", finish_late)
    report = store.process("clip", lambda _: {}, rows="one", claim=True, progress=False)
    assert (report.done, report.rows, report.lost, len(lost)) == (3, 3, 0, 1)
