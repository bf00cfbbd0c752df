"""Every increment that metaxy 0.1.11 gave, given again, by every engine.

Where metaxy 0.1 was wrong the test holds our answer instead: in `OURS`, in the steps of the file that are marked as
defects, and for rows that we refuse.
"""

import copy
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from tests.golden.features import stored_definition
from tests.stores import STORES, StoreFactory

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.filters import parse_filter_string
from metaxy.errors import CodeVersionWarning, DefinitionWarning, MetaxyError
from metaxy.hashing import HashAlgorithm
from metaxy.store.store import MetadataStore
from metaxy.versioning.frames import collect_to_polars

Rows = list[dict[str, Any]]
CASES = json.loads((Path(__file__).parent / "samples.json").read_text("utf-8"))["cases"]


def escape_separators(case: dict[str, Any]) -> None:
    """Metaxy 0.1 does not escape values, so that `B|C` can be mistaken for two values; we do."""
    write, resolve = case["steps"]
    provenance = sha256(r"B\|C")
    write["expected_read"][1] |= {"metaxy_provenance": provenance, "metaxy_data_version": provenance}
    by_field = {"z": sha256(r"z|1|r.x|A|r.x|B\|C")}
    provenance = sha256(by_field["z"])
    resolve["expected"]["new"][1] |= {
        "metaxy_provenance_by_field": by_field,
        "metaxy_data_version_by_field": by_field,
        "metaxy_provenance": provenance,
        "metaxy_data_version": provenance,
    }


def refuse_null_members(case: dict[str, Any]) -> None:
    """Metaxy 0.1 stores NULL versions, which can never become stale; we refuse them."""
    case["steps"] = [{**case["steps"][0], "expected_error": "MetadataSchemaError"}]


def orphan_all_children(case: dict[str, Any]) -> None:
    """Metaxy 0.1 names one child of a parent that is gone, so that the others stay for ever; we name all."""
    orphaned = case["steps"][-1]["expected"]["orphaned"]
    orphaned.append({**orphaned[0], "n": 1})


OURS = {
    "separator-ambiguity": escape_separators,
    "agg-null-member": refuse_null_members,
    "expansion": orphan_all_children,
}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("store_name", STORES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: dict[str, Any], store_name: str, tmp_path: Path) -> None:
    case = copy.deepcopy(case)
    OURS.get(case["id"], lambda _: None)(case)
    config = MetaxyConfig(hash_truncation_length=case["hash_truncation_length"], project=case["project"])
    with config.use():
        replay(case, STORES[store_name], tmp_path)


def replay(case: dict[str, Any], factory: StoreFactory, folder: Path) -> None:
    store = factory(folder, hash_algorithm=HashAlgorithm(case["hash_algorithm"]))
    graph = graph_of(case["features"])
    for number, step in enumerate(case["steps"]):
        where = f"{case['id']}, step {number}"
        if step["op"] == "set_graph":
            graph = graph_of(step["features"])
            continue
        with graph.use(), warnings.catch_warnings():
            warnings.simplefilter("ignore", Warning)
            if "expected_error" in step:
                with pytest.raises((ValueError, MetaxyError)), store.open("w"):
                    STEPS[step["op"]](store, graph, step, where)
            else:
                with store.open("w"):
                    STEPS[step["op"]](store, graph, step, where)


def graph_of(features: list[dict[str, Any]]) -> FeatureGraph:
    graph = FeatureGraph()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DefinitionWarning)
        warnings.simplefilter("ignore", CodeVersionWarning)
        for feature in features:
            graph.add_feature_definition(stored_definition(feature))
    return graph


def write(store: MetadataStore, graph: FeatureGraph, step: dict[str, Any], where: str) -> None:
    store.write(step["feature"], frame_of(step["rows"]))
    read = collect_to_polars(store.read(step["feature"])).to_dicts()
    assert comparable(read, step["expected_read"]) == comparable(step["expected_read"]), where
    assert graph.get_feature_version(step["feature"]) == step["expected_feature_version"], where


def resolve(store: MetadataStore, graph: FeatureGraph, step: dict[str, Any], where: str) -> None:
    asked: dict[str, Any] = {
        "samples": frame_of(step["samples"]) if "samples" in step else None,
        "filters": {key: parsed(texts) for key, texts in step.get("filters", {}).items()},
        "staleness_predicates": parsed(step.get("staleness_predicates", [])),
        "skip_comparison": step.get("skip_comparison", False),
    }
    increment = store.resolve_update(step["feature"], **asked)
    lazy = store.resolve_update(step["feature"], lazy=True, **asked)
    expected = step["expected"]
    if "upstream_defect" in step:
        expected = {"new": [], "stale": [], "orphaned": []}
    for name in ("new", "stale"):
        for frame in (getattr(increment, name), getattr(lazy, name)):
            rows = collect_to_polars(frame).to_dicts()
            assert comparable(rows, expected[name]) == comparable(expected[name]), f"{where}: {name}"
    keys = (*step["compare_ids"], "metaxy_provenance")
    for frame in (increment.orphaned, lazy.orphaned):
        rows = collect_to_polars(frame).to_dicts()
        assert chosen(rows, keys) == chosen(expected["orphaned"], keys), f"{where}: orphaned"


def delete(store: MetadataStore, graph: FeatureGraph, step: dict[str, Any], where: str) -> None:
    store.delete(step["feature"], parsed(step["filters"]), soft=step["soft"])


STEPS = {"write": write, "resolve": resolve, "delete": delete}


def parsed(texts: list[str]) -> list[nw.Expr]:
    return [parse_filter_string(text) for text in texts]


def frame_of(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def comparable(rows: Rows, like: Rows | None = None) -> list[str]:
    """Turn rows into sorted texts, with the columns that the golden rows have."""
    names = sorted({name for row in (like or rows) for name in row})
    return sorted(json.dumps([row.get(name) for name in names], sort_keys=True, default=str) for row in rows)


def chosen(rows: Rows, keys: tuple[str, ...]) -> list[str]:
    return sorted(json.dumps([row[key] for key in keys], default=str) for row in rows)
