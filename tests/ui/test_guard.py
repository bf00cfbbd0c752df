"""Who may ask what: over real HTTP."""

import pytest
from tests.ui.conftest import Site

DATA = "/team/metaxy/api/project.json"


def test_the_first_link_gives_a_cookie_that_other_sites_and_scripts_cannot_use(site: Site) -> None:
    answer = site.ask(f"{site.url.path}?view=1&{site.url.query}", token=False)
    assert (answer.status, answer.headers["location"]) == (303, "./?view=1")
    name, _, flags = answer.headers["set-cookie"].partition("=")
    assert name == f"metaxy-{site.url.port}"
    assert flags == f"{site.token}; Path=/team/metaxy/; HttpOnly; SameSite=Strict"
    cookie = f"other=1; {name}={site.token}"
    assert site.ask(DATA, token=False, Cookie=cookie).status == 200
    secure = site.ask(f"/?{site.url.query}", token=False, X_Forwarded_Proto="https")
    assert secure.headers["set-cookie"].endswith("SameSite=Strict; Secure")


def test_data_need_the_token_and_the_page_does_not(site: Site) -> None:
    name = f"metaxy-{site.url.port}"
    wrong = [{}, {"Cookie": f"{name}="}, {"Cookie": f"{name}=x{site.token}"}, {"Cookie": f"metaxy-1={site.token}"}]
    wrong += [{"Authorization": f"Bearer {site.token}x"}, {"Authorization": site.token}, {"Cookie": "\xff; ="}]
    for path in (
        DATA,
        "/api/none",
        "/media?path=x",
        "/team/metaxy/media",
        "//api/project.json",
        "/assets",
        "/x/../api/",
    ):
        for headers in wrong:
            assert site.ask(path, token=False, **headers).status == 401, (path, headers)
    assert site.ask("/?token=wrong", token=False).status == 401
    for path in ("/", "/team/metaxy/", "/assets/ui.css", "/team/metaxy/assets/picture.css"):
        assert site.ask(path, token=False).status == 200, path


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((name, 200) for name in ("localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]", "[::1]:80", "localhost.")),
        *((name, 200) for name in ("metaxy.example.org", "metaxy.example.org:443")),
        *((name, 421) for name in ("evil.example", "localhost.evil.example:8421", "127.0.0.1.nip.io", "[::2]:80")),
        *((name, 421) for name in ("xmetaxy.example.org", "127.0.0.2", "0.0.0.0", "2130706433")),
        *((name, 400) for name in ("", "me@localhost", "localhost:x", "[::1", "localhost/", "localhost, evil.example")),
    ],
)
def test_other_names_are_refused(site: Site, host: str, status: int) -> None:
    for path in ("/", DATA):
        assert site.ask(path, Host=host).status == status


def test_other_sites_are_refused_data(site: Site) -> None:
    for origin in ("https://evil.example", "null", "http://localhost.evil.example", "http://me@localhost"):
        assert site.ask(DATA, Origin=origin).status == 403
    for relation in ("cross-site", "same-site"):
        assert site.ask(DATA, Sec_Fetch_Site=relation).status == 403
        assert site.ask("/", Sec_Fetch_Site=relation).status == 200
    assert site.ask(DATA, Origin="http://localhost:1234", Sec_Fetch_Site="same-origin").status == 200


def test_what_could_change_something_is_refused(site: Site) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"):
        for path in ("/", DATA):
            answer = site.ask(path, method)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    head = site.ask(DATA, "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_every_answer_has_the_headers(site: Site) -> None:
    for path, status in (("/", 200), (DATA, 200), ("/assets/none.js", 404), ("/nothing", 404), ("/team/metaxy", 307)):
        answer = site.ask(path)
        assert answer.status == status
        headers = answer.headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert (headers["referrer-policy"], headers["cross-origin-resource-policy"]) == ("no-referrer", "same-origin")
        assert "server" not in headers
        assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")


def test_the_prefix_may_be_taken_off_by_a_proxy(site: Site) -> None:
    assert site.ask("/team/metaxy?x=1").headers["location"] == "./metaxy/?x=1"
    assert site.ask("/api/project.json").body == site.ask(DATA).body
    assert site.ask("/team/metaxyz/api/project.json").status == 404


def test_files_of_the_page_are_loaded_once(site: Site) -> None:
    answer = site.ask("/assets/picture.css")
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert site.ask("/assets/picture.css", If_None_Match=answer.headers["etag"]).status == 304
    for path in ("../api.py", "..%2fapi.py", "%2e%2e/api.py", "/etc/passwd", "index.html%00", "..\\api.py", "vendor"):
        assert site.ask(f"/assets/{path}").status == 404


def test_answers_say_what_is_wrong(site: Site) -> None:
    answer = site.ask("/api/features/video/cropp/about.json")
    assert (answer.status, answer.data["error"]["code"]) == (404, "FEATURES_NOT_FOUND")
    assert "video/crop" in answer.data["error"]["message"]
    for path in ("none.json", "features/about.json", "x/project.json", "features/../project.json", "project.json/"):
        assert site.ask(f"/api/{path}").status in (400, 404)
    assert site.ask("/api/features/video/crop/counts.json?store=none").status == 400
