"""Exact versions of images, audio and texts never change; of formats that lose something, only if a decoder does."""

import base64
import json
from pathlib import Path

import metaxy.content as content

GOLDEN = json.loads((Path(__file__).parent / "content.json").read_text("utf-8"))


def test_images() -> None:
    found = content.hash_images(base64.b64decode(case["file"]) for case in GOLDEN["images"])
    expected = {case["what"]: case["version"] for case in GOLDEN["images"]}
    assert dict(zip(expected, found["version"], strict=True)) == expected


def test_audio() -> None:
    found = content.hash_audio(base64.b64decode(case["file"]) for case in GOLDEN["audio"])
    expected = {case["what"]: case["version"] for case in GOLDEN["audio"]}
    assert dict(zip(expected, found["version"], strict=True)) == expected


def test_texts() -> None:
    for case in GOLDEN["texts"]:
        assert content.hash_texts([case["text"]], **case["rules"])["version"][0] == case["version"], case
