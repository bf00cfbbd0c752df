"""Jobs that share a feature by claims: what one of them has is left to it, until it is killed and its lease is over."""

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.factory import define, everything, rows
from tests.faults.children import children, rest
from tests.ray.computing import Notes
from tests.services.ray import variables
from tests.stores import STORES

from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig
from metaxy.ext.ray import process
from metaxy.store.store import MetadataStore

pytestmark = [
    pytest.mark.usefixtures("cluster"),
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here"),
]
SAMPLES = 200
OPTIONS: dict[str, Any] = {
    "claim": True, "lease": timedelta(seconds=3), "batch_size": 10, "concurrency": 1, "num_cpus": 0.5, "progress": False
}  # fmt: skip


def shared(folder: Path) -> MetadataStore:
    """Return a lake whose claims are in a database."""
    return STORES["delta"](folder, claims_store=STORES["sqlite"](folder))


JOB = """
import os
os.environ["RAY_ADDRESS"] = sys.argv[2]
import ray
from metaxy.ext.ray import process
from tests.ray.computing import Notes
from tests.ray.test_claims import OPTIONS, shared

ray.init(log_to_driver=False)
folder = sys.argv[1]
process(shared(Path(folder)), "clip", Notes, fn_constructor_kwargs={"folder": folder, "driver": os.getpid()}, **OPTIONS)
say("came to its end")
"""


def test_jobs_share_a_feature_and_take_over_what_a_killed_one_had(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    with FeatureGraph().use(), MetaxyConfig().use():
        define("video")
        define("clip", "video")
        store, ours = shared(tmp_path), {"folder": str(tmp_path)}
        with store.open("w"):
            store.write("video", rows(id=[f"v{number}" for number in range(SAMPLES)]))
        with children(1, JOB, tmp_path, variables()["RAY_ADDRESS"]) as [other]:
            assert (tmp_path / "begun").read_text() == "begun"
            reports = [process(store, "clip", Notes, fn_constructor_kwargs=ours, **OPTIONS)]
            assert rest(other) == []
        with store.claim("clip", limit=1, wait=True):
            pass  # the leases of the other job are over
        reports.append(process(store, "clip", Notes, fn_constructor_kwargs=ours, **OPTIONS))
        with store:
            written = everything(store, "clip")
    assert Counter(written["id"]) == Counter(f"v{number}" for number in range(SAMPLES))
    mine, theirs = (Counter((tmp_path / name).read_text().splitlines()) for name in ("ours", "theirs"))
    lost = sum(report.lost for report in reports)  # where this machine was busier than a lease is long
    assert max(mine.values()) <= 1 + (lost > 0)
    assert max(theirs.values()) == 1
    assert sum(report.done for report in reports) == written["by"].to_list().count("ours")
    assert reports[1].in_sync
