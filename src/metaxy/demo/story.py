"""The steps of `mx demo`: after each change only those samples are computed again that it concerns."""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

import metaxy as mx
from metaxy.demo import media, project

Feature: TypeAlias = type[mx.BaseFeature]
VIDEOS: Final = Path("videos")
COUNTS: Final = ("new", "stale", "orphaned", "computed", "not recomputed")


def run_demo(path: Path, store: project.StoreType, fresh: bool, console: Console) -> None:
    """Write the demo project to a folder, or go on with the one that is there, and tell its story.

    Raises:
        MetaxyError: if a package is missing, or the folder is not one of a demo.
    """
    project.check_packages(store)
    project.prepare(path, store, fresh=fresh)
    if not project.uses(path, store):
        say(console, f"This demo began with another store and keeps it; --fresh starts over with {store}.\n")
    with project.inside(path):
        tell(console)
    again = f"mx demo {shlex.quote(str(path))}"
    say(console, f"All of this is in {path / 'features.py'}. Change that, or a file in videos, and run: {again}")


def tell(console: Console) -> None:
    """Tell the story inside the folder of the demo."""
    known = VIDEOS.exists()
    written = write_missing_files(console)
    say(console, f"{media.VIDEOS} videos, each {media.FRAMES} frames and a sound: {written} media files written.\n")
    if known:
        run(console, "1. Go on where the last demo ended", "Only what changed since then is computed.")
    else:
        run(console, "1. The first run", "Nothing is known yet, so everything is new.")
    run(console, "2. The same again", "Nothing changed, so nothing is computed.")
    count = edit_sounds()
    run(console, f"3. {count} sounds are recorded again", "Their frames are the same: only transcripts are computed.")
    old, new = project.raise_code_version(Path("features.py"))
    run(
        console,
        f"4. Crops are cut by other code: version {new} instead of {old}",
        "Faces depend on crops. Transcripts do not.",
    )
    gone = remove_a_video()
    run(console, f"5. {gone} is removed", "What is known of it is orphaned, and deleted.")


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is, however long."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def write_missing_files(console: Console) -> int:
    """Write the media files that are not there, and return how many these were."""
    missing = [file for file in media.media_files(VIDEOS) if not file.exists()]
    with progress(console) as bar:
        for file in bar.track(missing, description="media files"):
            media.write_file(file)
    return len(missing)


def edit_sounds() -> int:
    """Record every tenth sound again; what it becomes follows from what it was."""
    sounds = sorted(VIDEOS.glob("*/audio.wav"))[::10]
    for sound in sounds:
        media.record_sound(sound, seed=sound.read_bytes().hex())
    return len(sounds)


def remove_a_video() -> str:
    """Remove the last video; the next demo writes it again."""
    last = max(VIDEOS.glob("*/audio.wav")).parent
    shutil.rmtree(last)
    return last.name


def run(console: Console, title: str, explanation: str) -> None:
    """Bring all features up to date, as a new process would, and show what that took."""
    project.forget_features()
    with mx.FeatureGraph().use():
        config = mx.init(Path("metaxy.toml"))
        features = sys.modules["features"]
        with config.get_store("dev").open("w") as store, progress(console) as bar:
            done = {feature: features.update(store, feature, tracker(bar, feature)) for feature in features.PIPELINE}
        samples = len(features.find_videos())
    say(console, title, "bold")
    say(console, explanation)
    show(console, done, samples)


def tracker(bar: Progress, feature: Feature) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Return what shows the progress of one feature."""
    return lambda rows: bar.track(rows, description=str(feature.spec().key))


def progress(console: Console) -> Progress:
    """Return progress bars that vanish when done and never end up in a file."""
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def show(console: Console, done: dict[Feature, mx.PolarsIncrement], samples: int) -> None:
    """Print what happened to each feature, and what did not have to."""
    view = Table("feature", *(Column(name, justify="right") for name in COUNTS))
    skipped = 0
    for feature, todo in done.items():
        new, stale, orphaned = map(len, todo)
        counts = [str(new), str(stale), str(orphaned)]
        if feature.spec().deps:  # videos are only looked at, there is nothing to compute
            counts += [str(new + stale), str(samples - new - stale)]
            skipped += samples - new - stale
        view.add_row(str(feature.spec().key), *("[dim]0[/]" if count == "0" else count for count in counts))
    console.print(view)
    say(console, f"{skipped} of {samples * (len(done) - 1)} samples were not recomputed.\n")
