"""Three processes count the words of sixty files together; one of them is killed while it has five of them."""

import multiprocessing
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import polars as pl

import metaxy as mx
from metaxy import content
from metaxy.errors import ClaimLostError
from metaxy.ext.sqlite import SQLiteMetadataStore

FOLDER = Path("texts")


class Text(mx.BaseFeature, spec=mx.FeatureSpec(key="text", id_columns=["name"], fields=["body"])):
    name: str


class Words(mx.BaseFeature, spec=mx.FeatureSpec(key="words", id_columns=["name"], deps=[Text])):
    name: str


def count(samples: pl.DataFrame, worker: str) -> pl.DataFrame:
    """Read files and count their words."""
    words = [len((FOLDER / name).read_text(encoding="utf-8").split()) for name in samples["name"]]
    return samples.with_columns(words=pl.Series(words), worker=pl.lit(worker))


def work(worker: str, begun: Event | None = None) -> None:
    """Take some texts, count their words, write them, and take the next ones, until none are left."""
    store = SQLiteMetadataStore("features.sqlite", auto_create_tables=True, lock_timeout=60)
    while claim := store.claim(Words, limit=5, lease=timedelta(seconds=5), worker=worker, wait=True):
        with claim:
            if begun:
                begun.set()
                multiprocessing.Event().wait()  # until it is killed
            try:
                claim.write(count(claim.samples.to_polars(), worker))
            except ClaimLostError as error:
                print(f"{worker} was too late for {len(error.samples)} texts")


def found() -> pl.DataFrame:
    """List the files, each with the hash of what is in it."""
    return content.scan(FOLDER, {"body": "{name}"})


def show(what: str, store: SQLiteMetadataStore) -> None:
    """Say how many texts are counted, and which claims there are."""
    claims = [f"{worker} has {samples}" for worker, samples in store.read_claims().select("worker", "samples").rows()]
    with store:
        counts = store.resolve_update(Words).counts
    print(f"{what}: {counts['unchanged']} counted, {counts['new']} to do; {', '.join(claims) or 'no claims'}")


def main() -> None:
    """Let one worker begin and kill it, and let two others do all that is to do."""
    FOLDER.mkdir(exist_ok=True)
    for number in range(60):
        (FOLDER / f"{number:02}.txt").write_text("word " * (number + 1), encoding="utf-8")
    store = SQLiteMetadataStore("features.sqlite", auto_create_tables=True)
    with store.open("w"):
        store.write(Text, store.resolve_update(Text, samples=found()).new)

    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    clumsy = context.Process(target=work, args=("clumsy", begun))
    others = [context.Process(target=work, args=(name,)) for name in ("quick", "steady")]
    clumsy.start()
    begun.wait()
    show("one worker has begun", store)
    clumsy.kill()
    clumsy.join()
    show("it was killed", store)
    for worker in others:
        worker.start()
    for worker in others:
        worker.join()
    show("two others have ended", store)
    with store:
        rows = store.read(Words, with_sample_history=True).collect().to_polars()
    print(f"{rows['words'].sum()} words in {rows['name'].n_unique()} texts, in {rows.height} rows")


if __name__ == "__main__":
    main()
