"""Samples from folders: which files are one sample, in which order, under which names."""

import functools
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from tests.content.test_remote_files import options
from tests.services import s3

import metaxy.content as content
from metaxy.content import listing
from metaxy.content.listing import name_of
from metaxy.content.patterns import Pattern
from metaxy.errors import ContentError

COLUMNS = ["size", "modified", "metaxy_provenance_by_field", "metaxy_error"]
FILES = {"b.wav": "B", "a.wav": "A", "a/frames/2.png": "two", "a/frames/1.png": "one", "b/frames/1.png": "one"}
FIELDS = {"audio": "{id}.wav", "frames": "{id}/frames/*.png"}


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def by_field(frame: pl.DataFrame) -> list[dict[str, str]]:
    return frame["metaxy_provenance_by_field"].to_list()


def test_every_file_is_a_sample(tmp_path: Path) -> None:
    put(tmp_path, FILES | {".git/config": "x", "a/.hidden": "x"})
    found = content.scan(tmp_path)
    assert found.columns == ["path", *COLUMNS]
    assert found["path"].to_list() == sorted(FILES)
    hashes = content.hash_files([tmp_path / name for name in sorted(FILES)])
    assert by_field(found) == [{"default": version} for version in hashes["version"]]
    assert found["size"].to_list() == hashes["size"].to_list()
    assert found["modified"].to_list() == hashes["modified"].to_list()
    hidden = content.scan(f"{tmp_path}", hidden=True)["path"].to_list()
    assert set(hidden) - set(found["path"]) == {".git/config", "a/.hidden"}
    for glob, names in (("*.wav", ["a.wav", "b.wav"]), ("**/1.png", ["a/frames/1.png", "b/frames/1.png"])):
        assert content.scan(f"{tmp_path}/{glob}")["path"].to_list() == names
    (tmp_path / "[1]").mkdir()
    put(tmp_path / "[1]", {"x": "x"})
    assert content.scan(tmp_path / "[1]")["path"].to_list() == ["x"]
    empty = content.scan(tmp_path / "*.mp4")
    assert (empty.height, empty.schema) == (0, found.schema)


def test_files_of_a_sample(tmp_path: Path) -> None:
    put(tmp_path, FILES | {"c.wav": "C", "notes.txt": "no sample"})
    found = content.scan(tmp_path, FIELDS)
    assert found.columns == ["id", "audio", "frames", *COLUMNS]
    assert found.select("id", "audio", "frames").rows() == [
        ("a", "a.wav", ["a/frames/1.png", "a/frames/2.png"]),
        ("b", "b.wav", ["b/frames/1.png"]),
        ("c", "c.wav", []),
    ]
    before = by_field(found)
    assert before[0]["audio"] == content.hash_files([tmp_path / "a.wav"])["version"].item()
    (tmp_path / "a/frames/1.png").rename(tmp_path / "a/frames/3.png")
    (tmp_path / "b").rename(tmp_path / "d")
    after = by_field(content.scan(tmp_path, FIELDS))
    assert after[0]["frames"] != before[0]["frames"]  # the order of its frames is another
    assert after[0]["audio"] == before[0]["audio"]
    assert after[1]["frames"] == before[2]["frames"]  # none
    assert after[3]["frames"] == before[1]["frames"]  # the same frame, of another sample
    one = content.scan(tmp_path, by="{id}.wav")
    assert one.columns == ["id", "path", *COLUMNS]
    assert one.select("id", "path").row(0) == ("a", "a.wav")
    many = content.scan(tmp_path, by="{id}/{kind}/*.png")
    assert many.select("id", "kind", "path").row(0) == ("a", "frames", ["a/frames/2.png", "a/frames/3.png"])


