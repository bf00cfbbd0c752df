"""How fluent the page of a graph is in a real browser: first paint, frames per second, and CPU per frame.

    python benchmarks/pictures.py --features 1000 --lines 1500

The page is drawn without a graphics card. Frames are those that the page got while it was moved: where the machine is
busy, CPU per frame says more. It is that of all processes of the browser, and of the thread that runs the page.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # comes with test packages, without types

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.services.browser import Page, page

from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import render
from metaxy.dag.view import FieldNode, GraphData, GraphNode

GROUPS = 25
SECONDS = 3
# Moves the picture as a hand does, once per frame; returns how many frames there were and the longest, in milliseconds.
MOVES = """
new Promise(done => {
  const stage = document.querySelector('.stage'), at = (type, x, y) => stage.dispatchEvent(
    new PointerEvent(type, {pointerId: 1, clientX: x, clientY: y, bubbles: true}));
  const wheel = by => stage.dispatchEvent(
    new WheelEvent('wheel', {deltaY: by, clientX: 700, clientY: 450, cancelable: true}));
  stage.setPointerCapture = () => {};
  const kind = '%s', start = performance.now();
  let frames = 0, longest = 0, last = start;
  if (kind === 'pan') at('pointerdown', 700, 450);
  const step = now => {
    frames++; longest = Math.max(longest, now - last); last = now;
    if (now - start > %d) {
      if (kind === 'pan') at('pointerup', 700, 450);
      return done([frames / (now - start) * 1000, longest, frames]);
    }
    const turn = frames / 30;
    if (kind === 'pan') at('pointermove', 700 + 300 * Math.sin(turn), 450 + 200 * Math.sin(turn * 1.7));
    else wheel(40 * Math.sin(turn));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})
"""
PAINTED = """
new Promise(done => new PerformanceObserver(list => {
  const [paint] = list.getEntriesByName('first-contentful-paint');
  if (paint) setTimeout(done, 300, paint.startTime);
}).observe({type: 'paint', buffered: true}))
"""
BOXES = (
    "[...document.querySelectorAll('.cards > .node')].filter(each => getComputedStyle(each).display !== 'none').length"
)
VIEWS = {  # what is moved, and what brings it there
    "all": "document.getElementById('fold').click(); document.getElementById('all').click()",  # it begins folded
    "close": "for (let n = 0; n < 9; n++) document.getElementById('in').click()",
}


def graph(features: int, lines: int) -> GraphData:
    """Make a graph of features that depend on some of those before them."""
    chance = random.Random(1)
    keys = [f"group{n * GROUPS // features}/feature_{n}" for n in range(features)]
    parents: dict[str, set[str]] = {key: set() for key in keys}
    for _ in range(lines):
        one, other = sorted(chance.sample(range(features), 2))
        parents[keys[other]].add(keys[max(one, other - 150)])
    fields = [FieldNode(key=name, version="0123456789abcdef") for name in ("frames", "audio")]
    nodes = (
        GraphNode(key=key, version="0123456789abcdef", fields=fields, dependencies=sorted(parents[key])) for key in keys
    )
    return GraphData.of(nodes)


def cpu() -> float:
    """Return the CPU seconds of this process's children so far."""
    times = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return float(sum(each.user + each.system for each in times))


def tasks(browser: Page) -> float:
    """Return how many seconds the page has worked so far."""
    metrics = {each["name"]: each["value"] for each in browser.call("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def painted(browser: Page, url: str) -> Iterator[float]:
    """Open a page a few times, and yield after how many milliseconds something was painted."""
    for _ in range(5):
        browser.call("Page.navigate", url="about:blank")
        browser.call("Page.navigate", url=url)
        yield float(browser.run(PAINTED))


def moved(browser: Page, kind: str) -> str:
    """Move the picture for a while, and return how that went."""
    before, busy = cpu(), tasks(browser)
    rate, longest, frames = browser.run(MOVES % (kind, SECONDS * 1000))
    used, worked = (cpu() - before) / frames * 1000, (tasks(browser) - busy) / frames * 1000
    return (
        f"{rate:6.1f} frames/s, longest {longest:5.0f} ms; per frame {used:5.1f} ms CPU, {worked:5.1f} ms of the page"
    )


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--lines", type=int, default=1500)
    options = parser.parse_args()
    start = time.process_time()
    text = render(graph(options.features, options.lines), "html", RenderConfig())
    print(f"page written in {time.process_time() - start:.2f} s CPU, {len(text) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as name, page(Path(name) / "profile") as browser:
        file = Path(name) / "page.html"
        file.write_text(text, encoding="utf-8")
        browser.call("Performance.enable")
        first = sorted(painted(browser, file.as_uri()))
        print(f"first paint after {first[len(first) // 2]:.0f} ms ({first[0]:.0f} to {first[-1]:.0f})")
        for view, script in VIEWS.items():
            browser.run(f"{script}; new Promise(done => setTimeout(done, 500))")
            for kind in ("pan", "zoom"):
                boxes = browser.run(BOXES)
                print(f"{view:6}{kind:5}{boxes:5.0f} boxes {moved(browser, kind)}")


if __name__ == "__main__":
    main()
