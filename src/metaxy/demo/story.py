"""The steps of `mx demo`: after each change only those samples are computed again that it concerns."""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table
from rich.text import Text

import metaxy as mx
from metaxy import process
from metaxy.demo import media, project
from metaxy.errors import MetaxyError
from metaxy.workers.report import ProcessReport

VIDEOS: Final = Path("videos")
COUNTS: Final = ("new", "stale", "orphaned", "computed", "not recomputed")


@dataclass(frozen=True)
class Step:
    """What became of the samples after one change: how many were computed, and how many were good as they were."""

    title: str
    computed: int = 0
    spared: int = 0


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
    folder = shlex.quote(str(path))
    say(
        console, f"All of this is a project in {path}. Change features.py or a file in videos, and see what it takes:\n"
    )
    say(console, f"  cd {folder}\n  mx run --dry-run\n  mx run\n  mx graph render\n")
    say(console, f"Or let the demo go on: mx demo {folder}")


def tell(console: Console) -> None:
    """Tell the story inside the folder of the demo."""
    known = VIDEOS.exists()
    written = write_missing_files(console)
    say(console, f"{media.VIDEOS} videos, each {media.FRAMES} frames and a sound: {written} media files written.\n")
    if known:
        first = run(console, "1. Go on where the last demo ended", "Only what changed since then is computed.")
    else:
        first = run(console, "1. The first run", "Nothing is known yet, so everything is new.")
    steps = [first, run(console, "2. The same again", "Nothing changed, so nothing is computed.")]
    title = f"3. {edit_sounds()} sounds are recorded again"
    steps.append(run(console, title, "Their frames are the same: only transcripts are computed."))
    title = f"4. {save_videos()} videos are saved by another program"
    steps.append(
        run(console, title, "Other bytes, the same pictures: crops come out as they were, so faces need nothing.")
    )
    old, new = project.raise_code_version(Path("features.py"))
    title = f"5. Crops by other code: version {new} instead of {old}"
    steps.append(run(console, title, "Faces depend on crops. Transcripts do not."))
    title = f"6. {remove_a_video()} is removed"
    steps.append(run(console, title, "What is known of it is orphaned, and deleted."))
    summarize(console, steps)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is, however long."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def write_missing_files(console: Console) -> int:
    """Write the media files that are not there, and return how many these were."""
    missing = [file for file in media.media_files(VIDEOS) if not file.exists()]
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for file in bar.track(missing, description="media files"):
            media.write_file(file)
    return len(missing)


def edit_sounds() -> int:
    """Record every tenth sound again; what it becomes follows from what it was."""
    sounds = sorted(VIDEOS.glob("*/audio.wav"))[::10]
    for sound in sounds:
        media.record_sound(sound, seed=sound.read_bytes().hex())
    return len(sounds)


def save_videos() -> int:
    """Save the frames of every tenth video again."""
    folders = sorted(VIDEOS.iterdir())[1::10]
    for folder in folders:
        for frame in folder.glob("frame_*.png"):
            media.save_again(frame)
    return len(folders)


def remove_a_video() -> str:
    """Remove the last video; the next demo writes it again."""
    last = max(VIDEOS.glob("*/audio.wav")).parent
    shutil.rmtree(last)
    return last.name


def run(console: Console, title: str, explanation: str) -> Step:
    """Bring all features up to date, as `mx run` would in a new process, and show what that took.

    Raises:
        MetaxyError: if no function computes anything any more.
    """
    project.forget_features()
    with mx.FeatureGraph().use() as graph, console.status("computing"):
        store = mx.init(Path("metaxy.toml")).get_store("dev")
        if not process.computed():
            raise MetaxyError(
                "features.py has no function below @mx.computes; put one there, or start over with --fresh"
            )
        report = process.run(store, orphaned="delete", progress=False)
        roots = {str(key) for key in graph.list_features() if not graph.get_feature_definition(key).spec.deps}
    say(console, title, "bold")
    say(console, f"{explanation}\n")
    step = show(console, title, report.reports, roots)
    errors = (f"{each.feature}: {error}" for each in report.reports for error in each.errors[:3])
    for problem in (*report.failures.values(), *errors):
        say(console, f"{problem}\n", "red")
    return step


def show(console: Console, title: str, reports: Sequence[ProcessReport], roots: set[str]) -> Step:
    """Print what happened to each feature, and what did not have to."""
    view, step = table("feature", COUNTS), Step(title)
    samples = len(list(VIDEOS.glob("*/audio.wav")))
    for each in reports:
        counts = [each.new, each.stale, each.orphaned or 0]
        if each.feature not in roots:  # videos are only looked at, there is nothing to compute
            spared = samples - each.total
            step = replace(step, computed=step.computed + each.done, spared=step.spared + spared)
            counts += [each.done, spared]
        view.add_row(each.feature, *map(number, counts))
    console.print(view)
    console.print()
    total = step.computed + step.spared
    spoken = f"{step.spared} of {total} samples were not recomputed.\n"
    say(console, spoken if step.spared else f"All {total} samples were computed.\n", "green" if step.spared else "")
    return step


def summarize(console: Console, steps: Sequence[Step]) -> None:
    """Print one line for each step."""
    say(console, "All together\n", "bold")
    view = table("what happened", COUNTS[-2:])
    for step in steps:
        view.add_row(step.title, number(step.computed), number(step.spared))
    console.print(view)
    console.print()
    computed, spared = sum(step.computed for step in steps), sum(step.spared for step in steps)
    say(console, f"{computed} samples were computed; without Metaxy it would have been {computed + spared}.\n", "green")


def table(first: str, numbers: Sequence[str]) -> Table:
    """Return an empty table whose other columns are numbers."""
    return Table(
        first, *(Column(name, justify="right") for name in numbers), box=SIMPLE_HEAD, show_edge=False, pad_edge=False
    )


def number(count: int) -> Text:
    """Write a number so that those strike that are not 0."""
    return Text(str(count), style="bold" if count else "dim")
