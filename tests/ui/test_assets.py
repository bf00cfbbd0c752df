"""What the browser runs: plain modules that one file can hold, and nothing by which data could become code."""

import re
from collections import Counter
from pathlib import Path

from metaxy.dag.render.svg import LAMPS, SIGNS
from metaxy.service.drawings import picture_files
from metaxy.ui.files import read_assets

MODULES = {
    name: asset.content.decode()
    for name, asset in read_assets().items()
    if name.endswith(".js") and not name.startswith("vendor/")
}
IMPORT = re.compile(r'^import \{ [\w, ]+ \} from "\./([\w/]+\.js)";$')
NAMED = re.compile(r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", re.MULTILINE)
CODE_FROM_TEXT = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "new Function",
    'setTimeout("',
)


def test_modules_can_be_put_into_one_file() -> None:
    names = Counter(name for module in MODULES.values() for name in NAMED.findall(module))
    assert [name for name, count in names.items() if count > 1] == []
    for name, module in MODULES.items():
        imports = [line for line in module.splitlines() if line.startswith("import")]
        found = [IMPORT.fullmatch(line) for line in imports]
        assert all(found), name
        assert {match[1] for match in found if match} <= {*MODULES, "vendor/preact.js"}, name
        assert not re.search(r"^export (default|\{|\*)", module, re.MULTILINE), name
        assert name in picture_files() or len(module.splitlines()) <= 450, name


def test_imports_make_no_circle() -> None:
    known = {
        name: re.findall(r'^import .* from "\./(\w+\.js)";$', module, re.MULTILINE) for name, module in MODULES.items()
    }
    done: set[str] = set()
    while ready := [name for name in known if name not in done and done.issuperset(known[name])]:
        done.update(ready)
    assert done == set(known)


def test_no_text_becomes_code() -> None:
    for name in MODULES.keys() - picture_files().keys():
        assert [each for each in CODE_FROM_TEXT if each in MODULES[name]] == [], name
    assert "dangerouslySetInnerHTML" not in "".join(MODULES.values())


def test_the_page_asks_only_where_it_came_from() -> None:
    page = read_assets()["index.html"].content.decode()
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == [
        "assets/icon.svg",
        "assets/picture.css",
        "assets/ui.css",
        "assets/main.js",
    ]
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", page)
    style = read_assets()["ui.css"].content.decode()
    assert "url(" not in style
    assert "@import" not in style
    used = [each for module in MODULES.values() for each in re.findall(r"https?://[\w./]+", module)]
    assert set(used) <= {"http://www.w3.org/2000/svg"}


def test_states_and_statuses_have_the_signs_of_pictures() -> None:
    shapes = set(re.findall(r'd="([^"]+)"|: "(M[^"]+)"', MODULES["parts.js"]))
    drawn = {*LAMPS.values(), *re.findall(r' d="([^"]+)"', "".join(SIGNS.values()))}
    assert drawn <= {shape for pair in shapes for shape in pair}


def test_what_others_wrote_comes_with_its_licences() -> None:
    vendor = Path(__file__).parents[2] / "src" / "metaxy" / "ui" / "assets" / "vendor"
    assert sorted(path.name for path in vendor.iterdir()) == ["LICENSE.htm", "LICENSE.preact", "preact.js"]
    assert "Apache License" in (vendor / "LICENSE.htm").read_text()
    assert "MIT License" in (vendor / "LICENSE.preact").read_text()
