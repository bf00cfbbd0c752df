"""What is computed by workers that are killed: each one that starts anew imports this, and no store it does not use."""

import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from tests.faults.children import asked

SAMPLES = asked("METAXY_RAY_SAMPLES", 10_000)
KILLS = asked("METAXY_RAY_KILLS", 10)


class Computes:
    """Notes each sample when it begins, and kills its process at random, and the driver when there are many notes."""

    def __init__(self, log: str, kills: int = 0, driver: int = 0, driver_ends_at: int = 0) -> None:
        self.log, self.chance = Path(log), kills / SAMPLES
        self.driver, self.driver_ends_at = driver, driver_ends_at

    def note(self, *ids: str) -> None:
        with self.log.open("a") as log:
            log.write("".join(f"{each}\n" for each in ids))
        if self.driver and self.log.stat().st_size > self.driver_ends_at:
            kill(self.driver)
        if random.random() < self.chance * len(ids):
            threading.Timer(0.01 * random.random(), kill, (os.getpid(),)).start()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self.note(row["id"])
        return {"n": 1}


class ComputesFrames(Computes):
    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:  # type: ignore[override]
        self.note(*frame["id"])
        return frame.select("id", n=1)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # another worker was first


class ComputesBatches:
    """Notes batches of a dataset, and kills its process as often as there are files for it."""

    def __init__(self, folder: Path, kills: int) -> None:
        self.log, self.lives = folder / "log", folder / "lives"
        self.lives.mkdir(parents=True)
        for number in range(kills):
            (self.lives / str(number)).touch()

    def __call__(self, batch: pa.Table) -> pa.Table:
        with self.log.open("a") as log:
            log.write("".join(f"{each}\n" for each in batch["id"].to_pylist()))
        life = next(self.lives.iterdir(), None)
        if life is not None and random.random() < 0.1:
            life.unlink(missing_ok=True)
            threading.Timer(0.01 * random.random(), kill, (os.getpid(),)).start()
        return batch.select(["id", *(name for name in batch.column_names if name.startswith("metaxy_"))])
