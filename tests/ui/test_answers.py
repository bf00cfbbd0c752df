"""What the page is told: the numbers of the store, whatever names and values are, and nothing that is hidden."""

import json
from typing import Any

import pytest
from tests.ui.conftest import HOSTILE, PNG, SECRET, VALUE, Site

CROP = "features/video/crop"


def test_the_project_and_its_graph(site: Site) -> None:
    project = site.get("project.json")
    assert [each["key"] for each in project["features"]] == ["video/raw", "video/crop"]
    assert (project["project"], project["store"], project["rows"], project["media"]) == ("vision", "dev", True, True)
    graph = site.get("graph.json")
    assert set(graph["data"]["nodes"]) == {"video/raw", "video/crop"}
    assert '<g class="edges">' in graph["svg"]
    about = site.get(f"{CROP}/about.json")
    assert about["metadata"] == {"</script>": "<!--<script>"}
    assert [field["key"] for field in about["fields"]] == ["frames"]
    [own] = [column for column in about["columns"] if column["name"] == "id"]
    assert own["sources"] == [{"feature": "video/raw", "column": "id"}]
    assert (about["dependencies"], about["dependents"]) == ([{"feature": "video/raw"}], [])
    assert site.get("features/video/raw/about.json")["dependents"] == [{"feature": "video/crop"}]


def test_counts_are_those_of_status(site: Site) -> None:
    counts = site.get(f"{CROP}/counts.json")
    assert [counts[name] for name in ("state", "rows", "missing", "stale", "failed", "error")] == [
        *("needs_update", 2, 1, 0, 1, None)
    ]
    assert (counts["is_old"], counts["as_of"][-6:]) == (False, "+00:00")


def test_rows_page_by_page_as_json_holds_them(site: Site) -> None:
    found = site.get("features/video/raw/rows.json?limit=2&filter=size > 1")
    assert [column["name"] for column in found["columns"]] == ["id", "path", "size"]
    assert [column["media"] for column in found["columns"]] == [None, "image", None]
    assert found["rows"] == [["c", "inside.png", 3], [VALUE, "link.png", str(2**60)]]
    assert not found["more"]
    assert site.get("features/video/raw/rows.json?limit=1")["rows"][0][0] == HOSTILE
    system = site.get("features/video/raw/rows.json?limit=1&offset=2&system=1")
    assert "metaxy_provenance" in [column["name"] for column in system["columns"] if column["system"]]
    columns = {each["name"]: each for each in site.get("features/video/raw/columns.json")["columns"]}
    assert (columns["size"]["distinct"], columns["size"]["greatest"]) == (3, str(2**60))


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=501",
            "limit=-1",
            "limit=1e3",
            "limit=x",
            "offset=-1",
            "offset=99999999999",
            "limit=%D9%A1",
        ),
        *("filter=size", "filter=size+%3D%3D%3D+1", "filter=1%3B+DROP+TABLE+x", "filter=" + "x" * 10_001),
        *("filter=size+%3E+(SELECT+1)", "filter=read_csv('/etc/passwd')+%3D+1", "filter=nothing+%3D+1", "store=none"),
    ],
)
def test_senseless_queries_are_refused(site: Site, query: str) -> None:
    answer = site.ask(f"/api/features/video/raw/rows.json?{query}")
    assert answer.status in (400, 422)
    assert "Traceback" not in answer.body.decode()
    assert answer.data["error"]["message"]


def test_errors_claims_and_history(site: Site) -> None:
    found = site.get(f"{CROP}/errors.json?all=1")
    [error] = found["errors"]
    assert (found["total"], error["error_type"], error["error_message"]) == (1, "ValueError", VALUE)
    assert set(error["ids"]) == {"id"}
    assert site.get(f"{CROP}/claims.json") == {"claims": []}
    [version] = site.get(f"{CROP}/history.json")["versions"]
    assert (version["is_current"], version["changes"]) == (True, [])
    [push] = site.get("history.json")["pushes"]
    assert (push["feature_count"], push["tags"], push["recorded_at"][-6:]) == (2, {}, "+00:00")
    same = site.get("diff.json?stats=1")
    assert (same["features"], same["summary"]["needs_computing"]) == ([], False)


def test_a_sample_and_what_is_around_it(site: Site) -> None:
    found = site.get('features/video/raw/sample.json?id={"id":"c"}')
    shown = dict(zip([column["name"] for column in found["columns"]], found["row"], strict=True))
    assert (shown["path"], shown["size"], found["ids"]) == ("inside.png", 3, ["id"])
    assert [(each["feature"], each["error"]) for each in found["children"]] == [("video/crop", None)]
    for wrong in ("", "?id=1", "?id={}", '?id={"id":[1]}', '?id={"nothing":1}', "?id={", "?id=" + "[" * 9_000):
        assert site.ask(f"/api/features/video/raw/sample.json{wrong}").status == 400, wrong
    activity = site.get(f"{CROP}/activity.json")
    assert (activity["last_hour"], activity["left"]) == (2, 1)


