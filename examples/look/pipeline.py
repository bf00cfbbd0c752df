"""Look at features, changes and what is out of date in a notebook; each `# %%` begins a cell."""

# %% [markdown]
# # Look rather than read
# The last line of a cell shows itself. Nothing is computed by being shown.

# %%
import polars as pl

import metaxy as mx
from metaxy.ext.duckdb import DuckDBMetadataStore
from metaxy.process import run
from metaxy.store.status import get_feature_metadata_status

__metaxy_project__ = "look"


# %% What there is: three features, and what computes them.
class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=["audio", "frames"])):
    """What comes from the camera."""

    id: str
    seconds: float


class Transcript(
    mx.BaseFeature, spec=mx.FeatureSpec(key="video/transcript", id_columns=["id"], deps=[Video], fields=["audio"])
):
    """What is said."""

    id: str
    text: str


class Faces(mx.BaseFeature, spec=mx.FeatureSpec(key="video/faces", id_columns=["id"], deps=[Video], fields=["frames"])):
    """Who is seen."""

    id: str
    faces: int


takes = dict.fromkeys(["anna", "ben", "cleo", "dan"], 1)


@mx.computes(Video)
def find_videos() -> pl.DataFrame:
    """List all videos; their versions would come from files, or from whoever makes them."""
    versions = [{"audio": f"take {take}", "frames": "never changed"} for take in takes.values()]
    return pl.DataFrame({"id": list(takes), "seconds": 12.5, "metaxy_provenance_by_field": versions})


@mx.computes(Transcript)
def transcribe(row: dict[str, str]) -> dict[str, str]:
    """Write down what is said."""
    return {"text": f"Hello, I am {row['id']}."}


@mx.computes(Faces)
def count_faces(row: dict[str, str]) -> dict[str, int]:
    """Count faces."""
    return {"faces": 1}


# %% The graph is a picture, with a table below it.
mx.FeatureGraph.get_active()

# %% A feature class says what it depends on, and has which columns.
Transcript

# %% Everything is computed, then the report says how much that was.
store = DuckDBMetadataStore("look.duckdb", auto_create_tables=True)
report = run(store, progress=False)
print("up to date:", report.in_sync)
report

# %% One sound is recorded again, and a video is new.
takes["ben"] = 2
takes["eve"] = 1
run(store, features=[Video], progress=False)
with store:
    increment = store.resolve_update(Transcript)
print("transcripts:", increment.counts)
increment

# %% Their frames are what they were, so one face is to be counted.
with store:
    status = get_feature_metadata_status(Faces, store).status
print(status.format_status_line())
status

# %% The store: where it is, what it can do, and what is in it.
store
