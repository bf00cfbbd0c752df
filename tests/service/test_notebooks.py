"""What notebooks show: of everything a piece of HTML that does nothing, loads nothing, and computes nothing."""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.dag.definitions import stored
from tests.dag.views import chain, feature_graph, video, view

import metaxy as mx
from metaxy import notebook
from metaxy.dag.diff import merge
from metaxy.dag.render.formats import FORMATS
from metaxy.dag.render.renderer import BaseRenderer
from metaxy.definitions.spec import FeatureSpec
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.feature import BaseFeature
from metaxy.process.running import RunReport
from metaxy.service.status import Status
from metaxy.store.status import FullFeatureMetadataRepresentation, get_feature_metadata_status
from metaxy.versioning.increment import Increment, LazyIncrement, PolarsLazyIncrement
from metaxy.workers.report import ProcessReport, SampleError

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e & \udcff'
TAGS = {
    *("div", "style", "p", "b", "small", "em", "table", "tr", "th", "td", "span"),
    *("details", "summary", "ul", "li", "br", "img"),
}


class Page(HTMLParser):
    """The tags and attributes of a page, whether each tag is closed, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("br", "img"):
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if self.opened[-1:] == ["style"] else f"{data}\n"


def read(shown: Any) -> Page:
    """Return what something shows in a notebook, which must do nothing and be sendable."""
    html = shown._repr_html_()
    page = Page(html)
    assert page.opened == []
    assert page.tags <= TAGS
    assert page.attributes <= {"class", "alt", "src"}
    assert re.sub(r'<img alt="[^"]*" src="data:image/svg\+xml;base64,[\w+/=]+">', "", html).count("<img") == 0
    assert html.startswith('<div class="metaxy"><style>')
    assert not re.search(r"url\(|@import|https?:", html)
    assert not re.search("[\x1b\u202e]", html.encode("utf-8").decode("utf-8"))
    return page


@pytest.fixture
def features() -> Iterator[mx.FeatureGraph]:
    with mx.FeatureGraph().use() as graph:

        class Video(BaseFeature, spec=FeatureSpec(key="video", id_columns=["id"], fields=["audio", "frames"])):
            """What a camera <b>saw</b>.

            Not shown.
            """

            id: str
            size: int | None = None

        class Crop(BaseFeature, spec=FeatureSpec(key="crop", id_columns=["id"], deps=[mx.FeatureDep(feature=Video)])):
            id: str

        yield graph


def frame(**columns: list[Any]) -> nw.DataFrame[Any]:
    return nw.from_native(pl.DataFrame(columns), eager_only=True)


def test_values_of_samples_are_escaped_and_short() -> None:
    hostile = HOSTILE[:-1]
    rows = frame(
        metaxy_provenance=["hash"],
        **{f"<b>{hostile}": [hostile]},
        bytes=[b"\x00" * 100_000],
        list=[[[0.5] * 5_000]],
        none=[None],
    )
    page = read(Increment(rows, rows.head(0), rows.head(0)).with_expected(3))
    assert page.text.split()[:4] == ["samples", "count", "new", "1"]
    assert "<script>" in page.text  # as text
    assert "… (100,000 bytes)" in page.text
    assert "null" in page.text
    assert page.text.index("metaxy_provenance") > page.text.index("none")
    assert len(page.text) < 1_000


def test_only_the_first_samples_are_fetched() -> None:
    rows = frame(id=list(range(1_000)))
    page = read(Increment(rows, rows.head(0), rows.head(0)))
    assert page.text.split()[-6:] == ["id", "0", "1", "2", "3", "4"]
    assert "1,000" in page.text


def test_what_is_lazy_is_not_built() -> None:
    def never() -> Any:
        raise AssertionError("built")

    shown = read(LazyIncrement(new=never, stale=never, orphaned=never, compute=never))
    assert list(filter(str.strip, shown.text.split("\n"))) == [
        "LazyIncrement",
        "not computed yet: call collect()",
        "new",
        "stale",
        "orphaned",
    ]
    lazy = pl.defer(never, schema={"id": pl.String})
    assert "call collect()" in read(PolarsLazyIncrement(new=lazy, stale=lazy, orphaned=lazy, compute=never)).text


def test_reports_say_what_happened_and_why_not() -> None:
    error = SampleError({HOSTILE: HOSTILE}, HOSTILE, HOSTILE)
    report = ProcessReport(HOSTILE, HOSTILE, 3, failed=1, errors=(error,))
    assert "<script>" in read(report).text
    run = RunReport((replace(report, feature="crop"),), {HOSTILE: 2}, {"faces": HOSTILE}, {HOSTILE: HOSTILE})
    text = read(run).text
    assert "⚠ something is left" in text
    assert "! faces: " in text
    assert ": 2 samples, and no function" in text
    assert "✓ in sync" in read(RunReport()).text


def test_a_graph_is_a_table_where_nothing_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FORMATS, "svg", raising=False)
    text = read(feature_graph(*video())).text
    assert "4 features" in text
    assert text.index("video/raw") < text.index("video/crop") < text.index("faces")
    assert "0 features" in read(mx.FeatureGraph()).text
    assert "missing" in read(view(stored("child", ["missing"]))).text
    assert "and 20 more" in read(view(*chain(120))).text


def test_a_comparison_shows_what_changed() -> None:
    text = read(merge(view(*video()), view(*video("2")))).text
    assert "changed" in text
    assert "affected" in text
    assert "code version" in text


def test_a_picture_is_shut_off_from_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drawn(BaseRenderer):
        def lines(self) -> list[str]:
            return [f"<svg><style>p{{color:red}}</style><script>1</script>{len(self.graph_data.nodes)}</svg>"]

    monkeypatch.setitem(FORMATS, "svg", Drawn)
    page = feature_graph(*video())._repr_html_()
    read(feature_graph(*video()))
    [data] = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(data).decode().endswith("4</svg>")
    assert "<summary>features</summary>" in page
    assert "<img" not in view(*chain(61))._repr_html_()


def test_a_feature_class_shows_its_definition(features: mx.FeatureGraph) -> None:
    video, crop = (features.feature_definitions_by_key[mx.FeatureKey(key)]._feature_class for key in ("video", "crop"))
    text = read(video).text
    assert [each in text for each in ("What a camera <b>saw</b>.", "Not shown.", "integer or null", "size")] == [
        1,
        0,
        1,
        1,
    ]
    assert features.get_feature_version("video")[:8] in text
    assert "video.audio\nvideo.frames" in read(crop).text
    assert "abstract" in read(BaseFeature).text
    assert not hasattr(video(id="a"), "_repr_html_")  # an instance is a row, and shows itself as any other
    features.remove_feature("video")
    for feature in (video, crop):
        assert "not in its graph" in read(feature).text


def test_status_is_one_table(features: mx.FeatureGraph, tmp_path: Path) -> None:
    versions = {"audio": "1", "frames": "1"}
    with DuckDBMetadataStore(tmp_path / "a.duckdb", auto_create_tables=True).open("w") as store:
        store.write("video", pl.DataFrame({"id": ["a", "b"], "metaxy_provenance_by_field": [versions] * 2}))
        found = [get_feature_metadata_status(key, store) for key in ("video", "crop")]
    root, child = found  # the store is closed: what is shown is known already
    assert read(root).text.split("\n")[5:11] == ["video", "○ root", "2", "-", "-", "-"]
    assert read(child.status).text == read(child).text
    assert read(child).text.split("\n")[5:11] == ["crop", "✗ no table", "-", "2", "0", "0"]
    failed = FullFeatureMetadataRepresentation.of_error(mx.FeatureKey("c"), ValueError(), HOSTILE)
    text = read(Status("1a2b", [*(each.to_representation() for each in found), failed])).text
    assert "1 of 3 features need an update" in text
    assert "! error" in text


def test_a_store_shows_what_it_is_without_being_asked(tmp_path: Path) -> None:
    below = DuckDBMetadataStore("postgresql://me:hunter2@host/db", name="below")
    store = DuckDBMetadataStore(tmp_path / "<b>.duckdb", name=HOSTILE[:-1], fallback_stores=[below])
    text = read(store).text
    assert "○ closed" in text
    assert "below" in text
    assert "hunter2" not in text + read(below).text
    assert list(tmp_path.iterdir()) == []
    with DuckDBMetadataStore(tmp_path / "a.duckdb").open("w") as opened:
        assert "✓ open for writing" in read(opened).text


@pytest.mark.parametrize("behind", [(255, 255, 255), (30, 30, 30)])
def test_colours_are_readable_on_light_and_dark(behind: tuple[int, int, int]) -> None:
    def light(rgb: tuple[int, ...]) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in rgb)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for color in notebook.COLORS.values():
        pair = sorted([light(behind), light(tuple(bytes.fromhex(color[1:])))])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) > 3.5, color