def answered_stores(site: Site) -> dict[str, dict[str, Any]]:
    """Ask for stores until all have answered; each question waits for them for seconds."""
    for _ in range(20):
        stores = {store["name"]: store for store in site.get("stores.json")["stores"]}
        if not any("no answer within" in (store["error"] or "") for store in stores.values()):
            break
    return stores


def test_secrets_are_shown_nowhere(site: Site) -> None:
    stores = answered_stores(site)
    assert (stores["dev"]["tables"], stores["dev"]["error"]) == (2, None)
    assert stores["far"]["error"]
    for path in ("project.json", "stores.json", "history.json?store=far", f"{CROP}/rows.json?store=far"):
        answer = site.ask(f"/api/{path}")
        assert SECRET not in answer.body.decode()
        assert answer.status == (503 if "far" in path else 200)


def test_hidden_values_are_in_no_answer(hidden: Site) -> None:
    assert hidden.get("project.json")["rows"] is False
    for path in ("rows.json", "columns.json", "sample.json?id=%7B%22id%22%3A%22c%22%7D"):
        answer = hidden.ask(f"/api/{CROP}/{path}")
        assert (answer.status, answer.data["error"]["hint"]) == (403, "the page was started with --no-rows")
    [error] = hidden.get(f"{CROP}/errors.json")["errors"]
    assert (error["error_type"], error["ids"], error["error_message"]) == ("ValueError", None, None)
    assert hidden.ask("/media?path=frame.png").status == 403
    paths = ("about", "counts", "history", "errors", "claims", "activity")
    for path in (*(f"{CROP}/{name}.json" for name in paths), "diff.json?stats=1", "stores.json", "graph.json"):
        text = hidden.ask(f"/api/{path}").body.decode()
        assert VALUE not in text
        assert "alert('x')" not in text


def test_files_below_the_folder_are_given_and_no_others(site: Site, place_path: str) -> None:
    for path in ("frame.png", "inside.png", "more/../frame.png", "./frame.png", f"{place_path}/media/frame.png"):
        answer = site.ask(f"/media?path={path}")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, PNG, "image/png"), path
    assert site.ask(f"/media?path=file://{place_path}/media/frame.png").status == 200
    outside = [
        *("link.png", "up/outside.png", "../outside.png", "%2e%2e/outside.png", "..%2foutside.png", "up/media"),
        *(
            "/etc/passwd",
            f"{place_path}/outside.png",
            f"{place_path}/media-of-others/a.png",
            "none.png",
            "",
            ".",
            "more",
        ),
        *(
            "..%5coutside.png",
            "frame.png%00",
            "%00",
            "%2fetc%2fpasswd",
            "file:///etc/passwd",
            "file://evil.example/a.png",
        ),
        *("//evil.example/share/a.png", "%5c%5cevil.example%5cshare%5ca.png", "x" * 5_000, "%ff%fe.png"),
        *("http://127.0.0.1/a.png", "....//outside.png", "/proc/self/environ", "/dev/zero"),
    ]
    for path in outside:
        answer = site.ask(f"/media?path={path}")
        assert (answer.status, answer.data["error"]["message"]) == (404, "there is no such file below --media-root"), (
            path
        )
    assert site.ask("/media?path=page.html").status == 415


def test_media_in_parts_and_without_a_way_to_run_scripts(site: Site) -> None:
    sound = "RIFF" * 64
    part = site.ask("/media?path=more/tone.wav", Range="bytes=2-5")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"FFRI", f"bytes 2-5/{len(sound)}")
    assert site.ask("/media?path=more/tone.wav", Range="bytes=999-").status == 416
    whole = site.ask("/media?path=more/tone.wav", "HEAD")
    assert (whole.headers["content-length"], whole.headers["accept-ranges"]) == (str(len(sound)), "bytes")
    drawing = site.ask("/media?path=image.svg")
    assert drawing.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert (drawing.headers["content-type"], drawing.headers["x-content-type-options"]) == ("image/svg+xml", "nosniff")
    policy = site.ask("/").headers["content-security-policy"].split("; ")
    assert "img-src 'self' data: https://media.example.org" in policy
    assert "media-src 'self' https://media.example.org" in policy
    assert "connect-src 'self'" in policy


def test_hostile_names_are_data(site: Site) -> None:
    for path in (
        "project.json",
        f"{CROP}/about.json",
        "features/video/raw/rows.json",
        "features/%3Cscript%3E/about.json",
    ):
        answer = site.ask(f"/api/{path}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        json.loads(answer.body)
