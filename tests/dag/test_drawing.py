"""Pictures in parts, as web pages put them together."""

import re
import xml.etree.ElementTree as ET

from tests.dag.definitions import stored
from tests.dag.views import video, view

from metaxy.dag.diff import merge
from metaxy.dag.render.config import RenderConfig
from metaxy.dag.render.drawing import asset
from metaxy.dag.stats import FeatureStats
from metaxy.service.drawings import bundled, drawing, picture_files


def test_a_drawing_is_groups_with_what_there_is_to_say() -> None:
    found = drawing(merge(view(*video()), view(*video("2"))), RenderConfig(title="a <b>"))
    groups = ET.fromstring(f"<svg>{found.svg}</svg>")
    assert [each.attrib["class"] for each in groups] == ["edges", "cards"]
    boxes = {each.attrib["data-key"] for each in groups[1]}
    assert boxes == found.data["nodes"].keys() == {"video/raw", "video/crop", "faces", "audio/transcript"}
    assert (found.title, found.counts[:10]) == ("a <b>", "4 features")
    assert [re.sub("<.*?>", "", each) for each in found.legend.split("</span>")] == ["changed 1", "affected 2", ""]
    assert min(found.width, found.height) > 100


def test_live_boxes_have_an_empty_line() -> None:
    data = view(*video(), stored("lost", ["gone"]))
    still, live = (drawing(data, live=live) for live in (False, True))
    assert still.svg.count('class="live"') == 0
    assert live.svg.count('class="live"') == len(data.nodes) - 1  # what is not in the graph is not counted
    assert live.data["nodes"]["faces"]["at"][3] - still.data["nodes"]["faces"]["at"][3] == 17
    assert live.data["lamps"].keys() == set(FeatureStats.model_fields["state"].annotation.__args__)  # type: ignore[union-attr]  # a Literal


def test_the_files_of_a_page_go_together() -> None:
    files = picture_files()
    assert files.keys() == {"picture.js", "picture.css"}
    script = bundled(files["picture.js"], asset("page.js"))
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (?!\[)(\w+)", script, re.MULTILINE)
    assert len(set(names)) == len(names) > 20
    assert {"mount", "make", "data", "picture"} <= set(names)
