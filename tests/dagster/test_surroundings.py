"""What a process has loaded, as a face gets it."""

import threading

import pytest
from tests.factory import define, rows

import dagster as dg
from metaxy import FeatureGraph
from metaxy.config import MetaxyConfig
from metaxy.ext import dagster as mxd
from metaxy.service import status
from metaxy.service.project import Project


def test_a_loaded_project_is_whole_in_any_thread(project_on_each: Project, instance: dg.DagsterInstance) -> None:
    define("video")
    define("clip", "video")
    found: list[object] = []

    @dg.op
    def compute() -> None:
        with project_on_each.store().open("w") as store:
            store.write("video", rows(id=["a", "b"]))

    def ask() -> None:
        with project_on_each.active():
            found.append((FeatureGraph.get_active(), MetaxyConfig.get().store))
        found.extend(each.status for each in status.status(project_on_each).features)

    @dg.job
    def computes() -> None:
        compute()

    assert computes.execute_in_process(instance=instance).success
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [(project_on_each.graph, "dev"), "root_feature", "missing"]


def test_unknown_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'metaxyfy'"):
        getattr(mxd, "metaxyfy")  # noqa: B009 - no type checker may see it
