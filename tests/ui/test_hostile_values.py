"""Values and headers that no one sends by chance must not keep a page from being shown."""

import os
import socket
from pathlib import Path

import pytest
from tests.ui.conftest import PNG, Site

from metaxy.ui.guard import Refusal
from metaxy.ui.media import media_file, media_kind
from metaxy.ui.options import Options
from metaxy.ui.query import Question
from metaxy.ui.served_file import opened

DEEP = "[" * 999


@pytest.mark.parametrize("text", ["http://[x/1.txt", "file://[", DEEP, "[1", "\x00", "x://" + "[" * 900])
def test_a_text_that_only_begins_like_an_address_or_a_list_is_no_media(text: str, tmp_path: Path) -> None:
    assert media_kind([text, None]) is None
    with pytest.raises(Refusal, match="no such file"):
        media_file(text, [tmp_path])


def test_ids_that_are_nested_too_deep_are_refused() -> None:
    for text in ('{"id":' * 5_000, "[" * 9_000, '{"id": 1' + "0" * 5_000 + "}"):
        with pytest.raises(Refusal, match="JSON object"):
            _ = Question(None, Options(), {"id": text}).ids  # type: ignore[arg-type]  # not asked


def test_cookies_of_other_programs_of_this_machine_lock_no_one_out(site: Site) -> None:
    own = f"metaxy-{site.url.port}={site.token}"
    for other in ('prefs={"a": 1}', "a b=1", "=", 'x="y', "x[]=1", "\xe9=1", "expires", f"metaxy-{site.url.port}=old"):
        for cookies in (f"{other}; {own}", f"{own}; {other}", f" ;;{other};{own}"):
            assert site.ask("/api/project.json", token=False, Cookie=cookies).status == 200, cookies
    for origin in ("http://[", "http://[::1", "//localhost", "localhost", ""):
        assert site.ask("/api/project.json", Origin=origin).status == 403, origin


def test_parts_of_files(site: Site) -> None:
    size = len(b"RIFF" * 64)
    parts = {
        "bytes=-4": (206, 4),
        "bytes=-999999": (200, size),
        "bytes=250-99999999999999999": (206, 6),
        "bytes=0-": (200, size),
        "bytes=-0": (416, 0),
        f"bytes={size}-": (416, 0),
        **{f"bytes={text}": (200, size) for text in ("5-2", "a-b", "", "-", "--1", "0-1,3-4", "0-" + "9" * 5_000)},
        "items=0-1": (200, size),
    }
    for asked, (status, length) in parts.items():
        answer = site.ask("/media?path=more/tone.wav", Range=asked)
        assert (answer.status, len(answer.body)) == (status, length), asked
    tag = site.ask("/media?path=more/tone.wav").headers["etag"]
    for given, status in ((tag, 206), ('"other"', 200)):
        assert site.ask("/media?path=more/tone.wav", Range="bytes=1-2", If_Range=given).status == status


def test_what_takes_the_place_of_a_file_after_it_was_looked_at_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "plain.png").write_bytes(PNG)
    (tmp_path / "link.png").symlink_to(tmp_path / "plain.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("link.png", "pipe.png", "none.png", "."):
        with pytest.raises(OSError, match=r".+"):
            opened(tmp_path / name)


def test_a_file_that_grows_while_it_is_sent_is_sent_as_long_as_it_was(place_path: str, site: Site) -> None:
    path, size = Path(place_path) / "media/growing.wav", 30_000_000
    path.write_bytes(bytes(size))
    host = site.url.hostname or ""
    with socket.create_connection((host, site.url.port or 0), timeout=60) as connection:
        request = f"GET /media?path=growing.wav HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {site.token}\r\n"
        connection.sendall(f"{request}Connection: close\r\n\r\n".encode())
        head = connection.recv(100)
        with path.open("ab") as file:
            file.write(b"x" * 100_000)
        found = head + b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert found.partition(b"\r\n\r\n")[2] == bytes(size)
    path.unlink()
