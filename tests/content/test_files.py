"""Versions of files: by their bytes, wherever they are, whatever happens to them."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

import metaxy.content as content
from metaxy.errors import ContentError


def test_bytes_give_versions(tmp_path: Path) -> None:
    sizes = [0, 1, 1_048_576, 1_048_577, 5_000_000]
    paths = [tmp_path / f"{size}.bin" for size in sizes]
    for size, path in zip(sizes, paths, strict=True):
        path.write_bytes(bytes(size % 251 + place % 7 for place in range(min(size, 9))).ljust(size, b"x"))
    found = content.hash_files(reversed(paths))
    assert found.columns == ["path", "size", "modified", "etag", "version", "error"]
    assert found["path"].to_list() == list(map(str, reversed(paths)))
    expected = [f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in reversed(paths)]
    assert found["version"].to_list() == expected
    assert found["size"].to_list() == sizes[::-1]
    assert found["error"].null_count() == len(sizes)


def test_what_fails_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"good")
    paths = [tmp_path / "gone", tmp_path, tmp_path / "good", tmp_path / "good" / "inside"]
    found = content.hash_files(paths)
    assert found["version"].is_null().to_list() == [True, True, False, True]
    assert [str(each).partition(":")[0] for each in found["error"]] == [
        "FileNotFoundError",
        "IsADirectoryError",
        "None",
        "NotADirectoryError",
    ]
    with pytest.raises(ContentError, match=r"3 of 4 inputs have no version, the first is .*gone: FileNotFound") as info:
        content.hash_files(paths, on_error="raise")
    assert len(info.value.failed) == 3


def test_versions_of_several_fields() -> None:
    frame = pl.DataFrame({"path": ["a", "b"], "version": ["x", None], "error": [None, "gone"]})
    both = content.versions(audio=frame.head(1), frames=pl.Series(["y"]))
    assert both.name == "metaxy_provenance_by_field"
    assert both.to_list() == [{"audio": "x", "frames": "y"}]
    with pytest.raises(ContentError, match=r"1 of 2 samples have no version of field 'audio', such as b: gone"):
        content.versions(audio=frame)
    address = frame.with_columns(pl.lit("https://me:hunter2@host/b").alias("path"))
    with pytest.raises(ContentError, match=r"such as https://\*\*\*@host/b: gone"):
        content.versions(audio=address)
    with pytest.raises(ContentError, match=r"such as row 1"):
        content.versions(audio=["x", None])
    with pytest.raises(ValueError, match=r"audio has 2, frames has 1"):
        content.versions(audio=["x", "y"], frames=["z"])
    with pytest.raises(ValueError, match=r"Int64, not text"):
        content.versions(audio=[1, 2])
