"""What workers compute in tests: each one that starts anew imports this, and no store it does not use."""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
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


class Notes:
    """Notes each sample; of the other job, says that the first one is begun, and ends the job at one of the next."""

    def __init__(self, folder: str, driver: int = 0) -> None:
        self.folder, self.driver, self.calls = Path(folder), driver, 0

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        name = "theirs" if self.driver else "ours"
        with (self.folder / name).open("a") as log:
            log.write(f"{row['id']}\n")
        self.calls += 1
        if self.driver and self.calls == 1:
            (self.folder / "begun").write_text("begun")
        if self.driver and self.calls == 30:
            os.kill(self.driver, signal.SIGKILL)
        return {"by": name}


def doubled(batch: pa.Table) -> pa.Table:
    return batch.append_column("double", pc.multiply(batch["size"], 2))


class Sizes:
    """Loads nothing, as a model would, and says where it runs."""

    def __init__(self, factor: int = 1) -> None:
        if factor < 0:
            raise RuntimeError("no such model")
        self.factor = factor

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["size"] == 7:
            raise ValueError("cannot read 7")
        return {"double": self.factor * row["size"], "worker": os.getpid()}


def mortal(row: dict[str, Any]) -> dict[str, Any]:
    """End the process of the worker, once."""
    mark = Path(row["mark"])
    if row["size"] == 3 and not mark.exists():
        mark.touch()
        os._exit(1)
    return {"double": 2 * row["size"]}


def endless(row: dict[str, Any]) -> dict[str, Any]:
    while row["size"] == 3:
        time.sleep(0.1)
    return {"double": 2 * row["size"]}


class Unsendable(Exception):
    """Cannot be pickled."""

    def __init__(self, _: str) -> None:
        super().__init__("over\ntwo lines")
        self.lock = threading.Lock()


def wrong(row: dict[str, Any]) -> Any:
    """Do something else for each sample."""
    number = row["size"]
    if number == 5:
        raise ValueError("cannot read 5")
    if number == 6:
        raise Unsendable("")
    if number == 7:
        sys.exit(3)
    if number == 8:
        os._exit(3)
    answers: dict[int, Any] = {
        1: None, 2: {"id": 99}, 3: [{"double": 6}, {"double": 7}], 4: lambda: row, 9: {"double": "text"}
    }  # fmt: skip
    return answers.get(number, {"double": 2 * number})


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return row


class Unloadable(Locked):
    def __reduce__(self) -> Any:
        return int, ("x",)


class Needs:
    """Says what it has."""

    def __call__(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "variable": os.environ["ASKED"]}
