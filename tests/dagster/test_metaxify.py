"""What assets get from the features that they are, and that they run as before."""

from typing import Any

import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from tests.factory import PROJECT, define

import dagster as dg
from metaxy import BaseFeature, FeatureDep, FeatureSpec
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import DefinitionError
from metaxy.ext import dagster as mxd
from metaxy.service.project import Project


def feature(key: str, **metadata: Any) -> dict[str, Any]:
    return {"metaxy/feature": key, **metadata}


def spec_of(asset: dg.AssetsDefinition, *path: str) -> dg.AssetSpec:
    return asset.get_asset_spec(dg.AssetKey(path))


@pytest.fixture
def videos(project: Project) -> Project:
    """Two features, the second of which is made of the first."""

    class Raw(BaseFeature, spec=FeatureSpec(key="video/raw", id_columns=["id"], fields=["audio"])):
        """A video."""

        __metaxy_project__ = PROJECT
        id: str
        path: str | None = None

    dep = FeatureDep(feature="video/raw", rename={"path": "source"})

    class Crop(BaseFeature, spec=FeatureSpec(key="video/crop", id_columns=["id"], deps=[dep])):
        __metaxy_project__ = PROJECT
        id: str
        source: str

    return project


def code_version(project: Project, key: str) -> str:
    return f"metaxy:{project.graph.get_feature_definition(key).spec.code_version}"


def test_a_spec_gets_all_that_metaxy_knows(videos: Project) -> None:
    mapping = dg.LastPartitionMapping()
    spec = mxd.metaxify(
        dg.AssetSpec(
            "any",
            metadata=feature("video/crop", owner="me"),
            deps=[dg.AssetDep(["video", "raw"], partition_mapping=mapping), "config"],
            code_version="7",
            tags={"mine": "yes", "metaxy/project": "other"},
            kinds={"python"},
        )
    )
    assert spec.key.path == ["video", "crop"]
    assert {dep.asset_key.path[-1]: dep.partition_mapping for dep in spec.deps} == {"raw": mapping, "config": None}
    assert spec.code_version == f"7,{code_version(videos, 'video/crop')}"
    assert spec.kinds == {"python", "metaxy"}
    tags = {name: value for name, value in spec.tags.items() if "kind" not in name}
    assert tags == {"mine": "yes", "metaxy/project": PROJECT, "metaxy/feature": "video__crop"}
    assert spec.metadata["owner"] == "me"
    assert spec.metadata["metaxy/info"]["feature"]["version"] == videos.graph.get_feature_version("video/crop")
    assert [column.name for column in spec.metadata["dagster/column_schema"].columns][:2] == ["id", "metaxy_created_at"]
    assert spec.metadata["dagster/column_lineage"].deps_by_column["source"] == [
        dg.TableColumnDep(dg.AssetKey(["video", "raw"]), "path")
    ]
    assert mxd.metaxify(spec) == spec


def test_the_old_options_leave_out_what_they_say(videos: Project) -> None:
    bare = mxd.metaxify(
        inject_metaxy_kind=False,
        inject_code_version=False,
        set_description=False,
        inject_column_schema=False,
        inject_column_lineage=False,
    )(dg.AssetSpec("any", metadata=feature("video/raw"), code_version="7"))
    assert (bare.kinds, bare.code_version, bare.description) == (set(), "7", None)
    assert set(bare.metadata) == {"metaxy/feature", "metaxy/info"}
    described = mxd.metaxify(dg.AssetSpec("any", metadata=feature("video/raw"), kinds={"a", "b", "c"}))
    assert (described.description, described.kinds) == ("A video.", {"a", "b", "c"})
    assert mxd.metaxify(dg.AssetSpec("any", metadata=feature("video/raw"), description="mine")).description == "mine"
    other = dg.AssetSpec("any", deps=["x"])
    assert mxd.metaxify(other) == mxd.metaxify(key="k")(other) == other
    assert mxd.metaxify(key_prefix=[])(other) == other
    assert mxd.metaxify(key_prefix="p")(other) == other.replace_attributes(key=["p", "any"])