def test_patterns() -> None:
    cases: list[tuple[str, str, Any]] = [
        ("{id}.png", "a.b.png", (("a.b",), ())),
        ("{id}.png", "a/b.png", None),
        ("{id}.png", "a.PNG", None),
        ("{a}_{b}.png", "1_2_3.png", (("1_2", "3"), ())),
        ("**/{id}.png", "x.png", (("x",), ("",))),
        ("**/{id}.png", "u/v/x.png", (("x",), ("u/v/",))),
        ("{id}/**", "a/b/c", (("a",), ("b/c",))),
        ("{id}/[!a].?", "a/b.c", (("a",), ("b", "c"))),
        ("{id}/[!a].?", "a/a.c", None),
        ("{id} (1)+.png", "a (1)+.png", (("a",), ())),
        ("{id}\n", "a\n", (("a",), ())),
        ("{id}/[^a][[&][&&]", "x/b[&", None),
        ("{id}/[^a][[&][&&]", "x/a[&", (("x",), ("a", "[", "&"))),
        ("a[!-~]{id}", "a/b", None),
    ]
    assert [case for case in cases if Pattern(case[0]).match(case[1]) != case[2]] == []
    for wrong in ("/{id}", "../{id}", "{id}/{id}", "", r"{id}\x", "{id}[z-a]"):
        with pytest.raises(ValueError, match="pattern"):
            Pattern(wrong)
    for fields, message in (
        ({"a": "{x}.a", "b": "{y}.b"}, "the same IDs"),
        ("*.png", "the same IDs"),
        ({}, "the same IDs"),
        ({"id": "{id}.wav"}, "several columns"),
        ("{path}.wav", "several columns"),
        ("{metaxy_error}.wav", "several columns"),
    ):
        with pytest.raises(ValueError, match=message):
            content.scan(".", fields)


def test_names_are_the_same_on_all_systems(tmp_path: Path) -> None:
    assert name_of(("a", "b\u0308.png"), "win32") == "a/b\u0308.png"
    assert name_of(("u\u0308.png",), "darwin") == name_of(("\xfc.png",), "linux")
    names = ["B.txt", "a.txt", "ä.txt", "a/z.txt", "a-b.txt", "日本.txt"]
    found = content.scan(put(tmp_path, dict.fromkeys(names, "x")))
    assert found["path"].to_list() == ["B.txt", "a-b.txt", "a.txt", "a/z.txt", "ä.txt", "日本.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="what only POSIX has")
def test_links_and_what_is_no_file(tmp_path: Path) -> None:
    inside, outside = put(tmp_path / "in", {"a": "x", "sub/b": "x"}), put(tmp_path / "out", {"c": "x"})
    (inside / "linked").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    (inside / "sub" / "up").symlink_to(inside)
    (inside / "loop").symlink_to(inside / "loop")
    (inside / "dangling").symlink_to(inside / "gone")
    os.mkfifo(inside / "pipe")
    Path(os.fsdecode(os.fsencode(inside) + b"/caf\xe9")).write_bytes(b"x")
    found = content.scan(inside)
    errors = dict(found.select("path", "metaxy_error").rows())
    assert [name for name, error in errors.items() if error is None] == ["a", "linked/c", "sub/b"]
    assert {name: str(error).partition(":")[0] for name, error in errors.items() if error} == {
        r"caf\udce9": "ValueError",
        "dangling": "FileNotFoundError",
        "loop": "OSError",
        "pipe": "OSError",
    }
    with pytest.raises(ContentError, match=r"4 of 7 inputs have no version, the first is caf\\udce9: ValueError"):
        content.scan(inside, on_error="raise")
    groups = content.scan(inside, by="{id}/*")
    assert groups.select("id", "metaxy_error").rows() == [("linked", None), ("sub", None)]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_folders_that_link_to_each_other(tmp_path: Path) -> None:
    """Twelve folders that link to each other have billions of paths without a loop."""
    folders = [put(tmp_path / "all" / str(n), {"file": "x"}) for n in range(12)]
    for folder in folders:
        for other in folders:
            if other != folder:
                (folder / f"to{other.name}").symlink_to(other)
    with pytest.raises(ContentError, match="is behind 9 links, one in another"):
        content.scan(tmp_path / "all")
    (put(tmp_path / "other", {"file": "x"}) / ".all").symlink_to(tmp_path / "all")
    assert content.scan(tmp_path / "other")["path"].to_list() == ["file"]  # what is hidden is not entered
    with pytest.raises(ContentError, match="is behind 9 links, one in another"):
        content.scan(tmp_path / "other", hidden=True)


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path) -> None:
    put(tmp_path, {"file": "x"})
    for place in (tmp_path / "gone", tmp_path / "file", tmp_path / "gone" / "*.png", "memory://gone", "nosuch://a"):
        with pytest.raises(ContentError, match=r"cannot be listed: .*; its samples would look deleted"):
            content.scan(place)
    if Path(
        "/proc/self"
    ).exists():  # a folder inside that even root may not list is hard to have, one that is no more is not
        with pytest.raises(ContentError, match="cannot be listed"):
            content.scan("/proc/1/task/999999999")


