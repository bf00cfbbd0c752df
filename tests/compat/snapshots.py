"""Push a graph, and load it, under metaxy 0.1.11 and under this package, unchanged.

python snapshots.py push ROOT            pushes the features of `project.py`; prints the project version as JSON
python snapshots.py load ROOT VERSION    prints the features that are loaded from that snapshot
"""

import json
import runpy
import sys
import warnings
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import metaxy as mx

# Old paths, which only exist at run time.
DeltaMetadataStore: Any = resolve_name("metaxy.ext.polars.handlers.delta:DeltaMetadataStore")
FEATURE_VERSIONS_KEY: Any = resolve_name("metaxy.metadata_store.system:FEATURE_VERSIONS_KEY")


def push(store: Any) -> Any:
    """Push twice: the second time nothing may be added."""
    runpy.run_path(str(Path(__file__).with_name("project.py")))["define"]()
    system = mx.SystemTableStorage(store)
    results = [system.push_graph_snapshot(tags={"by": "test"}) for _ in range(2)]
    assert [result.already_pushed for result in results] == [False, True]
    assert results[1].updated_features == []
    return results[0].project_version


def load(store: Any, version: str) -> Any:
    """Describe what a snapshot holds, and the table that it is in."""
    system = mx.SystemTableStorage(store)
    graph = system.load_graph_from_snapshot(version)
    features = graph.feature_definitions_by_key.values()
    table = store.read(FEATURE_VERSIONS_KEY, with_feature_history=True).collect().to_polars()
    return {
        "versions": {str(feature.key): graph.get_feature_version(feature.key) for feature in features},
        "definitions": {str(feature.key): feature.feature_definition_version for feature in features},
        "specs": {str(feature.key): feature.spec.model_dump(mode="json") for feature in features},
        "counts": system.read_graph_snapshots()["feature_count"].to_list(),
        "table": {name: str(dtype) for name, dtype in table.schema.items()},
        "tags": sorted({json.loads(tags)["by"] for tags in table["tags"]}),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    command, root, *arguments = sys.argv[1:]
    with mx.MetaxyConfig(hash_truncation_length=8, project="compat").use():
        store = DeltaMetadataStore(root, hash_algorithm=mx.HashAlgorithm.XXHASH32)
        with store.open("w"):
            print(json.dumps(push(store) if command == "push" else load(store, *arguments)))