def test_keys(videos: Project) -> None:
    define("other")
    attributes = {"asset_key": ["marts", "own"], "group_name": "videos", "owners": ["team:a"], "kinds": ["sql"]}
    spec = FeatureSpec(
        key="own",
        id_columns=["id"],
        deps=["video/raw"],
        metadata={"dagster/attributes": {**attributes, "tags": {"a": "b"}}},
    )
    own = FeatureDefinition(spec=spec, feature_schema={}, feature_class_path="code.Own", project=PROJECT)
    videos.graph.add_feature_definition(own)

    def key(name: str, **options: Any) -> list[str]:
        return list(mxd.metaxify(dg.AssetSpec("any", metadata=feature(name)), **options).key.path)

    assert key("own") == ["marts", "own"]
    assert key("own", key_prefix="p") == ["p", "marts", "own"]
    assert key("own", key=["a", "b"]) == ["a", "b"]
    assert key("own", key="a/b") == ["a/b"]
    assert key("own", key=dg.AssetKey(["a", "b"])) == ["a", "b"]
    assert key("other", key_prefix=["p", "q"]) == ["p", "q", "other"]
    given = mxd.metaxify(key_prefix="p")(
        dg.AssetSpec("any", metadata=feature("own", partition_by="day"), tags={"x": "y"})
    )
    assert (given.group_name, given.owners, given.kinds) == ("videos", ["team:a"], {"sql", "metaxy"})
    assert {name: value for name, value in given.tags.items() if "kind" not in name} == {
        "a": "b",
        "metaxy/project": PROJECT,
        "metaxy/feature": "own",
    }
    assert given.metadata["partition_by"] == "day"
    lineage = given.metadata["dagster/column_lineage"].deps_by_column
    assert {dep.asset_key for deps in lineage.values() for dep in deps} == {dep.asset_key for dep in given.deps}
    assert next(iter(given.deps)).asset_key.path == ["p", "video", "raw"]


def test_columns_and_lineage_of_the_user_come_first(videos: Project) -> None:
    mine = dg.TableSchema([dg.TableColumn("id", "uuid", "mine"), dg.TableColumn("extra", "int")])
    came = dg.TableColumnLineage({"source": [dg.TableColumnDep(dg.AssetKey("disk"), "name")]})
    spec = mxd.metaxify(
        dg.AssetSpec(
            "any",
            metadata=feature(
                "video/crop",
                **{"dagster/column_schema": dg.MetadataValue.table_schema(mine), "dagster/column_lineage": came},
            ),
        )
    )
    shown = {column.name: column.type for column in spec.metadata["dagster/column_schema"].columns}
    assert (shown["id"], shown["extra"], shown["source"]) == ("uuid", "int", "str")
    sources = spec.metadata["dagster/column_lineage"].deps_by_column["source"]
    assert [source.column_name for source in sources] == ["name", "path"]


def test_a_run_waits_for_parents_and_loads_inputs_as_before(videos: Project, instance: dg.DagsterInstance) -> None:
    done: list[str] = []

    @mxd.metaxify()
    @dg.asset(metadata=feature("video/raw"))
    def raw() -> int:
        done.append("raw")
        return 7

    @mxd.metaxify
    @dg.asset(metadata=feature("video/crop"))
    def a_crop() -> int:
        done.append("crop")
        return 1

    define("cut", "video/crop", "video/raw")

    @mxd.metaxify
    @dg.asset(ins={"given": dg.AssetIn(["video", "raw"])}, metadata=feature("cut"))
    def cut(given: int) -> int:
        done.append(f"cut {given}")
        return given + 1

    assert spec_of(raw, "video", "raw").description == "A video."
    assert cut.node_keys_by_input_name["given"].path == ["video", "raw"]
    assert cut(7) == 8
    result = dg.materialize([cut, a_crop, raw], instance=instance)
    assert result.success
    assert done == ["cut 7", "raw", "crop", "cut 7"]
    assert result.output_for_node("cut") == 8


