"""The command: what it refuses, what it prints, how it ends, and what it needs."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from tests.ui.conftest import FEATURES, Site, videos

from metaxy.testing import TempMetaxyProject

NO_SERVER = """
import sys
from metaxy.cli.app import main
sys.modules["starlette"] = None
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "options",
    [
        *(["--prefix", text] for text in ("../x", "a//b", "/a/./b", "a b", "a;b", "é", "/a?b")),
        *(["--allow-host", text] for text in ("", "https://x", "a b", "*", "me@x")),
        *(
            ["--media-root", text]
            for text in ("nowhere", "https://x; script-src *", "https://x/y", "ftp://x", "https://*")
        ),
        *(["--port", text] for text in ("-1", "65536", "x")),
        *(["--token", text] for text in ("short", "with a blank in it", "0123456789abcde\n")),
        *(["--store", "none"], ["--force"], ["--host", "no.such.host.example"]),
    ],
    ids=" ".join,
)
def test_senseless_options_are_refused(place: TempMetaxyProject, options: list[str]) -> None:
    done = place.run_cli(["ui", "--no-open", *options], check=False)
    assert done.returncode == (1 if "--host" in options else 2)
    assert (done.stdout, done.stderr[:6]) == ("", "Error:")


def test_a_port_that_is_taken_is_named_and_the_usual_one_is_not_needed(place: TempMetaxyProject) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = place.run_cli(["ui", "--no-open", "--port", str(port)], check=False)
        assert (done.returncode, f"127.0.0.1 port {port}" in done.stderr) == (1, True)


def test_it_prints_one_link_and_ends_by_ctrl_c(place: TempMetaxyProject) -> None:
    site = Site(place.path, "--token", "0123456789-abcdef")
    assert site.link == f"http://127.0.0.1:{site.url.port}/?token=0123456789-abcdef"
    site.process.send_signal(signal.SIGINT)
    assert site.process.communicate(timeout=60) == ("", "")
    assert site.process.returncode == 0


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_while_a_store_is_asked_something_endless(tmp_path: Path, ended_by: signal.Signals) -> None:
    database = tmp_path.resolve() / "store.duckdb"
    stores = {"dev": {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(database)}}
    place = TempMetaxyProject(tmp_path, FEATURES, project="vision", stores=stores, store="dev")
    with place.use(), place.store().open("w") as store:
        store.write("video/raw", videos())
    with duckdb.connect(str(database)) as connection:
        connection.execute("ALTER TABLE video__raw RENAME TO once")
        endless = "SELECT once.* FROM once, range(1000000000) AS a(i), range(1000000) AS b(j) WHERE (i + j) % 7 < 0"
        connection.execute(f"CREATE VIEW video__raw AS {endless}")
    site = Site(tmp_path)
    asking = []
    for path in ("counts", "rows"):
        asking.append(socket.create_connection((site.url.hostname or "", site.url.port or 0)))
        head = f"GET /api/features/video/raw/{path}.json HTTP/1.1\r\nHost: localhost\r\n"
        asking[-1].sendall(f"{head}Authorization: Bearer {site.token}\r\n\r\n".encode())
    assert site.get("project.json")["store"] == "dev"  # what was asked before has begun
    site.process.send_signal(ended_by)
    assert site.process.communicate(timeout=60) == ("", "")
    assert site.process.returncode == (0 if ended_by == signal.SIGINT else -signal.SIGTERM)
    for each in asking:
        each.close()


def test_help_needs_no_server_and_a_missing_one_is_named(place: TempMetaxyProject) -> None:
    def run(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", NO_SERVER, "ui", *options]
        return subprocess.run(command, cwd=place.path, capture_output=True, text=True)

    assert "--media-root" in run("--help").stdout
    missing = run()
    assert missing.returncode == 1
    assert missing.stderr == 'Error: the web page needs starlette: pip install "metaxy[ui]"\n'
    assert run("--export", "page.html").stdout == "page.html\n"
