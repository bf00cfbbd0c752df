"""The HTML page in a real browser, where there is one: what it shows, and that it neither complains nor loads anything.

Pictures of it are kept where METAXY_TEST_PICTURES says.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.dag.definitions import stored
from tests.dag.views import chain, video, view
from tests.services import browser

from metaxy.dag.diff import merge
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.formats import render
from metaxy.dag.stats import FeatureStats
from metaxy.dag.view import FieldNode, GraphData, GraphNode

pytestmark = pytest.mark.slow
TOLD = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
BOXES = "document.querySelectorAll('.node:not(.gone)').length"
NEAR = "document.querySelectorAll('.edge.near').length"
IN_SIGHT = """[...document.querySelectorAll('.node:not(.gone) .card')].every(each => {
  const {left, right, top, bottom} = each.getBoundingClientRect();
  return left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight; })"""


class Tab:
    """A tab with one page after the other."""

    def __init__(self, page: browser.Page, folder: Path) -> None:
        self.page, self.folder = page, folder
        for domain in ("Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")

    def open(self, data: GraphData, place: str = "", *, phone: bool = False, dark: bool = False, **options: Any) -> str:
        """Open the page of a graph, and return what can be read."""
        file = self.folder / "page.html"
        file.write_text(render(data, "html", RenderConfig(**options)), encoding="utf-8")
        width, height = (390, 844) if phone else (1440, 900)
        self.page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.page.call("Emulation.setEmulatedMedia", features=[scheme])
        self.page.open("about:blank")
        return self.page.open(file.as_uri() + place, "Feature graph")

    def click(self, selector: str) -> None:
        """Click an element."""
        self.page.run(f"document.querySelector({selector!r}).dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")

    def press(self, key: str, text: str = "") -> None:
        """Press a key, or write."""
        if text:
            self.page.call("Input.insertText", text=text)
        code = {"Enter": 13, "/": 191}[key]
        written = {"text": "\r" if key == "Enter" else key}
        self.page.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **written)
        self.page.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def picture(self, name: str) -> None:
        """Keep a picture, and see that nothing is wider than the window."""
        if pictures := os.environ.get("METAXY_TEST_PICTURES"):
            self.page.picture(Path(pictures) / f"page-{name}.png")
        assert self.page.run("document.documentElement.scrollWidth <= innerWidth"), name

    def problems(self) -> list[Any]:
        """Return what the console has, what was thrown, and what was asked for besides the page."""
        self.page.run("0")  # what came until now is read
        events, self.page.events = self.page.events, []
        asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        assert asked
        own = (self.folder.as_uri(), "about:")
        told = [each["params"] for each in events if each["method"] in TOLD]
        return told + [url for url in asked if not url.startswith(own)]


@pytest.fixture(scope="module")
def tabs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    if not browser.program():
        pytest.skip("no Chromium here")
    with browser.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def tab(tabs: browser.Page, tmp_path: Path) -> Iterator[Tab]:
    found = Tab(tabs, tmp_path)
    yield found
    assert found.problems() == []


def two_projects(frames: str = "1") -> GraphData:
    """Make features of two projects, with what a store has of them."""
    search = [
        stored("search/index", ["faces", "audio/transcript"], project="search", description="What is found.\n\nTwice."),
        stored("search/terms", ["audio/transcript"], project="search"),
        stored("report", ["search/index"], project="search"),
    ]
    stats = {
        "video/raw": FeatureStats(state="root_feature", rows=1200, size_bytes=2**21),
        "video/crop": FeatureStats(state="up_to_date", rows=1200),
        "faces": FeatureStats(state="needs_update", rows=1100, missing=100, failed=7),
        "audio/transcript": FeatureStats(state="missing", missing=1200),
        "search/index": FeatureStats(state="error", error="no such column: speaker"),
    }
    return view(*video(frames), *search).with_stats(stats)


def test_the_page_shows_a_comparison_and_what_its_address_names(tab: Tab) -> None:
    data = merge(view(*video()), view(*video("2")))
    shown = tab.open(data, "#video%2Fcrop.frames")
    assert tab.page.run(BOXES) == 4
    assert "FRAMES IS COMPUTED FROM" in shown
    assert tab.page.run(NEAR) == 2  # video/raw → video/crop → faces
    assert tab.page.run(IN_SIGHT)
    tab.picture("comparison")
    tab.open(data, "#video%2Fraw", dark=True)
    assert "frames: code version 1 → 2" in tab.page.shows("WHAT CHANGED")
    assert tab.page.run("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 27)"
    tab.picture("comparison-dark")
    tab.open(data, "#%E0%A4%A", phone=True)  # no feature, and no text
    assert tab.page.run(IN_SIGHT)
    tab.picture("comparison-phone")


def test_search_by_keyboard_and_folding_by_project(tab: Tab) -> None:
    tab.open(two_projects())
    tab.picture("stored")
    tab.press("/")
    tab.press("Enter", "terms")
    assert "search/terms" in tab.page.shows("NEEDED BY")
    assert tab.page.run("decodeURIComponent(location.hash)") == "#search/terms"
    tab.click("#near")
    assert tab.page.run(BOXES) == 2
    tab.click("#all")
    tab.click(".node[data-key='search/index'] .name")
    assert "What is found.\n\nTwice." in tab.page.shows("IN THE STORE", "could not be counted: no such column: speaker")
    tab.picture("stored-selected")
    tab.page.run(
        "const by = document.querySelector('#by'); by.value = 'project'; by.dispatchEvent(new Event('change'))"
    )
    assert tab.page.run(BOXES) == 2
    tab.page.shows("4 features", "1 without rows, 1 to update", "3 features", "1 not counted")
    tab.picture("projects")
    tab.click(".pileup")
    assert tab.page.run(BOXES) == 5
    tab.picture("project-unfolded")
    shown = tab.open(two_projects(), "#search%2Findex.default", phone=True, dark=True)
    assert "DEFAULT IS COMPUTED FROM" in shown
    tab.picture("stored-phone-dark")


def test_large_graphs_begin_with_a_part(tab: Tab) -> None:
    one_group = [stored(f"group/{n}", [f"group/{n - 1}"] if n else []) for n in range(100)]
    tab.open(view(*one_group))
    assert tab.page.run(BOXES) == 1  # folded
    tab.open(view(*one_group), "#group%2F50")
    assert tab.page.run(BOXES) == 3
    tab.open(view(*chain(100)), phone=True)  # no groups: around the feature that has most neighbours
    assert tab.page.run(BOXES) == 3
    tab.picture("neighbourhood-phone")
    tab.open(view(*video()), fold="key")
    assert tab.page.run(BOXES) == 3


def test_a_thousand_features_are_shown_near_and_far(tab: Tab) -> None:
    keys = [f"group_{n // 40}/part_{n}" for n in range(1000)]
    data = view(*(stored(key, sorted({keys[n // 2], keys[max(0, n - 37)]} - {key})) for n, key in enumerate(keys)))
    tab.open(data)
    tab.picture("large-folded")
    assert tab.page.run(BOXES) == 25
    tab.click("#fold")
    assert tab.page.run("document.querySelectorAll('.item').length") == 1000
    tab.picture("large")
    tab.page.run("for (let n = 0; n < 15; n++) document.querySelector('#in').click()")
    tab.page.run("new Promise(done => setTimeout(done, 300))")  # until it has come to rest
    assert 0 < tab.page.run(BOXES) < 500  # what is far away is not there
    tab.picture("large-near")
    tab.press("/")
    tab.press("Enter", "part_777")
    tab.page.shows("group_19/part_777", "DEPENDS ON")
    tab.picture("large-selected")


def test_hostile_names_are_only_text(tab: Tab) -> None:
    evil = "</script><img src=x onerror=console.error(1)>'\"\u202e"
    node = GraphNode(key="a", project=evil, fields=(FieldNode(key="f", code_version=evil),), metadata={evil: evil})
    tab.open(GraphData.of([node]), "#a.f")
    assert tab.page.run("document.images.length") == 0
    assert tab.page.run("document.querySelector('h2').textContent") == "a"
