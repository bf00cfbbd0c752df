"""One server for all tests: `mx ui` in a process of its own, of a project with rows, media and hostile names."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import polars as pl
import pytest

from metaxy.testing import TempMetaxyProject

FEATURES = '''
import metaxy as mx


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video/raw", id_columns=["id"], fields=["audio", "frames"])):
    """What a camera <b>saw</b>."""

    id: str
    path: str
    size: int


class Crop(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="video/crop",
        id_columns=["id"],
        deps=[mx.FeatureDep(feature=Video)],
        fields=[mx.FieldSpec(key="frames", code_version="1")],
        metadata={"</script>": "<!--<script>"},
    ),
):
    """</script><script>alert(1)</script><!-- <script>"""

    id: str
'''
HOSTILE = "</script><script>alert('x')</script><!-- \u2028\x1b[31m"
SECRET = "hunter2-of-the-store"
VALUE = "value-that-must-stay-inside"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000a49444154789c6360000000020001"
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


class Site:
    """A running `mx ui`, and raw requests to it."""

    def __init__(self, folder: Path, *options: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("METAXY_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metaxy.cli.app", "ui", "--port", "0", "--no-open", *options],
            cwd=folder,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert self.process.stdout
        self.link = self.process.stdout.readline().strip()
        assert self.link, self.process.communicate()
        self.url = urlsplit(self.link)
        self.token = self.url.query.removeprefix("token=")

    def ask(self, path: str, method: str = "GET", *, token: bool = True, **headers: str) -> Answer:
        """Send a request with a path exactly as it is."""
        connection = http.client.HTTPConnection(self.url.hostname or "", self.url.port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            given.setdefault("Authorization", f"Bearer {self.token}")
        connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    def get(self, path: str) -> Any:
        """Return the data of an answer that must succeed."""
        answer = self.ask(f"{self.url.path}api/{quote(path, safe='/?&=+%')}")
        assert answer.status == 200, answer.body
        return answer.data

    def stop(self) -> str:
        """End the server, and return what it said on stderr."""
        self.process.terminate()
        return self.process.communicate(timeout=60)[1]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> TempMetaxyProject:
    """A project with rows, errors and media, whose second store cannot be reached and has a password."""
    folder = tmp_path_factory.mktemp("ui").resolve()
    stores = {
        "dev": {"type": "metaxy.ext.duckdb.DuckDBMetadataStore", "database": str(folder / "store.duckdb")},
        "far": {
            "type": "metaxy.ext.postgresql.PostgreSQLMetadataStore",
            "connection_string": f"postgresql://me:{SECRET}@127.0.0.1:1/db",
        },
    }
    project = TempMetaxyProject(folder, FEATURES, project="vision", stores=stores, store="dev")
    add_media(folder)
    with project.use(), project.store().open("w") as store:
        store.write("video/raw", videos())
        increment = store.resolve_update("video/crop")
        store.write("video/crop", increment.new.to_polars().head(2))
        failed = increment.new.to_polars().tail(1).select("id", "metaxy_provenance")
        store.record_errors(
            "video/crop", failed.with_columns(error_type=pl.lit("ValueError"), error_message=pl.lit(VALUE))
        )
    project.run_cli(["push"])
    return project


def videos() -> pl.DataFrame:
    ids = [HOSTILE, VALUE, "c"]
    versions = [{"audio": f"a{i}", "frames": f"f{i}"} for i in range(3)]
    paths = ["frame.png", "link.png", "inside.png"]
    return pl.DataFrame({"id": ids, "path": paths, "size": [1, 2**60, 3], "metaxy_provenance_by_field": versions})


def add_media(folder: Path) -> None:
    media = folder / "media"
    (media / "more").mkdir(parents=True)
    (folder / "outside.png").write_bytes(PNG)
    (folder / "media-of-others").mkdir()
    (folder / "media-of-others" / "a.png").write_bytes(PNG)
    for name, content in (("frame.png", PNG), ("page.html", SVG), ("image.svg", SVG), ("more/tone.wav", b"RIFF" * 64)):
        (media / name).write_bytes(content)
    (media / "link.png").symlink_to(folder / "outside.png")
    (media / "up").symlink_to(folder)
    (media / "inside.png").symlink_to(media / "frame.png")


@pytest.fixture(scope="session")
def site(place: TempMetaxyProject) -> Iterator[Site]:
    options = ("--prefix", "team/metaxy/", "--allow-host", "metaxy.example.org")
    site = Site(place.path, *options, "--media-root", "media", "--media-root", "https://media.example.org")
    yield site
    assert site.stop() == ""


@pytest.fixture(scope="session")
def hidden(place: TempMetaxyProject) -> Iterator[Site]:
    """The same without values of samples."""
    site = Site(place.path, "--no-rows", "--media-root", "media")
    yield site
    assert site.stop() == ""


@pytest.fixture
def place_path(place: TempMetaxyProject) -> str:
    return place.path.as_posix()
