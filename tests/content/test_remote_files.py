"""Files elsewhere: in a bucket, behind a place that answers badly, and wherever fsspec reads."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests.services import guarded_s3, s3

import metaxy.content as content


def options(told: dict[str, str]) -> dict[str, Any]:
    """Return the options of s3fs for a server of the tests."""
    return {
        "key": told["AWS_ACCESS_KEY_ID"],
        "secret": told["AWS_SECRET_ACCESS_KEY"],
        "endpoint_url": told["AWS_ENDPOINT_URL"],
        "client_kwargs": {"region_name": told["AWS_REGION"]},
    }


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_bucket(tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    known: dict[str, Any] = {"storage_options": options(s3.options())}
    data = {"small": b"a", "empty": b"", "large": b"0123456789abcdef" * 600_000}
    for key, body in data.items():
        s3.client().put_object(Bucket=bucket, Key=f"in/{key}", Body=body)
    urls = [f"s3://{bucket}/in/{key}" for key in (*data, "gone")] + [f"s3://{bucket}/in", "s3://no-such-bucket/a"]
    found = content.hash_files(urls, **known)
    assert found["version"].to_list() == [*map(sha256, data.values()), None, None, None]
    assert [str(error).partition(":")[0] for error in found["error"]][3:] == [
        "FileNotFoundError",
        "IsADirectoryError",
        "FileNotFoundError",
    ]
    assert found["etag"][0] == hashlib.md5(b"a").hexdigest()
    assert found["modified"][0] is not None

    trusting: dict[str, Any] = {"trust": "etag", "cache": tmp_path / "cache", **known}
    first = content.hash_files(urls, **trusting)
    s3.client().put_object(Bucket=bucket, Key="in/small", Body=b"b")
    s3.client().delete_object(Bucket=bucket, Key="in/empty")
    again = content.hash_files(urls, **trusting)
    assert first["version"].to_list() == found["version"].to_list()
    assert again["version"].to_list() == [sha256(b"b"), None, sha256(data["large"]), None, None, None]


def test_a_bucket_that_refuses() -> None:
    bucket = guarded_s3.new_bucket()
    wrong = options(guarded_s3.options(guarded_s3.READER)) | {"secret": "not-to-be-shown"}
    try:
        (error,) = content.hash_files([f"s3://{bucket}/file"], storage_options=wrong)["error"]
    finally:
        guarded_s3._owner().delete_bucket(Bucket=bucket)
    assert error.startswith("PermissionError: ")
    assert "not-to-be-shown" not in error


class Failing(MemoryFileSystem):  # type: ignore[misc]
    """A place that does not answer a few times."""

    protocol = "failing"
    store: ClassVar[dict[str, Any]] = {}
    failures: ClassVar[list[Exception]] = []
    asked = 0

    looked: ClassVar[list[Exception]] = []

    def info(self, path: str, **options: Any) -> Any:
        if self.looked:
            raise self.looked.pop()
        return super().info(path, **options)

    def _open(self, *arguments: Any, **options: Any) -> Any:
        type(self).asked += 1
        if self.failures:
            raise self.failures.pop()
        return super()._open(*arguments, **options)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Failing]]:
    monkeypatch.setattr("metaxy.content.reading.PAUSE", 0.0)
    fsspec.register_implementation("failing", Failing, clobber=True)
    with fsspec.open("failing://folder/file", "wb") as file:
        file.write(b"data")
    Failing.asked = 0
    yield Failing
    Failing.failures.clear()
    Failing.store.clear()


def test_a_place_that_does_not_answer_is_asked_again(failing: type[Failing], tmp_path: Path) -> None:
    failing.failures += [TimeoutError("slow down"), ConnectionResetError("gone")]
    assert content.hash_files(["failing://folder/file"])["version"].to_list() == [sha256(b"data")]
    assert failing.asked == 3
    failing.failures += [TimeoutError(f"token=hunter{number}2") for number in range(9)]
    assert content.hash_files(["failing://folder/file"], retries=1)["error"].to_list() == ["TimeoutError: token=***"]
    assert failing.asked == 5
    trusting: dict[str, Any] = {"trust": "mtime", "cache": tmp_path / "cache"}
    failing.failures.clear()
    failing.looked += [TimeoutError("slow down")]
    assert content.hash_files(["failing://folder/file"], **trusting)["version"].to_list() == [sha256(b"data")]
    failing.failures[:] = [PermissionError("not yours")]
    failing.asked = 5
    assert content.hash_files(["failing://folder/file"])["error"].to_list() == ["PermissionError: not yours"]
    assert failing.asked == 6


def test_urls_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a b.bin").write_bytes(b"data")
    urls = [(tmp_path / "a b.bin").as_uri(), f"local://{tmp_path}/a b.bin", f"simplecache::file://{tmp_path}/a b.bin"]
    found = content.hash_files(urls, storage_options=None)
    assert found["version"].to_list() == [sha256(b"data")] * 3
    assert found["path"].to_list() == urls
