"""The web page in a real browser, where there is one: what people see, and that no name becomes a script.

Pictures of all views are kept where METAXY_TEST_PICTURES says.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.services import browser
from tests.services.browser import Page
from tests.ui.conftest import Site
from tests.ui.studio import HOSTILE, built

from metaxy.testing import TempMetaxyProject

pytestmark = pytest.mark.slow
LARGE = """
import metaxy as mx

for n in range(1_000):  # 12 layers, 1,500 lines
    parents = [f"group_{m // 10 % 20}/part_{m}" for m in sorted({n - 84, n - 84 - n % 2}) if m >= 0]
    spec = mx.FeatureSpec(key=f"group_{n // 10 % 20}/part_{n}", id_columns=["id"], deps=parents)
    type(f"Part{n}", (mx.BaseFeature,), {"__annotations__": {"id": str}, "__module__": __name__}, spec=spec)
"""
KEYS = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "/": 191, "g": 71, "k": 75, "s": 83}


class Tab:
    """A tab that shows views of the page, and tells what went wrong in it."""

    def __init__(self, page: Page, link: str, pictures: Path) -> None:
        self.page, self.pictures = page, pictures
        self.base, self.requests = link.split("?")[0], 0
        page.events.clear()
        for domain in ("Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=link)
        self.until("Features")

    def see(self, place: str, *texts: str) -> str:
        """Show a view until it has these texts."""
        self.page.run(f"location.hash = {place!r}")
        self.until(*texts)
        return str(self.page.run("document.body.innerText"))

    def until(self, *texts: str) -> None:
        """Wait for texts, and for images, on a page that may go on counting."""
        missing = self.page.run(UNTIL % json.dumps(texts))
        assert missing == [], f"no {missing} in:\n{self.page.run('document.body.innerText')}"

    def boxes(self, expected: int) -> int:
        """Return how many features the picture shows, as soon as these are as many as expected, or after a while."""
        return int(self.page.run(BOXES % expected))

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key as a keyboard does."""
        text = {"text": key} if len(key) == 1 and not modifiers else {}
        text |= {"text": "\r"} if key == "Enter" else {}
        code = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper())), "modifiers": modifiers}
        self.page.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.page.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text: str) -> None:
        """Write where the cursor is."""
        self.page.call("Input.insertText", text=text)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Make the window larger or smaller."""
        frame = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.page.call("Emulation.setDeviceMetricsOverride", **frame)

    def dark(self, on: bool) -> None:
        """Prefer dark colours."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.page.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, name: str) -> None:
        """Keep a picture, and see that nothing is wider than the window."""
        self.page.picture(self.pictures / f"ui-{name}.png")
        assert self.page.run("document.documentElement.scrollWidth <= innerWidth"), name

    def problems(self) -> list[Any]:
        """Return what the console has, what was thrown, and requests to elsewhere, since the last time."""
        self.page.run("0")  # what came until now is read
        events, self.page.events = self.page.events, []
        told = [each["params"] for each in events if each["method"] in TOLD]
        urls = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        self.requests += len(urls)
        return told + [url for url in urls if not url.startswith((self.base, "data:", "about:"))]


