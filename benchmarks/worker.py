"""One contestant in a process of its own: it reads steps as JSON lines, and answers each with what it took.

    python worker.py CONTESTANT ENGINE CASE ROWS FOLDER [URL]

``{"step": "resolve", "before": "clear", "check": true}`` calls a method, another one untimed before it, and returns
seconds, CPU seconds, the peak of memory meanwhile, and what came out.
"""

import contextlib
import gc
import hashlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import cases


def contestant(name: str, engine: str, case: cases.Case, rows: int, folder: Path, url: str | None) -> Any:
    """Make a contestant."""
    import packages

    if name in {"ours", "released"}:
        return packages.Package(case, engine, rows, folder, url)
    import by_hand

    return by_hand.ENGINES[engine](name, by_hand.Finished(case, engine, rows, folder, url))


def peak_memory() -> int:
    """Return the greatest resident size of this process in bytes, 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak() -> None:
    """Let the peak of memory begin anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def perform(runner: Any, message: dict[str, Any]) -> dict[str, Any]:
    """Run one step and measure it."""
    for name in message.get("before", ()):
        getattr(runner, name)()
    step = getattr(runner, message["step"])
    gc.collect()
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    result = step()
    answer: dict[str, Any] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    answer["peak"] = peak_memory()
    if message.get("check"):
        found = runner.outcome(result)
        digest = hashlib.md5("\n".join(found["provenance"]).encode(), usedforsecurity=False).hexdigest()
        answer |= {"counts": found["counts"], "provenance": digest}
    return answer


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    name, engine, case, rows, folder, *rest = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    runner = contestant(name, engine, cases.CASES[case], int(rows), Path(folder), rest[0] if rest else None)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(perform(runner, json.loads(line))), file=answers, flush=True)
    runner.close()


if __name__ == "__main__":
    main()