def test_multi_assets(videos: Project, instance: dg.DagsterInstance) -> None:
    done: list[Any] = []

    @mxd.metaxify(key_prefix="p")
    @dg.multi_asset(
        specs=[
            dg.AssetSpec("x", metadata=feature("video/raw"), skippable=True),
            dg.AssetSpec("y", metadata=feature("video/crop"), skippable=True),
            dg.AssetSpec("z", deps=["elsewhere"], skippable=True),
        ],
        check_specs=[dg.AssetCheckSpec("fine", asset="x")],
        can_subset=True,
    )
    def both(context: dg.AssetExecutionContext) -> Any:
        for key in sorted(context.selected_asset_keys, reverse=True):
            done.append(key.to_user_string())
            yield dg.MaterializeResult(asset_key=key)
        yield from (dg.AssetCheckResult(passed=True, asset_key=k.asset_key) for k in context.selected_asset_check_keys)

    assert both.keys == {dg.AssetKey(path) for path in (["p", "video", "raw"], ["p", "video", "crop"], ["p", "z"])}
    assert both.keys_by_output_name["x"].path == ["p", "video", "raw"]
    assert [dep.asset_key.path for dep in spec_of(both, "p", "video", "crop").deps] == [["p", "video", "raw"]]
    assert {dep.asset_key.to_user_string() for dep in spec_of(both, "p", "z").deps} == {"elsewhere"}
    assert {key.asset_key.to_user_string() for key in both.check_keys} == {"p/video/raw"}
    assert dg.materialize([both], instance=instance).success
    assert done == ["p/z", "p/video/raw", "p/video/crop"]
    done.clear()
    assert dg.materialize([both], selection=[dg.AssetKey(["p", "video", "crop"])], instance=instance).success
    assert done == ["p/video/crop"]


def test_several_assets_of_one_feature(videos: Project) -> None:
    specs = [
        dg.AssetSpec(f"raw_{path}", metadata=feature("video/raw", **{"metaxy/partition": {"path": path}}))
        for path in "ab"
    ]

    @mxd.metaxify
    @dg.multi_asset(specs=[*specs, dg.AssetSpec("y", metadata=feature("video/crop"))])
    def all_of_it() -> Any:
        yield

    assert {key.to_user_string() for key in all_of_it.keys} == {"raw_a", "raw_b", "video/crop"}
    crop = spec_of(all_of_it, "video", "crop")
    assert {dep.asset_key.to_user_string() for dep in crop.deps} == {"raw_a", "raw_b"}
    found = crop.metadata["dagster/column_lineage"].deps_by_column["source"]
    assert [source.asset_key.to_user_string() for source in found] == ["raw_a", "raw_b"]
    assert {spec.tags["metaxy/feature"] for spec in all_of_it.specs} == {"video__raw", "video__crop"}


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # of a decorator that the test itself uses
@pytest.mark.filterwarnings("ignore:Property `OpDefinition.version`:DeprecationWarning")  # Dagster's, of its own
def test_sources_and_external_assets(videos: Project, instance: dg.DagsterInstance) -> None:
    @mxd.metaxify(key=["lake", "raw"])
    @dg.observable_source_asset(metadata=feature("video/raw"), group_name="lake")
    def raw() -> dg.DataVersion:
        return dg.DataVersion("1")

    assert isinstance(raw, dg.SourceAsset)
    assert (raw.key.path, raw.group_name, raw.description) == (["lake", "raw"], "lake", "A video.")
    assert raw.tags["metaxy/feature"] == "video__raw"
    again = mxd.metaxify(dg.AssetsDefinition(specs=[dg.AssetSpec("x", metadata=feature("video/crop"))]))
    assert (again.is_executable, [key.path for key in again.keys]) == (False, [["video", "crop"]])
    job = dg.define_asset_job("observe", selection=[raw.key])
    defs = dg.Definitions(assets=[raw, again], jobs=[job])
    with pytest.raises(DefinitionError, match="'video/crop' does not depend on 'lake/raw'"):
        mxd.validate_definitions(defs)
    assert defs.resolve_job_def("observe").execute_in_process(instance=instance).success
    assert instance.fetch_observations(raw.key, limit=1).records