# A picture is drawn after the texts beside it.
BOXES = """
new Promise(done => {
  const end = performance.now() + 20000;
  const look = () => {
    const found = document.querySelectorAll('.stage .node:not(.gone)').length;
    if (found === %d || performance.now() > end) done(found); else requestAnimationFrame(look);
  };
  look();
})
"""
UNTIL = """
new Promise(done => {
  const missing = () => %s.filter(text => !document.body.innerText.includes(text));
  const isWaited = image => !image.complete && image.getBoundingClientRect().top < innerHeight;
  const loads = () => [...document.images].some(isWaited) || document.querySelector('.skeleton, .busy');
  const look = last => {
    const left = missing();
    if (!last && (left.length || loads())) return;
    clearInterval(looking);
    clearTimeout(ending);
    requestAnimationFrame(() => done(left));
  };
  const looking = setInterval(look, 30), ending = setTimeout(look, 30_000, true);
})
"""
TOLD = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> TempMetaxyProject:
    if browser.program() is None:
        pytest.skip("NOT RUN: there is no Chromium, and none can be installed here")
    return built(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def page(studio: TempMetaxyProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser.page(tmp_path_factory.mktemp("browser"), width=1280, height=800, patience=40) as page:
        yield page


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(os.environ.get("METAXY_TEST_PICTURES", tmp_path_factory.mktemp("pictures")))


@pytest.fixture(scope="module")
def tab(page: Page, studio: TempMetaxyProject, pictures: Path) -> Iterator[Tab]:
    site = Site(studio.path, "--media-root", ".")
    yield Tab(page, site.link, pictures)
    page.call("Page.navigate", url="about:blank")  # nothing is asked for any more
    site.stop()


VIEWS = {
    "overview": ("#/", "64 rows", "40 rows, 24 missing", "no table, no input"),
    "selected": ("#/?feature=video/crop", "Open", "40 rows, 24 missing"),
    "feature": ("#/features/video/crop", "needs update", "Needed by", "faces/found", "1 field", "pixels"),
    "rows": ("#/features/video/clip?tab=rows", "clip_001", "1,000,003", "50 of 64"),
    "filtered": ("#/features/video/clip?tab=rows&filter=seconds > 70&system=1", "clip_060", "metaxy_provenance"),
    "no-filter": ("#/features/video/clip?tab=rows&filter=nothing > 1", "names column 'nothing'", "Try again"),
    "marked-filter": ("#/features/video/clip?tab=rows&filter=seconds >> 3", f"  seconds >> 3\n{'^':>12}"),
    "columns": ("#/features/video/clip?tab=columns", "39.477", "Counted over 64 rows"),
    "errors": ("#/features/faces/found?tab=errors", "ValueError", "no face detector for clip_007"),
    "claims": ("#/features/faces/found?tab=claims", "No worker holds samples"),
    "versions": ("#/features/video/crop?tab=history", "code version 1 → 2", "current"),
    "changes": ("#/diff?stats=1", "latest → current", "Features that differ", "training/embedding", "64 new"),
    "sample": ('#/features/video/crop/sample?id={"clip":"clip_001"}', "computed from it", "clip_001", "faces/found"),
    "history": ("#/history", "6 features", "second", "What it changed"),
    "stores": ("#/stores", "DuckDB", "default"),
    "long-name": (
        "#/features/video/quality/perceptual_score_of_a_model_with_a_very_long_name_that_goes_on",
        "no table",
    ),
    "no-feature": ("#/features/video/nothing", "is not in the graph"),
    "no-page": ("#/nothing/here", "There is no such page"),
}
REFUSED = ("no-filter", "marked-filter", "no-feature")  # the console says that the server refused a request


def test_all_views_show_what_there_is(tab: Tab) -> None:
    for name, (place, *texts) in VIEWS.items():
        shown = tab.see(place, *texts)
        assert "undefined" not in shown, name
        assert "[object" not in shown, name
        tab.picture(name)
        found = tab.problems()
        assert [each for each in found if "status of 4" not in str(each)] == [], name
        assert bool(found) == (name in REFUSED), (name, found)
    assert tab.requests > len(VIEWS)  # they are heard of
    assert tab.page.run("document.title") == "Not found · Metaxy"


def test_names_and_values_are_only_text(tab: Tab) -> None:
    assert HOSTILE in tab.see("#/features/video/clip?tab=rows", "clip_001")  # as a name, an ID and a value
    assert HOSTILE in tab.see("#/features/video/clip", "About")
    assert HOSTILE in tab.see("#/features/audio/transcript", "speech team")
    assert HOSTILE in tab.see("#/features/faces/found?tab=errors", "no face detector")
    assert tab.page.run("document.querySelectorAll('img[src=x]').length") == 0
    assert "hacked" not in tab.page.run("document.title")
    tab.see("#/", "64 rows")
    assert tab.problems() == []


def test_the_keyboard_finds_and_opens_everything(tab: Tab) -> None:
    tab.see("#/", "64 rows")
    tab.press("/")
    tab.until("Enter open")
    tab.type("embed")
    tab.until("training/embedding")
    tab.picture("search")
    tab.press("Enter")
    tab.until("A vector for training")
    assert tab.page.run("location.hash") == "#/features/training/embedding"
    assert tab.page.run("document.title") == "training/embedding · Metaxy"
    tab.press("k", modifiers=2)
    tab.until("Enter open")
    tab.type("clip sound")
    tab.until("video/clip.sound")
    tab.press("Escape")
    assert tab.page.run("document.querySelector('dialog[open]') === null")
    tab.press("g")
    tab.press("s")
    tab.until("Where metadata is kept")
    tab.press("/")
    tab.until("Enter open")
    for _ in range(2):
        tab.press("ArrowDown")
    tab.press("ArrowUp")
    tab.press("Enter")
    tab.until("Features that differ")
    tab.see("#/", "64 rows")
    tab.page.run("document.querySelector('.features a').focus()")
    tab.press("Enter")
    tab.until("What the cameras recorded.")
    assert tab.problems() == []


def test_a_click_selects_filters_and_pages(tab: Tab) -> None:
    tab.see(*VIEWS["overview"])  # all is counted
    tab.page.run(
        "document.querySelector('.stage [data-key=\"faces/found\"] .name')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    tab.until("How many faces the cropped frames show.")
    assert tab.page.run("location.hash") == "#/?feature=faces%2Ffound"
    tab.page.run(
        "[...document.querySelectorAll('.filters button')].find(each => each.innerText.includes('no table')).click()"
    )
    assert tab.page.run("document.querySelectorAll('.features li').length") == 2
    tab.see("#/features/audio/transcript?tab=rows", "No rows yet")
    assert "clip = 'a'" in tab.page.run("document.querySelector('.filter input').placeholder")
    tab.see("#/features/video/clip?tab=rows&limit=25", "25 of 64")
    tab.page.run("[...document.querySelectorAll('.pager button')].at(-1).click()")
    tab.until("50 of 64")
    assert tab.page.run("document.querySelectorAll('.rows img')[0].complete") is True
    assert tab.problems() == []


def test_dark_and_on_a_phone(tab: Tab) -> None:
    shown = ("overview", "selected", "feature", "rows", "errors", "changes", "history")
    try:
        tab.dark(True)
        for name in shown:
            tab.see(*VIEWS[name])
            tab.picture(f"dark-{name}")
        assert tab.page.run("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 27)"
        tab.dark(False)
        tab.size(390, 844, phone=True)
        for name in (*shown, "columns", "stores", "long-name"):
            tab.see(*VIEWS[name])
            tab.picture(f"phone-{name}")
        tab.size(1920, 1080)
        for name in ("overview", "feature", "rows", "changes"):
            tab.see(*VIEWS[name])
            tab.picture(f"wide-{name}")
    finally:
        tab.dark(False)
        tab.size(1280, 800)
    assert tab.problems() == []


def test_one_file_shows_the_same_without_a_server(page: Page, studio: TempMetaxyProject, pictures: Path) -> None:
    file = studio.path / "page.html"
    studio.run_cli(["ui", "--export", str(file)])
    tab = Tab(page, file.as_uri(), pictures)
    for name in ("overview", "feature", "columns", "errors", "versions"):
        tab.see(*VIEWS[name])
    tab.see("#/features/video/clip?tab=rows", "clip_001", "1,000,003", "media/1.png", HOSTILE)
    tab.picture("exported-rows")
    tab.see("#/diff", "latest", "training/embedding")
    tab.see("#/", "As it was", "40 rows, 24 missing")
    tab.picture("exported")
    assert "hacked" not in tab.page.run("document.title")
    assert tab.problems() == []


def test_a_thousand_features_begin_with_a_part(page: Page, tmp_path: Path, pictures: Path) -> None:
    site = Site(TempMetaxyProject(tmp_path, LARGE, project="large").path)
    try:
        tab = Tab(page, site.link, pictures)
        tab.until("group_19", "50 features", "group_0/part_0")
        tab.picture("large")
        assert tab.boxes(20) == 20
        tab.page.run("location.hash = '#/?feature=group_17/part_170'")
        tab.until("Open", "part_170")
        assert tab.boxes(69) == 69  # its group is unfolded
        tab.picture("large-selected")
        assert tab.problems() == []
    finally:
        page.call("Page.navigate", url="about:blank")
        site.stop()
