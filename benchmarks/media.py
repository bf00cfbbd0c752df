"""How often versions of images and texts are wrong, and what they cost: false matches, misses, seconds, memory.

Everything is generated, so that it runs anywhere: ``python benchmarks/media.py images 2000``, ``sounds 200``,
``texts 100000`` or ``meaning``.
"""

import io
import itertools
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import av
import numpy as np
import polars as pl
from PIL import Image, ImageDraw

import metaxy.content as content
from metaxy.content.clusters import vectors_of

Draw = Callable[[np.random.Generator, tuple[int, int]], Image.Image]
Change = Callable[[Image.Image], Image.Image]
SIZES = ((320, 240), (240, 320), (256, 256), (400, 225))


# -- images ------------------------------------------------------------------------------------------------------------


def colour(random: np.random.Generator, below: int = 256) -> tuple[int, ...]:
    return tuple(int(each) for each in random.integers(0, below, 3))


def clouds(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Noise on all scales, like photographs."""
    layers = []
    for octave in range(1, 7):
        coarse = (
            random.normal(size=(2**octave, 2**octave, 1)) * 0.8 + random.normal(size=(2**octave, 2**octave, 3)) * 0.4
        )
        channels = [
            Image.fromarray(coarse[..., c].astype(np.float32)).resize(size, Image.Resampling.BICUBIC) for c in range(3)
        ]
        layers.append(np.stack([np.asarray(channel) for channel in channels], axis=-1) / octave)
    total = np.sum(layers, axis=0)
    return Image.fromarray(((total - total.min()) / (total.max() - total.min()) * 255).astype(np.uint8))


def shapes(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, colour(random))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(3, 15))):
        x, y, radius = (
            int(random.integers(low, high)) for low, high in ((0, size[0]), (0, size[1]), (8, size[0] // 3))
        )
        kind = draw.ellipse if random.random() < 0.5 else draw.rectangle
        kind((x - radius, y - radius, x + radius, y + radius), fill=colour(random))
    return image


def document(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for line in range(10, size[1] - 14, 14):
        words = [
            "".join(map(chr, random.integers(97, 123, random.integers(2, 9)))) for _ in range(random.integers(2, 8))
        ]
        if random.random() > 0.15:
            draw.text((10, line), " ".join(words), fill="black")
    return image


def chart(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    count = int(random.integers(4, 20))
    width = size[0] // count
    for bar in range(count):
        height = int(random.integers(5, size[1] - 10))
        box = (bar * width + 2, size[1] - height, (bar + 1) * width - 2, size[1])
        draw.rectangle(box, fill=colour(random, 200))
    return image


KINDS: tuple[Draw, ...] = (clouds, shapes, document, chart)


def saved(form: str, **options: Any) -> Change:
    def save(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, form, **options)
        return Image.open(file)

    return save


def scaled(factor: float) -> Change:
    return lambda image: image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.LANCZOS)


def brightened(factor: float) -> Change:
    return lambda image: Image.fromarray(np.clip(np.asarray(image) * factor, 0, 255).astype(np.uint8))


def patched(part: float) -> Change:
    def patch(image: Image.Image) -> Image.Image:
        copy = image.copy()
        x, y = image.width // 3, image.height // 3
        box = (x, y, x + int(image.width * part), y + int(image.height * part))
        ImageDraw.Draw(copy).rectangle(box, fill=(200, 30, 30))
        return copy

    return patch


COPIES: dict[str, Change] = {
    "JPEG, quality 85": saved("JPEG", quality=85),
    "JPEG, quality 50": saved("JPEG", quality=50),
    "JPEG, quality 20": saved("JPEG", quality=20),
    "WebP, quality 50": saved("WEBP", quality=50),
    "GIF": saved("GIF"),
    "half the size": scaled(0.5),
    "a quarter of the size": scaled(0.25),
    "1.7 times the size": scaled(1.7),
    "half the size, JPEG 50": lambda image: saved("JPEG", quality=50)(scaled(0.5)(image)),
    "10 % brighter": brightened(1.1),
    "10 % darker": brightened(0.9),
}
EDITS: dict[str, Change] = {
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "red, green and blue exchanged": lambda image: Image.fromarray(np.asarray(image)[:, :, [1, 2, 0]].copy()),
    "colours taken away": lambda image: image.convert("L").convert("RGB"),
    "a red patch, a quarter each way": patched(1 / 4),
    "a red patch, an eighth each way": patched(1 / 8),
}


def made(place: int) -> Image.Image:
    random = np.random.default_rng(place)
    return KINDS[place % len(KINDS)](random, SIZES[int(random.integers(len(SIZES)))])


def vectors(images: list[Image.Image]) -> "np.ndarray[Any, Any]":
    found = content.hash_images(images, "perceptual", on_error="raise")
    return vectors_of(found["fingerprint"].to_list()).astype(np.float32)


def images(count: int) -> None:
    """Print which part of copies and edits are similar to their original, and which pairs of different images are."""
    originals, changed = [], {name: [] for name in (*COPIES, *EDITS)}  # type: ignore[var-annotated]
    differs = {name: [] for name in EDITS}  # type: ignore[var-annotated]
    for start in range(0, count, 200):
        part = [made(place) for place in range(start, min(start + 200, count))]
        originals.append(first := vectors(part))
        for name, change in (COPIES | EDITS).items():
            others = [change(image) for image in part]
            changed[name].append((vectors(others) * first).mean(axis=1))
            if name in EDITS:
                differs[name] += [
                    np.abs(np.asarray(a).astype(int) - b).mean() > 2 for a, b in zip(part, others, strict=True)
                ]
        print(f"{start + len(part)} images", file=sys.stderr)
    everything = np.concatenate(originals)
    among = (everything @ everything.T / everything.shape[1])[np.triu_indices(count, 1)]
    for threshold in (0.90, 0.92, 0.95):
        print(f"\nthreshold {threshold}: {(among >= threshold).sum()} false matches in {len(among):,} pairs,", end=" ")
        print(f"the most similar pair has {among.max():.3f}")
        for name in COPIES:
            missed = np.concatenate(changed[name]) < threshold
            print(f"  missed      {name:32} {missed.sum():5} of {count} = {missed.mean():.2%}")
        for name in EDITS:
            taken = (np.concatenate(changed[name]) >= threshold)[np.array(differs[name])]
            print(f"  not noticed {name:32} {taken.sum():5} of {len(taken)} = {taken.mean():.2%}")


# -- audio -------------------------------------------------------------------------------------------------------------

RATE = 22050
CODECS = {
    "MP3, 128 kbit/s": ("mp3", "libmp3lame", 44100, 128_000),
    "MP3, 48 kbit/s": ("mp3", "libmp3lame", RATE, 48_000),
}
CODECS |= {"Opus, 32 kbit/s": ("ogg", "libopus", 48000, 32_000), "AAC, 64 kbit/s": ("adts", "aac", 44100, 64_000)}


def song(seed: int, seconds: int = 30) -> "np.ndarray[Any, Any]":
    """Three voices on one scale, with noise."""
    random = np.random.default_rng(seed)
    sound = random.normal(size=seconds * RATE) * 0.1
    scale = 220 * 2 ** (np.sort(random.choice(24, 7, replace=False)) / 12)
    for _ in range(3):
        start = 0
        while start < len(sound):
            length = min(int(random.uniform(0.15, 1) * RATE), len(sound) - start)
            moments = np.arange(length) / RATE
            for harmonic in range(1, 6):
                wave = np.sin(2 * np.pi * scale[random.integers(7)] * harmonic * moments) / harmonic
                sound[start : start + length] += wave * np.exp(-3 * np.arange(length) / length)
            start += length
    whole: np.ndarray[Any, Any] = (sound / np.abs(sound).max() * 20000).astype(np.int16)
    return whole


def coded(samples: "np.ndarray[Any, Any]", form: str, codec: str, rate: int, bits: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream: Any = container.add_stream(cast("Any", codec), rate=rate, layout="mono")
        stream.bit_rate = bits
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def sounds(count: int) -> None:
    """Print how similar copies of recordings are to their original, and how similar others are."""
    names = ["original", *CODECS, "a quarter as loud", "2 of 30 s cut off", "5 of 30 s replaced"]
    rows = []
    for seed in range(count):
        original = song(seed)
        other = np.concatenate([original[: 10 * RATE], song(-seed % 997 + 10_000, 5), original[15 * RATE :]])
        inputs = [
            *(coded(original, *codec) for codec in CODECS.values()),
            (original // 4, RATE),
            (original[: 28 * RATE], RATE),
        ]
        found = content.hash_audio([(original, RATE), *inputs, (other, RATE)], "acoustic", on_error="raise")
        rows.append(vectors_of(found["fingerprint"].to_list()).astype(float))
    everything = np.stack(rows)
    everything /= np.linalg.norm(everything, axis=2, keepdims=True)
    for place, name in enumerate(names):
        similar = (everything[:, 0] * everything[:, place]).sum(axis=1)
        missed = (similar < 0.95).mean()
        print(f"{name:20} least {similar.min():.3f}, median {np.median(similar):.3f}, below 0.95: {missed:.1%}")
    among = (everything[:, 0] @ everything[:, 0].T)[np.triu_indices(count, 1)]
    print(f"most similar of {len(among):,} pairs of different recordings: {among.max():.3f}")


# -- texts -------------------------------------------------------------------------------------------------------------

PEOPLE = "a man|the boy|a young woman|the old farmer|my neighbour|the teacher|a nurse|the children|two dogs|a tourist"
DEEDS = """is playing a guitar|plays the guitar|is repairing a guitar
is reading a newspaper|reads the newspaper|is burning a newspaper
is cutting an onion|cuts up an onion|is buying an onion
is riding a bicycle|rides a bike|is selling a bicycle
is running along the beach|runs along the beach|is sleeping on the beach
is looking for a job|searches for a job|has lost a job
is driving a red car|drives a red car|is driving a blue car
is cooking dinner|prepares dinner|is eating dinner
is painting the fence|paints the fence|is climbing over the fence
is opening the window|opens the window|is closing the window"""  # the same in two wordings, and something else
PLACES = (
    "in the garden|at the station|near the river|in Berlin|at home|on Sunday|before noon|in the rain|after school|today"
)
CASES = [
    (who, *deed.split("|"), where)
    for who, deed, where in itertools.product(PEOPLE.split("|"), DEEDS.splitlines(), PLACES.split("|"))
]
SAME: dict[str, Callable[..., tuple[str, str]]] = {
    "the deed in other words": lambda who, deed, same, _, where: (f"{who} {deed} {where}", f"{who} {same} {where}"),
    "the place comes first": lambda who, deed, _, __, where: (f"{who} {deed} {where}", f"{where}, {who} {deed}"),
    "a capital and a full stop": lambda who, deed, _, __, where: (
        f"{who} {deed} {where}",
        f"{who.capitalize()} {deed} {where}.",
    ),
}
DIFFERENT: dict[str, Callable[..., tuple[str, str]]] = {
    "another deed": lambda who, deed, _, other, where: (f"{who} {deed} {where}", f"{who} {other} {where}"),
    "someone else": lambda who, deed, _, __, where: (f"{who} {deed} {where}", f"a king {deed} {where}"),
    "a negation": lambda who, deed, _, __, where: (f"{who} {deed} {where}", f"{who} never {deed} {where}"),
    "who follows whom": lambda who, _, __, ___, where: (
        f"{who} follows a king {where}",
        f"a king follows {who} {where}",
    ),
}


def meaning() -> None:
    """Print which part of paraphrases share no version, and which part of texts that say something else share one."""
    for verdict, makes in (("missed", SAME), ("false match", DIFFERENT)):
        for name, make in makes.items():
            found = similarities([make(*case) for case in CASES])
            parts = {t: (found < t).mean() if makes is SAME else (found >= t).mean() for t in (0.85, 0.90, 0.95, 0.98)}
            print(f"{verdict:12}{name:28}", *(f"{threshold}: {part:7.2%}" for threshold, part in parts.items()))


def similarities(pairs: list[tuple[str, str]]) -> "np.ndarray[Any, Any]":
    both = [text for pair in pairs for text in pair]
    found = content.hash_texts(both, "semantic", on_error="raise")["fingerprint"]
    rows = vectors_of(found.to_list()).astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    result: np.ndarray[Any, Any] = (rows[::2] * rows[1::2]).sum(axis=1)
    return result


def texts(count: int) -> None:
    """Print what versions of many texts cost, and of more texts where these are known."""
    random = np.random.default_rng(0)
    words = [
        "".join(pair) for pair in itertools.product(("ba", "ki", "lo", "mu", "ne", "po"), ("lan", "mer", "tis", "gor"))
    ]
    sentences = [" ".join(random.choice(words, 12)) for _ in range(count * 3 // 4)]
    sentences += [f"{text}!" for text in sentences[: count - len(sentences)]]
    timed(f"{count:,} texts, exact", lambda: content.hash_texts(sentences))
    found = timed(f"{count:,} texts, semantic", lambda: content.hash_texts(sentences, "semantic"))
    more = [" ".join(random.choice(words, 12)) for _ in range(count // 10)]
    timed(f"{len(more):,} more, known", lambda: content.hash_texts(more, "semantic", known=found))


def timed(what: str, call: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    start, cpu = time.perf_counter(), time.process_time()
    found = call()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    versions = found["version"].n_unique()
    print(f"{what}: {wall:.1f} s, {cpu:.1f} s of CPU, at most {memory} MB, {versions:,} versions")
    return found


if __name__ == "__main__":
    if sys.argv[1] == "meaning":
        meaning()
    else:
        {"images": images, "sounds": sounds, "texts": texts}[sys.argv[1]](int(sys.argv[2]))