def test_a_folder_that_is_deleted_meanwhile_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_folder = listing._is_folder

    def deleting(entry: "os.DirEntry[str]") -> bool:
        found = is_folder(entry)
        if found:
            shutil.rmtree(entry.path)
        return found

    monkeypatch.setattr(listing, "_is_folder", deleting)
    assert content.scan(put(tmp_path, {"a/file": "x", "file": "x"}))["path"].to_list() == ["file"]


def test_wrong_options_are_refused_before_a_folder_is_listed(tmp_path: Path) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("gone", {"algorithm": "md5"}, "'md5' is none of"),
        ("gone", {"trust": "mtime"}, "needs cache="),
        ("gone/[z-a]", {}, "cannot be read"),
        ("gone", {"workers": 0}, "workers is a number from 1 on, or None, not 0"),
        ("gone", {"retries": -1}, "retries is a number from 0 on, not -1"),
        ("gone", {"hash_with": {"defalt": content.hash_images}}, "'defalt'. Did you mean 'default'"),
    ]
    for place, wrongly, message in wrong:
        with pytest.raises(ValueError, match=message):
            content.scan(tmp_path / place, **wrongly)


def test_an_error_names_the_file(tmp_path: Path) -> None:
    put(tmp_path, FILES)
    for name in ("1.png", "2.png"):
        (tmp_path / "a" / "frames" / name).unlink()
        (tmp_path / "a" / "frames" / name).symlink_to("nowhere")
    found = content.scan(tmp_path, FIELDS)
    assert found["metaxy_error"].to_list() == [
        "a/frames/1.png: FileNotFoundError: No such file or directory (and 1 more files)",
        None,
    ]
    assert by_field(found)[0]["frames"] is None
    assert by_field(found)[0]["audio"] is not None


def test_functions_that_hash(tmp_path: Path) -> None:
    put(tmp_path, FILES)

    def lengths(paths: Any, factor: int) -> pl.DataFrame:
        versions = [f"length:{factor * Path(path).stat().st_size}" for path in paths]
        return pl.DataFrame({"version": versions, "error": pl.Series([None] * len(versions), dtype=pl.String)})

    mixed = content.scan(tmp_path, FIELDS, hash_with={"audio": functools.partial(lengths, factor=10)})
    assert [each["audio"] for each in by_field(mixed)] == ["length:10", "length:10"]
    assert by_field(mixed)[0]["frames"] == by_field(content.scan(tmp_path, FIELDS))[0]["frames"]
    with pytest.raises(ValueError, match="cache= is for bytes"):
        content.scan(tmp_path, hash_with=content.hash_files, trust="mtime", cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="hash_with= gives a frame"):
        content.scan(tmp_path, hash_with=lambda _: pl.DataFrame({"version": ["x"]}))


def test_other_places(tmp_path: Path) -> None:
    here = content.scan(put(tmp_path / "here", FILES), FIELDS)
    bucket = s3.new_bucket()
    for name, text in FILES.items():
        s3.client().put_object(Bucket=bucket, Key=f"in/{name}", Body=text.encode())
        with fsspec.open(f"memory://scanned/{name}", "w") as file:
            file.write(text)
    s3.client().put_object(Bucket=bucket, Key="in/empty/", Body=b"")
    known: dict[str, Any] = {"storage_options": options(s3.options())}
    versions = ["id", "audio", "frames", "size", "metaxy_provenance_by_field", "metaxy_error"]
    assert content.scan("memory://scanned", FIELDS).select(versions).equals(here.select(versions))
    trusting: dict[str, Any] = {"trust": "etag", "cache": tmp_path / "cache", **known}
    for _ in range(2):
        assert content.scan(f"s3://{bucket}/in", FIELDS, **trusting).select(versions).equals(here.select(versions))
    assert content.scan(f"s3://{bucket}/in/*.wav", **known)["path"].to_list() == ["a.wav", "b.wav"]
    for place in (f"s3://{bucket}/none", "s3://no-such-bucket-at-all/in"):
        with pytest.raises(ContentError, match="cannot be listed"):
            content.scan(place, **known)
