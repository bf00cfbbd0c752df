"""What hashing files costs: python benchmarks/content.py bytes|scan|unchanged [ROUNDS].

`bytes` hashes 10,000 files of mixed sizes, 2 GB, beside `sha256sum` (and `b3sum`, or plain code that calls blake3)
with as many processes as we have threads. `unchanged` hashes 100,000 small files again and again, trusting their times,
and `scan` makes samples of them. Each measurement is a process of its own; files are in the page cache.
"""

import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import metaxy.content as content
from metaxy.content.running import processors

FILES, BYTES, SMALL = 10_000, 2_000_000_000, 100_000
BLAKE3 = """
import sys, blake3
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        blake3.blake3(file.read()).digest()
"""
PEERS = {"sha256": ["sha256sum"], "blake3": ["b3sum", "--num-threads", "1"]}


def mixed(folder: Path) -> None:
    """Write files whose sizes differ by three powers of ten."""
    rng = random.Random(0)
    block = rng.randbytes(8 << 20)
    weights = [rng.lognormvariate(0, 1.8) for _ in range(FILES)]
    for number, weight in enumerate(weights):
        path = folder / f"{number % 100:02}" / f"{number:05}.bin"
        path.parent.mkdir(exist_ok=True)
        size = int(weight / sum(weights) * BYTES)
        with path.open("wb") as file:
            for start in range(0, size, len(block)):
                file.write(block[: size - start])


def small(folder: Path) -> None:
    """Write many files of a few bytes."""
    for number in range(SMALL):
        path = folder / f"{number % 100:02}" / f"{number:06}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(number))


def paths_in(folder: Path) -> list[str]:
    return [str(path) for inner in sorted(folder.iterdir()) for path in sorted(inner.iterdir())]


# -- one measurement, in a process of its own --------------------------------------------------------------------------


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Return wall and CPU seconds, and the most memory that the process had."""
    began, used = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    return {"wall": wall, "cpu": cpu, "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def ours(folder: Path, algorithm: str) -> dict[str, float]:
    paths = paths_in(folder)
    return measured(lambda: content.hash_files(paths, algorithm, on_error="raise"))  # type: ignore[arg-type]


def again(folder: Path, cache: str) -> dict[str, float]:
    paths = paths_in(folder)
    return measured(lambda: content.hash_files(paths, trust="mtime", cache=cache, on_error="raise"))


def scanned(folder: Path, cache: str) -> dict[str, float]:
    return measured(lambda: content.scan(folder, trust="mtime", cache=cache, on_error="raise"))


def in_process(what: str, *arguments: str) -> dict[str, float]:
    command = [sys.executable, __file__, what, *arguments]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told)
    return found


def peer(folder: Path, algorithm: str) -> dict[str, float]:
    """Hash by a tool, with as many processes as we have threads."""
    command = PEERS[algorithm] if shutil.which(PEERS[algorithm][0]) else [sys.executable, "-c", BLAKE3]
    names = "\0".join(paths_in(folder)).encode()
    spread = ["xargs", "-0", f"-P{processors()}", "-n250", *command]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(spread, input=names, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu}


# -- what is printed ---------------------------------------------------------------------------------------------------


def show(name: str, rounds: list[dict[str, float]]) -> None:
    medians = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
    print(f"{name:32}", "  ".join(f"{key} {value:8.2f}" for key, value in medians.items()), flush=True)


def compare_bytes(folder: Path, rounds: int) -> None:
    mixed(folder)
    for algorithm, (tool, *_) in PEERS.items():
        theirs: list[dict[str, float]] = []
        mine: list[dict[str, float]] = []
        for _ in range(rounds):
            mine.append(in_process("ours", str(folder), algorithm))
            theirs.append(peer(folder, algorithm))
        show(f"hash_files {algorithm}", mine)
        show(tool if shutil.which(tool) else f"plain code, {algorithm}", theirs)
    show("hash_files xxh3_128", [in_process("ours", str(folder), "xxh3_128") for _ in range(rounds)])


def compare_runs(what: str, folder: Path, rounds: int) -> None:
    small(folder)
    time.sleep(2.5)  # until their times are believed
    cache = f"{folder}.sqlite"
    show(f"{what}: first run", [in_process(what, str(folder), cache)])
    show(f"{what}: nothing changed", [in_process(what, str(folder), cache) for _ in range(rounds)])


def main() -> None:
    what, *rest = sys.argv[1:] or ["bytes"]
    inner = {"ours": ours, "unchanged": again, "scan": scanned}
    if what in inner and len(rest) == 2:
        print(json.dumps(inner[what](Path(rest[0]), rest[1])))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        rounds = int(rest[0]) if rest else 3
        compare_bytes(folder, rounds) if what == "bytes" else compare_runs(what, folder, rounds)


if __name__ == "__main__":
    main()
