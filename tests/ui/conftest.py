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
from urllib.parse import urlsplit

import pytest

from metaxy.testing import TempMetaxyProject

FEATURES = '''
import metaxy as mx


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video/raw", id_columns=["id"], fields=["audio", "frames"])):
    """What a camera <b>saw</b>."""

    id: str
    path: str


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
HOSTILE = "</script><script>alert('x')</script>"
SECRET = "hunter2-of-the-store"


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
        answer = self.ask(f"{self.url.path}api/{path}")
        assert answer.status == 200, answer.body
        return answer.data

    def stop(self) -> str:
        """End the server, and return what it said on stderr."""
        self.process.terminate()
        return self.process.communicate(timeout=60)[1]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> TempMetaxyProject:
    """A project with rows, media, and a secret."""
    return TempMetaxyProject(tmp_path_factory.mktemp("ui"), FEATURES, project="vision")


@pytest.fixture(scope="session")
def site(place: TempMetaxyProject) -> Iterator[Site]:
    site = Site(place.path, "--prefix", "team/metaxy/", "--allow-host", "metaxy.example.org")
    yield site
    assert site.stop() == ""