def test_graph_backed_assets_depend_without_waiting(videos: Project, instance: dg.DagsterInstance) -> None:
    @dg.op
    def compute() -> int:
        return 1

    @dg.graph_asset(metadata=feature("video/crop"))
    def crop() -> int:
        return compute()  # type: ignore[no-any-return]

    asset = mxd.metaxify(crop)
    assert [dep.asset_key.path for dep in spec_of(asset, "video", "crop").deps] == [["video", "raw"]]
    assert dg.materialize([asset], instance=instance).success


def test_a_changed_feature_is_out_of_date_in_dagster(videos: Project, instance: dg.DagsterInstance) -> None:
    def status(*names: str) -> list[str]:
        graph = dg.Definitions(assets=assets()).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        return [resolver.get_status(dg.AssetKey(name)).value for name in names]

    def assets() -> list[dg.AssetsDefinition]:
        @mxd.metaxify
        @dg.asset(metadata=feature("one"))
        def one() -> None: ...

        @mxd.metaxify
        @dg.asset(metadata=feature("two"))
        def two() -> None: ...

        return [one, two]

    define("one")
    define("two", "one")
    assert dg.materialize(assets(), instance=instance).success
    assert status("one", "two") == ["FRESH", "FRESH"]
    define("one", fields=[{"key": "default", "code_version": "2"}])
    assert status("one", "two") == ["STALE", "FRESH"]
    assert dg.materialize(assets(), selection="one", instance=instance).success
    assert status("one", "two") == ["FRESH", "STALE"]
    define("two", "one", "video/raw")
    assert dg.materialize(assets(), selection="two", instance=instance).success
    assert status("one", "two") == ["FRESH", "FRESH"]


class Size(dg.Config):
    size: int = 3


def test_ops_keep_all_that_they_had(videos: Project, instance: dg.DagsterInstance) -> None:
    tries: list[tuple[int, str]] = []

    @mxd.metaxify
    @dg.asset(
        metadata=feature("video/crop"), retry_policy=dg.RetryPolicy(max_retries=1), op_tags={"cpu": "2"}, pool="crops"
    )
    def crop(context: dg.AssetExecutionContext, config: Size, place: dg.ResourceParam[str]) -> int:
        tries.append((config.size, place))
        if len(tries) == 1:
            raise dg.RetryRequested(max_retries=1)
        return context.run.run_id.count("x")

    @mxd.metaxify
    @dg.multi_asset(outs={"one": dg.AssetOut(metadata=feature("video/raw"), is_required=False), "two": dg.AssetOut()})
    def outs() -> Any:
        yield dg.Output(1, "one")
        yield dg.Output(2, "two")

    assert (crop.op.tags["cpu"], crop.op.pool, crop.op.retry_policy is not None) == ("2", "crops", True)
    assert {key.to_user_string() for key in outs.keys} == {"video/raw", "two"}
    config = {"ops": {"crop": {"config": {"size": 9}}}}
    result = dg.materialize([crop, outs], instance=instance, resources={"place": "here"}, run_config=config)
    assert result.success
    assert tries == [(9, "here"), (9, "here")]


def test_an_op_is_run_in_parts_where_another_asset_is_between(videos: Project, instance: dg.DagsterInstance) -> None:
    define("cut", "video/crop", "video/raw")
    done: list[str] = []

    @mxd.metaxify(key_prefix="p")
    @dg.multi_asset(
        specs=[
            dg.AssetSpec("a", metadata=feature("video/raw"), skippable=True),
            dg.AssetSpec("c", metadata=feature("cut"), skippable=True),
        ],
        can_subset=True,
    )
    def ends(context: dg.AssetExecutionContext) -> Any:
        for key in sorted(context.selected_asset_keys, reverse=True):
            done.append(key.to_user_string())
            yield dg.MaterializeResult(asset_key=key)

    @mxd.metaxify(key_prefix="p")
    @dg.asset(metadata=feature("video/crop"))
    def between() -> None:
        done.append("crop")

    assert dg.materialize([ends, between], instance=instance).success
    assert done == ["p/video/raw", "crop", "p/cut"]
