"""Versions of images: exact pixels, whatever file they are in; equal ones for images that look the same."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

import metaxy.content as content
from metaxy.errors import ContentError

RGB = (np.arange(9 * 7 * 3) * 37 % 251).astype(np.uint8).reshape(9, 7, 3)


def saved(image: Any, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def versions(*images: Any, **options: Any) -> list[str]:
    found = content.hash_images(images, **options)
    assert found["error"].to_list() == [None] * len(images)
    return found["version"].to_list()


def png(values: "np.ndarray[Any, Any]") -> bytes:
    """Return a PNG of 16 bits per channel, which Pillow cannot write; pixels are coded as differences to the left."""
    height, width, channels = values.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    coded = rows - np.pad(rows, ((0, 0), (2 * channels, 0)))[:, : rows.shape[1]]
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    data = zlib.compress(b"".join(b"\1" + row.tobytes() for row in coded))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_pixels_do_not_depend_on_the_file(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(saved(RGB, "PNG"))
    alpha = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    exif = Image.Exif()
    exif[0x010E] = "a description"
    same = [
        *(RGB, alpha, Image.fromarray(RGB), path, str(path), path.as_uri()),
        *(saved(RGB, form) for form in ("PNG", "TIFF", "BMP", "PPM", "TGA")),
        *(saved(RGB, "PNG", exif=exif, compress_level=0), saved(RGB, "WEBP", lossless=True), saved(alpha, "PNG")),
        saved(RGB, "PNG", icc_profile=b"a profile"),
    ]
    assert len(set(versions(*same))) == 1
    few = Image.fromarray(RGB // 128 * 255).quantize(8, dither=Image.Dither.NONE)
    assert len(set(versions(few, few.convert("RGB"), saved(few, "PNG"), saved(few, "GIF")))) == 1
    gray = RGB[:, :, 0]
    assert len(set(versions(gray, gray[:, :, None], np.dstack([gray] * 3), saved(gray, "PNG")))) == 1
    black = Image.fromarray(gray > 99)
    assert len(set(versions(black, black.convert("L"), saved(black, "PNG"), saved(black, "TIFF")))) == 1


def test_what_a_pipeline_could_read_counts() -> None:
    hidden = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    other = hidden.copy()
    other[0, 0, 0] += 1
    changed = RGB.copy()
    changed[8, 6, 2] ^= 1
    deep = RGB.astype(np.uint16) * 257
    values = [RGB, changed, RGB.reshape(7, 9, 3), hidden, other, deep, deep[:, :, 0], RGB[:, :, 0].astype(np.int32)]
    values += [RGB[:, :, 0].astype(np.float32)]
    images = [Image.fromarray(RGB).convert(mode) for mode in ("CMYK", "YCbCr", "HSV", "LAB")]
    assert len(set(versions(*values, *images))) == 13
    assert len(set(versions(images[0], saved(images[0], "TIFF")))) == 1


def test_the_orientation_of_exif_is_applied() -> None:
    turned = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned.append(saved(RGB, "PNG", exif=exif))
    left, up = RGB[:, ::-1], RGB[::-1]
    expected = [RGB, left, up[:, ::-1], up, *(a.swapaxes(0, 1) for a in (RGB, up, up[:, ::-1], left))]
    assert versions(*turned) == versions(*expected)


def test_sixteen_bits_count() -> None:
    deep = (np.arange(9 * 7 * 4) * 9973 % 65536).astype(np.uint16).reshape(9, 7, 4)
    low = deep.copy()
    low[0, 0, 0] ^= 1
    found = versions(deep, png(deep), deep[:, :, :3], png(deep[:, :, :3]), low, png(low))
    assert found[::2] == found[1::2]
    assert len(set(found)) == 3
    gray = deep[:, :, 0]
    assert len(set(versions(gray, saved(gray, "PNG"), saved(gray, "TIFF"), np.dstack([gray] * 3)))) == 1
    swapped = Image.frombytes("I;16B", (7, 9), gray.astype(">u2").tobytes())
    assert len(set(versions(gray, gray.astype(">u2"), swapped, saved(swapped, "TIFF")))) == 1
    errors = content.hash_images([png(deep[:, :, :2]), Image.open(io.BytesIO(png(deep))), np.ma.array(gray)])["error"]
    assert "cannot be read exactly" in errors[0]
    assert "8 of the 16 bits" in errors[1]
    assert "mask" in errors[2]


def test_all_frames_and_how_long_they_are_shown_count() -> None:
    frames = [Image.fromarray(np.roll(RGB, place, axis=1) // 128 * 255) for place in range(3)]

    def film(form: str, frames: list[Image.Image], duration: int = 40, **options: Any) -> bytes:
        return saved(frames[0], form, save_all=True, append_images=frames[1:], duration=duration, **options)

    same = [film("GIF", frames), film("PNG", frames), film("WEBP", frames, lossless=True)]
    different = [film("PNG", frames[:2]), film("PNG", [*frames[:2], frames[0]]), film("PNG", frames, 50), frames[0]]
    found = versions(*same, *different)
    assert len(set(found[:3])) == 1
    assert len(set(found)) == 5


def test_bad_images_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = saved(np.tile(RGB, (20, 20, 1)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200 * 200)
    bomb = saved(Image.new("L", (400, 400)), "PNG")
    bad = [
        b"",
        b"no image",
        whole[: len(whole) // 2],
        whole[:40],
        bomb,
        None,
        3,
        np.zeros((2, 2), bool),
        np.zeros((0, 3)),
    ]
    found = content.hash_images([tmp_path / "gone.png", *bad, whole, tmp_path, saved(RGB, "GIF")[:-40]])
    assert found["version"].is_null().to_list() == [*[True] * 10, False, True, True]
    kinds = found["error"].str.extract("^([A-Za-z]+)")
    assert kinds.to_list() == ["FileNotFoundError", *["ContentError"] * 9, None, "IsADirectoryError", "ContentError"]
    assert "decompression bomb" in found["error"][5]
    assert found["size"][10] == len(whole)
    with pytest.raises(ContentError, match=r"1 of 2 inputs have no version, the first is input 1: .*empty"):
        content.hash_images([RGB, b""], on_error="raise")
    for wrong in ("image.png", b"x", 3):
        with pytest.raises(TypeError, match="images are several"):
            content.hash_images(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="method='phash' is none of"):
        content.hash_images([], "phash")  # type: ignore[arg-type]
    assert content.hash_images([]).columns == ["path", "size", "modified", "etag", "version", "error"]


def test_a_cache_spares_reading(tmp_path: Path) -> None:
    path, cache = tmp_path / "image.png", tmp_path / "cache"
    path.write_bytes(saved(scene(), "PNG"))
    for method in ("pixels", "perceptual"):
        twice = [content.hash_images([path], method, trust="mtime", cache=cache) for _ in range(2)]
        assert twice[0].equals(twice[1])


# -- images that look the same -----------------------------------------------------------------------------------------


def scene(kind: int = 0, size: tuple[int, int] = (320, 240)) -> Image.Image:
    image = Image.new("RGB", size, (200, 220, 240))
    draw = ImageDraw.Draw(image)
    for place in range(8):
        x, y = (place * 83 + kind * 31) % size[0], (place * 57 + kind * 71) % size[1]
        draw.ellipse((x - 40, y - 25, x + 40, y + 25), fill=(place * 30, 255 - place * 25, kind * 60))
    return image


def test_images_that_look_the_same_share_a_version() -> None:
    image, other = scene(), scene(2)
    alpha = image.convert("RGBA")
    copies = [
        *(image, alpha, saved(image, "JPEG", quality=30), saved(image, "WEBP", quality=50), saved(image, "GIF")),
        *(image.resize((160, 120)), image.resize((640, 480)), saved(image.convert("CMYK"), "JPEG")),
        np.asarray(image).astype(np.uint16) * 257,
    ]
    red = Image.fromarray(np.asarray(image)[:, :, [1, 0, 2]])
    found = content.hash_images([*copies, other, red, image.rotate(180), image.convert("L")], "perceptual")
    assert found["version"][: len(copies)].n_unique() == 1
    assert found["version"].n_unique() == 5
    assert found["exact"].n_unique() > 5
    assert found.columns[4:] == ["exact", "fingerprint", "similarity", "version", "error"]


def test_flat_images_and_animations_match_only_their_like() -> None:
    flat = [Image.new("RGB", (64, 64), (shade, 40, 90)) for shade in (40, 41, 40)]
    still = saved(scene(), "PNG")
    film = saved(scene(), "PNG", save_all=True, append_images=[scene(1)])
    again = saved(scene(), "WEBP", save_all=True, append_images=[scene(1)], quality=60)
    found = versions(*flat, still, film, again, method="perceptual")
    assert found[0] == found[2]
    assert found[4] == found[5]
    assert len(set(found)) == 4


def test_known_images_keep_their_versions() -> None:
    first = content.hash_images([saved(scene(), "JPEG", quality=40)], "perceptual")
    later = content.hash_images([scene(1), None, scene()], "perceptual", known=first)
    assert later["version"][2] == first["version"][0]
    assert later["version"][1] is None
    everything = pl.concat([later, first])
    for known in (everything, everything.lazy(), everything.to_arrow()):
        again = content.hash_images([scene(), scene(1)], "perceptual", known=known)
        assert again["version"].to_list() == [later["version"][2], later["version"][0]]
