"""A new project: a few small files that work at once, and that people change into their own."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from metaxy.config.files import CONFIG_FILE
from metaxy.errors import InvalidConfigError, MetaxyError
from metaxy.settings import is_project_name
from metaxy.wording import short_path

CONFIG: Final = """\
# The configuration of this project; `mx config print` shows all of it, `mx doctor` checks it.
project = "{name}"
entrypoints = ["features", "pipeline"]  # modules of features, and of functions that compute them
store = "dev"                   # the default store
auto_create_tables = true       # tables are created when they are first written
hash_truncation_length = 16     # 64 bits of each hash

[stores.dev]
type = "metaxy.ext.duckdb.DuckDBMetadataStore"
database = "dev.duckdb"
hash_algorithm = "md5"

# Another store, to copy to: mx metadata copy --all-features --from dev --to prod
[stores.prod]
type = "metaxy.ext.duckdb.DuckDBMetadataStore"
database = "prod.duckdb"
hash_algorithm = "md5"
"""
FEATURES: Final = '''\
"""What this project computes.

When the code behind a field changes, change its code_version: what depends on it is computed again, and nothing else.
"""

import metaxy as mx

__metaxy_project__ = "{name}"  # as in metaxy.toml; the features of a package belong to the project of its name


class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=["audio", "frames"])):
    """A video. Nothing is computed: the versions of its fields are the hashes of its files."""

    id: str
    audio: str
    frames: str


class Faces(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="video/faces",
        id_columns=["id"],
        deps=[Video],
        fields=[
            mx.FieldSpec(key="faces", code_version="1", deps=[mx.FieldDep(feature=Video, fields=["frames"])]),
        ],
    ),
):
    """Who is seen: a new sound changes nothing here."""

    id: str
    faces: int


class Transcript(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="video/transcript",
        id_columns=["id"],
        deps=[Video],
        fields=[
            mx.FieldSpec(key="text", code_version="1", deps=[mx.FieldDep(feature=Video, fields=["audio"])]),
        ],
    ),
):
    """What is said: new frames change nothing here."""

    id: str
    text: str


class Summary(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="summary",
        id_columns=["id"],
        deps=[mx.FeatureDep(feature=Faces, select=["faces"]), mx.FeatureDep(feature=Transcript, select=["text"])],
        fields=["summary"],
    ),
):
    """What it is about."""

    id: str
    summary: str
'''
PIPELINE: Final = '''\
"""The functions that compute the features. `mx run` calls them for what is new or stale; run it after each change."""

from pathlib import Path

import polars as pl
from features import Faces, Summary, Transcript, Video

import metaxy as mx
from metaxy import content

FOLDER = Path(__file__).with_name("videos")  # edit a file in it, add a folder or remove one, and run this again


@mx.computes(Video)
def find_videos() -> pl.DataFrame:
    """Return all videos: one sample per folder, with a hash of each of its files."""
    return content.scan(FOLDER, {{"audio": "{{id}}/audio.txt", "frames": "{{id}}/frames.txt"}})


@mx.computes(Faces)
def count_faces(row: dict) -> dict:
    """Count the faces in the frames of a video."""
    return {{"faces": (FOLDER / row["frames"]).read_text(encoding="utf-8").count(":)")}}


@mx.computes(Transcript, workers=2)
def transcribe(row: dict) -> dict:
    """Write down what is said in a video."""
    return {{"text": (FOLDER / row["audio"]).read_text(encoding="utf-8").strip()}}


@mx.computes(Summary)
def summarize(row: dict) -> dict:
    """Say what a video is about."""
    return {{"summary": f"{{row['faces']}} faces, {{row['text']!r}}"}}
'''
IGNORED: Final = "*.duckdb\n*.duckdb.wal\n.env\n__pycache__/\n"
FILES: Final = {CONFIG_FILE: CONFIG, "features.py": FEATURES, "pipeline.py": PIPELINE, ".gitignore": IGNORED}
# Files that stand for videos, so that the project runs at once; a folder of that name is left alone.
SAMPLES: Final = {
    f"videos/{name}/{file}": text
    for name in ("cat", "dog", "owl")
    for file, text in (("audio.txt", f"hello from {name}\n"), ("frames.txt", ":)\n:)\n:)\n"))
}
KEPT: Final = (".gitignore",)  # a project may have one already


def write_project(folder: Path, name: str | None = None) -> list[Path]:
    """Write the files of a new project, and return them; what is there already is not touched.

    Args:
        name: Name of the project; that of the folder by default.

    Raises:
        InvalidConfigError: if a project cannot have that name.
        MetaxyError: if a file of that name exists, or the folder cannot be written.
    """
    if name is not None and not is_project_name(name):
        raise InvalidConfigError(
            f"{name!r} of --project is not a name of letters, digits, - and single _; try {project_name(name)!r}"
        )
    existing = [file for file in FILES if (folder / file).exists()]
    if taken := [file for file in existing if file not in KEPT]:
        where = short_path(folder.resolve()) if folder.resolve() != Path.cwd() else "this folder"
        raise MetaxyError(f"{where} has {' and '.join(taken)} already; give another PATH: mx init my-project")
    name = name or project_name(folder.resolve().name)
    files = {file: text if file in KEPT else text.format(name=name) for file, text in FILES.items()}
    files |= {} if (folder / "videos").exists() else SAMPLES
    new = {folder / file: text for file, text in files.items() if file not in existing}
    return write_files(new, f"the project to {folder}")


def write_files(files: Mapping[Path, str], what: str) -> list[Path]:
    """Write texts to files, with the folders that they are in, and return the files; ``what`` is for the error.

    Raises:
        MetaxyError: if one cannot be written.
    """
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise MetaxyError(f"cannot write {what}: {error.strerror}; give another PATH") from error
    return list(files)


def project_name(folder: str) -> str:
    """Return the name of a folder as that of a project: letters, digits, - and single _.

    >>> project_name("My videos__2"), project_name("…")
    ('My-videos_2', 'project')
    """
    return re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_-]+", "-", folder)).strip("-_") or "project"
