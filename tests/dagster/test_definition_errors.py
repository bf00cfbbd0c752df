"""What assets, features and whole definitions cannot say: refused where they are defined, in one line that helps."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from tests.factory import PROJECT, define

import dagster as dg
from metaxy import BaseFeature, FeatureSpec
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import DefinitionError, DefinitionWarning, UnknownFeatureError
from metaxy.ext import dagster as mxd
from metaxy.service.project import Project


def asset(feature: Any = "video/raw", key: str = "any", **more: Any) -> dg.AssetSpec:
    return dg.AssetSpec(key, metadata={"metaxy/feature": feature, **more.pop("metadata", {})}, **more)


@pytest.fixture(autouse=True)
def _features(project: Project) -> None:
    class Raw(BaseFeature, spec=FeatureSpec(key="video/raw", id_columns=["id"])):
        __metaxy_project__ = PROJECT
        id: str
        day: str
        path: str

    define("video/crop", "video/raw")
    for name, attributes in {"a": 5, "b": {"groupname": "x"}, "c": {"owners": 7}, "d": {"asset_key": 5}}.items():
        spec = FeatureSpec(key=name, id_columns=["id"], metadata={"dagster/attributes": attributes})
        definition = FeatureDefinition(spec=spec, feature_schema={}, feature_class_path=f"code.{name}", project=PROJECT)
        project.graph.add_feature_definition(definition)


SHARED_ROWS: list[dict[str, Any]] = [
    {"day": "1"}, {"day": ["1", "2"]}, {"day": ["2", "1"]}, {"path": "a"}, {"day": 1, "path": ["a"]},
]  # fmt: skip
"""Each pair has rows that may be of both."""


def two_assets(*parts: dict[str, Any] | None) -> dg.AssetsDefinition:
    metadata = [{} if part is None else {"metaxy/partition": part} for part in parts]
    specs = [asset(key=key, metadata=given) for key, given in zip("xy", metadata, strict=True)]

    @mxd.metaxify
    @dg.multi_asset(specs=specs)
    def both() -> Any:
        yield

    return both


def refused(call: Callable[[], object], kind: type[Exception] = DefinitionError) -> str:
    with pytest.raises(kind) as error:
        call()
    assert isinstance(error.value, ValueError)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_one_asset_cannot_say() -> None:
    unknown = refused(lambda: mxd.metaxify(asset("video/rwa")), UnknownFeatureError)
    assert unknown.startswith("feature 'video/rwa' is not in the graph. Did you mean 'video/raw'?")
    assert "write its key" in refused(lambda: mxd.metaxify(asset(5)))
    assert "give one of them" in refused(lambda: mxd.metaxify(key="a", key_prefix="b"))
    assert "takes assets" in refused(lambda: mxd.metaxify(len))  # type: ignore[call-overload]
    assert 'such as {"group_name"' in refused(lambda: mxd.metaxify(asset("a")))
    assert "'groupname', which assets do not have. Did you mean 'group_name'?" in refused(
        lambda: mxd.metaxify(asset("b"))
    )
    assert "feature 'd' has asset_key 5" in refused(lambda: mxd.metaxify(asset("d")))
    for wrong in (5, [], [1], ""):
        assert "key=" in refused(lambda wrong=wrong: mxd.metaxify(key=wrong))  # type: ignore[misc]
    assert "key_prefix=5, which is no key" in refused(lambda: mxd.metaxify(key_prefix=5))  # type: ignore[call-overload]
    assert "of feature 'c' has what no asset can have: " in refused(lambda: mxd.metaxify(asset("c")))


def test_partitions_need_columns_of_the_feature() -> None:
    wrong = refused(lambda: mxd.metaxify(asset(metadata={"partition_by": "dya"})))
    assert "'dya', which feature 'video/raw' does not declare. Did you mean 'day'?" in wrong
    assert "'lang'" in refused(lambda: mxd.metaxify(asset(metadata={"metaxy/partition": {"lang": "en"}})))
    assert "partition_by is the name of a column" in refused(lambda: mxd.metaxify(asset(metadata={"partition_by": 5})))
    assert "metaxy/partition is such as" in refused(lambda: mxd.metaxify(asset(metadata={"metaxy/partition": "en"})))
    for fine in ("day", "id", "metaxy_materialization_id", None):
        mxd.metaxify(asset(metadata={"partition_by": fine}))
    mxd.metaxify(asset("video/crop", metadata={"partition_by": "any"}))  # it declares no columns


def test_partitions_have_a_column() -> None:
    """An asset as 0.1 took it is warned of; what is new, and what is checked as a whole, is refused."""
    days = dg.DailyPartitionsDefinition("2026-01-01")
    with pytest.warns(DefinitionWarning, match='"partition_by": "<column>"'):
        plain = mxd.metaxify(asset(partitions_def=days))
    assert "asset 'video/raw' has partitions, but" in refused(
        lambda: mxd.validate_definitions(dg.Definitions(assets=[plain]))
    )
    decorator = mxd.computes("video/raw", partitions_def=days)
    assert "asset 'video/raw' has partitions, but" in refused(lambda: decorator(lambda row: row))
    by_feature = {"metadata": {"partition_by": "day"}}
    spec = FeatureSpec(key="e", id_columns=["id"], metadata={"dagster/attributes": by_feature})

    class ByFeature(BaseFeature, spec=spec):
        id: str
        day: str

    assert mxd.computes("e", partitions_def=days)(lambda row: row).partitions_def == days


def test_two_assets_of_one_feature_say_which_rows_they_have() -> None:
    for parts in ((None, None), ({"day": "1"}, None), *combinations(SHARED_ROWS, 2)):
        message = refused(lambda parts=parts: two_assets(*parts))  # type: ignore[misc]
        assert message.startswith("assets 'x' and 'y' are all feature 'video/raw': give each the metadata")
    assert len(list(two_assets({"day": "1"}, {"day": ["2", "3"]}).keys)) == 2
    assert len(list(two_assets({"day": "1", "path": "a"}, {"day": "1", "path": "b"}).keys)) == 2
    assert "several assets (x, y)" in refused(
        lambda: mxd.metaxify(key="k")(dg.AssetsDefinition(specs=[asset(key="x"), asset(key="y")]))
    )


def test_whole_definitions() -> None:
    raw, crop = mxd.metaxify(asset()), mxd.metaxify(asset("video/crop"))
    fine = dg.Definitions(assets=[raw, dg.AssetsDefinition(specs=[crop]), dg.AssetSpec("other")])
    assert mxd.validate_definitions(fine) is fine
    twice = dg.Definitions(assets=[raw, mxd.metaxify(asset(), key="again")])
    assert "'video/raw' and 'again' are all feature" in refused(lambda: mxd.validate_definitions(twice))
    mxd.validate_definitions(dg.Definitions(assets=[crop, crop]))
    apart = dg.Definitions(assets=[mxd.metaxify(asset(), key="again"), crop])
    message = refused(lambda: mxd.validate_definitions(apart))
    assert message.startswith("asset 'video/crop' does not depend on 'again', of its parent feature 'video/raw'")
    unknown = dg.Definitions(assets=[asset("video/rwa")])
    assert "Did you mean" in refused(lambda: mxd.validate_definitions(unknown), UnknownFeatureError)


def test_selections() -> None:
    define("other", project="elsewhere")
    long = "/".join(["a" * 30, "b" * 30, "c" * 30])
    define(long)
    names = ("video/raw", "video/crop", "other", long)

    @mxd.metaxify
    @dg.multi_asset(specs=[asset(name, f"asset_{n}") for n, name in enumerate(names)])
    def everything() -> Any:
        yield

    define("seen")
    graph = dg.Definitions(assets=[everything, mxd.metaxify(asset("seen"))]).resolve_asset_graph()

    def selected(**options: Any) -> set[str]:
        return {key.to_user_string() for key in mxd.select_metaxy_assets(**options).resolve(graph)}

    assert selected() == {"video/raw", "video/crop", long}
    assert selected(project="elsewhere") == selected(feature="other") == {"other"}
    assert selected(feature="video/raw") == selected(feature=["video", "raw"], project=PROJECT) == {"video/raw"}
    assert selected(feature=long) == {long}
    assert selected(feature="seen") == set()
    assert selected(feature="seen", include_sources=True) == {"seen"}
    assert selected(feature="video/raw", project="elsewhere") == set()
    assert "Did you mean" in refused(lambda: mxd.select_metaxy_assets(feature="video/rwa"), UnknownFeatureError)
