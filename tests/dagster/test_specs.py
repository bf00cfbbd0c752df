"""What assets are in Metaxy."""

import pytest
from tests.factory import define

import dagster as dg
from metaxy import FeatureKey
from metaxy.errors import DefinitionError, UnknownFeatureError
from metaxy.ext.dagster import specs
from metaxy.service.project import Project


def spec(feature: object, key: str = "asset") -> dg.AssetSpec:
    return dg.AssetSpec(key, metadata={"metaxy/feature": feature} if feature is not None else {})


def test_assets_are_features_by_their_metadata(project: Project) -> None:
    definition = define("video/raw")
    for named in ("video/raw", ["video", "raw"], dg.MetadataValue.text("video/raw"), definition):
        assert specs.feature_of(spec(named)) == FeatureKey("video/raw")
    assert specs.definition_of(project, spec("video/raw")) is definition
    assert (specs.feature_of(spec(None)), specs.definition_of(project, spec(None))) == (None, None)
    assert list(specs.features_of([one := spec("a"), spec(None)])) == [(one, FeatureKey("a"))]
    with pytest.raises(UnknownFeatureError, match=r"'video/rwa' is not in the graph\. Did you mean 'video/raw'"):
        specs.definition_of(project, spec("video/rwa"))


@pytest.mark.parametrize("named", [5, {}, "Video Raw", ["a", 1]])
def test_metadata_that_name_no_feature_are_refused(named: object) -> None:
    with pytest.raises(DefinitionError, match=r"asset 'asset' has the metadata .* such as ") as error:
        specs.feature_of(spec(named))
    assert "\n" not in str(error.value)


def test_keys_of_assets(project: Project) -> None:
    define("video/raw")
    assert specs.asset_key_of(project, "video/raw").path == ["video", "raw"]
    assert specs.asset_key_of(project, "other/one").path == ["other", "one"]
    assert specs.asset_key_of(project, "video/raw", ["a", "b"]).path == ["a", "b", "video", "raw"]
