"""The graphs and samples of the benchmarks, in words that this package and metaxy 0.1.11 both understand."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl
from metaxy.models.lineage import LineageRelationship

import metaxy as mx

GROUP = 10  # samples of an aggregation
CHILDREN = 3  # samples of an expansion
CHAIN = 10


@dataclass(frozen=True)
class Case:
    """A graph: fields of each root, fields of the leaf, and how the leaf hangs on its first root.

    ``versions``: how often each sample is written, and its leaf computed, before anything is measured.
    ``feature_versions``: how many versions of the features have written all samples to the same tables.
    """

    name: str
    roots: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"video": ("audio", "frames")})
    leaf: tuple[str, ...] = ("default",)
    lineage: str = "identity"
    versions: int = 1
    feature_versions: int = 1
    chain: int = 0

    @property
    def has_past(self) -> bool:
        """Whether there are rows that are no longer current before anything is measured."""
        return self.versions > 1 or self.feature_versions > 1

    @property
    def features(self) -> list[str]:
        """All features in order."""
        return [*self.roots, *(f"link{n}" for n in range(1, self.chain)), *([] if self.chain else ["leaf"])]


WIDE = {"video": ("audio", "frames", "text", "thumbnail"), "sensor": ("speed", "heading", "depth", "heat")}
CASES = {
    case.name: case
    for case in (
        Case("simple"),
        Case("wide", roots=WIDE, leaf=("first", "second")),
        Case("parents", roots=dict.fromkeys(("video", "sensor", "radar", "lidar"), ("audio", "frames"))),
        Case("history", versions=5),
        Case("releases", feature_versions=10),
        Case("aggregation", lineage="aggregation"),
        Case("expansion", lineage="expansion"),
        Case("chain", chain=CHAIN),
    )
}


def spec(key: str, ids: list[str], fields: tuple[str, ...], deps: list[Any], release: str = "1") -> mx.FeatureSpec:
    """Return a spec whose fields depend on all fields of all parents."""
    code = {} if release == "1" else {"code_version": release}
    return mx.FeatureSpec(
        key=key, id_columns=ids, fields=[mx.FieldSpec(key=name, **code) for name in fields], deps=deps
    )


def define(case: Case, release: str = "1") -> None:
    """Define the features of a case in the active graph; another ``release`` has other feature versions."""
    for key, fields in case.roots.items():

        class Root(mx.BaseFeature, spec=spec(key, ["id"], fields, [], release)):
            id: str

    if case.chain:
        for n in range(1, case.chain):
            dep = mx.FeatureDep(feature=f"link{n - 1}" if n > 1 else "video")

            class Link(mx.BaseFeature, spec=spec(f"link{n}", ["id"], case.leaf, [dep])):
                id: str

        return
    deps = [mx.FeatureDep(feature=key) for key in case.roots]
    ids = ["id"]
    if case.lineage == "aggregation":
        deps, ids = [mx.FeatureDep(feature="video", lineage=LineageRelationship.aggregation(on=["owner"]))], ["owner"]
    elif case.lineage == "expansion":
        deps, ids = [mx.FeatureDep(feature="video", lineage=LineageRelationship.expansion(on=["id"]))], ["id", "part"]

    class Leaf(mx.BaseFeature, spec=spec("leaf", ids, case.leaf, deps, release)):
        id: str
        owner: str
        part: int


def samples(case: Case, root: str, rows: int, *, changed: int = 0, version: int = 0, start: int = 0) -> pl.DataFrame:
    """Return samples of a root; the first field of the first ``changed`` differs, and all fields by ``version``."""
    text = pl.col("number").cast(pl.String)
    first, *others = case.roots[root]
    begin = pl.when(pl.col("number") < changed).then(pl.lit("new-")).otherwise(pl.lit(f"{first}{version}-"))
    fields = {first: begin + text} | {name: pl.lit(f"{name}{version}-") + text for name in others}
    columns = {
        "id": pl.lit("sample-") + text,
        f"{root}_path": pl.lit(f"s3://bucket/{root}/") + text + pl.lit(".mp4"),
        f"{root}_size": pl.col("number") * 7,
        "metaxy_provenance_by_field": pl.struct(**fields),
    }
    if case.lineage == "aggregation":
        columns["owner"] = pl.lit("owner-") + (pl.col("number") // GROUP).cast(pl.String)
    return pl.int_range(start, rows, eager=True).alias("number").to_frame().select(**columns)


def computed(case: Case, increment: Any) -> pl.DataFrame:
    """Return the rows of the leaf that someone would have computed for an increment."""
    frame = pl.concat([increment.new.to_polars(), increment.stale.to_polars()])
    if case.lineage == "expansion":
        return frame.join(pl.DataFrame({"part": list(range(CHILDREN))}), how="cross")
    return frame.unique("owner", maintain_order=True) if case.lineage == "aggregation" else frame
