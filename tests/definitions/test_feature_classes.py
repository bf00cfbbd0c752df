"""Feature classes: what defining one does, what is refused, instances, pickles."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, ClassVar, cast

import pytest
from pydantic import ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from metaxy.columns import ALL_SYSTEM_COLUMNS
from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.definitions.definition import FeatureDefinition, _names_and_types
from metaxy.definitions.keys import FeatureKey, coerce_to_feature_key
from metaxy.definitions.spec import FeatureSpec
from metaxy.errors import AbstractFeatureError, DefinitionError, DefinitionWarning
from metaxy.feature import BaseFeature, FeatureConfig, MetaxyMeta, detect_project_from_package

VIDEO = FeatureSpec(key="video", id_columns=["video_id"], fields=["audio", "frames"])

with FeatureGraph().use():

    class Importable(BaseFeature, spec=VIDEO):
        """A class that pickle finds."""

        video_id: str

        class Nested(BaseFeature, spec=FeatureSpec(key="nested", id_columns=["id"])):
            """A class inside another."""


@pytest.fixture(autouse=True)
def graph() -> Iterator[FeatureGraph]:
    with FeatureGraph().use() as graph:
        yield graph


def test_a_class_registers_its_spec(graph: FeatureGraph) -> None:
    class Video(BaseFeature, spec=VIDEO):
        """Raw videos.

        From cameras.
        """

        video_id: str
        path: str

    definition = graph.get_feature_definition("video")
    assert Video.spec() is VIDEO
    assert Video.graph is graph
    assert definition.spec.description == "Raw videos.\n\nFrom cameras."
    assert definition.feature_class_path == f"{__name__}.Video"
    assert definition.columns[-2:] == ["video_id", "path"]
    assert set(definition.columns[:-2]) == ALL_SYSTEM_COLUMNS
    assert definition._get_feature_class() is Video
    assert definition.is_user_code
    assert Video.table_name() == "video"


def test_a_spec_keeps_its_own_description(graph: FeatureGraph) -> None:
    class Video(BaseFeature, spec=VIDEO.model_copy(update={"description": "mine"})):
        """Not this."""

    assert graph.get_feature_definition(Video).spec.description == "mine"


def test_a_class_stands_for_its_key() -> None:
    class Video(BaseFeature, spec=VIDEO):
        video_id: str

    assert coerce_to_feature_key(Video) == FeatureKey("video")
    assert FeatureSpec(key="crop", id_columns=["video_id"], deps=[Video]).deps[0].feature == FeatureKey("video")
    with pytest.raises(ValidationError, match="expected a list"):
        FeatureSpec(key="crop", id_columns=["video_id"], deps=Video)  # type: ignore[arg-type]  # the point of the test


def test_a_class_knows_its_versions(graph: FeatureGraph) -> None:
    class Video(BaseFeature, spec=VIDEO):
        video_id: str

    with MetaxyConfig(hash_truncation_length=8).use():
        assert Video.provenance_by_field() == graph.get_feature_version_by_field("video", 8)
        assert Video.feature_version() == graph.get_feature_version("video", 8)
        assert Video.feature_spec_version() == VIDEO.version_at(8)
        assert graph.get_feature_definition("video").feature_definition_version.isalnum()


def test_only_names_and_types_of_columns_are_part_of_the_definition(graph: FeatureGraph) -> None:
    class Video(BaseFeature, spec=VIDEO):
        video_id: str
        title: str = Field("", description="As shown.", examples=["The Kid"])
        description: int | None = None

    written = graph.get_feature_definition("video")
    assert list(written.feature_schema) == ["additionalProperties", "properties", "required", "type"]
    assert {name: written.feature_schema["properties"][name] for name in ("video_id", "title", "description")} == {
        "video_id": {"type": "string"},
        "title": {"type": "string"},
        "description": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    }

    def define_again(**columns: Any) -> str:
        described = {name: (kind, Field(None, description="In other words.")) for name, kind in columns.items()}
        create_model(
            "Film", __base__=BaseFeature, __cls_kwargs__={"spec": VIDEO}, video_id=(str, ...), **cast("Any", described)
        )
        return graph.get_feature_definition("video").feature_definition_version

    graph.remove_feature("video")
    assert define_again(title=str, description=int | None) == written.feature_definition_version
    graph.remove_feature("video")
    assert define_again(title=str, description=int) != written.feature_definition_version


class _AllByPydantic(GenerateJsonSchema):
    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def test_recorded_schemas_are_those_of_pydantic_whoever_declares_the_system_columns() -> None:
    class Required(BaseFeature):
        __metaxy_system_fields__ = True
        metaxy_provenance: str

    class Number(BaseFeature):
        __metaxy_system_fields__ = True
        metaxy_provenance: int = 0  # type: ignore[assignment]  # the point of the test

    columns: Any = {"video_id": (str, Field(alias="video-id")), "parts": (list[Importable], []), "size": (int, ...)}
    for base in (BaseFeature, Required, Number, BaseFeature):
        options: Any = {"__base__": base, "__cls_kwargs__": {"spec": VIDEO}}
        for cls in (create_model("Video", **options, **columns), create_model("Video", **options)):
            ours = FeatureDefinition.from_feature_class(cls).feature_schema
            theirs = _names_and_types(cls.model_json_schema(schema_generator=_AllByPydantic))
            assert json.dumps(ours) == json.dumps(theirs)


def test_what_writes_do_about_columns_is_no_part_of_any_version(graph: FeatureGraph) -> None:
    def define(config: FeatureConfig) -> FeatureDefinition:
        class Video(BaseFeature, spec=VIDEO):
            feature_config = config
            video_id: str

        return graph.get_feature_definition("video")

    plain, strict = define({}), define({"declared": "error"})
    assert (plain.declared, strict.declared) == (None, "error")
    assert pickle.loads(pickle.dumps(strict)).declared == "error"
    assert plain.model_dump(mode="json") == strict.model_dump(mode="json")
    assert plain.feature_definition_version == strict.feature_definition_version
    assert [(column.name, str(column.annotation)) for column in strict.declared_columns] == [("video_id", "str")]
    with pytest.raises(DefinitionError, match="declared = 'no' in its feature_config: choose warn, error, ignore"):
        define({"declared": "no"})  # type: ignore[typeddict-item]  # the point of the test


def test_a_class_without_spec_is_abstract(graph: FeatureGraph) -> None:
    class Media(BaseFeature):
        path: str

    class Video(Media, spec=VIDEO):
        video_id: str

    assert list(Video.model_fields)[-2:] == ["path", "video_id"]
    assert list(graph.feature_definitions_by_key) == [FeatureKey("video")]
    for use in (Media.spec, Media.metaxy_project, Media.table_name, Media.feature_version, Media.provenance_by_field):
        with pytest.raises(AttributeError, match="Media is an abstract feature class: it has no spec"):
            use()
    with pytest.raises(ValidationError, match="abstract feature class"):
        coerce_to_feature_key(Media)
    assert issubclass(AbstractFeatureError, DefinitionError)


def test_a_subclass_without_spec_is_not_registered(graph: FeatureGraph) -> None:
    class Video(BaseFeature, spec=VIDEO):
        video_id: str

    class Longer(Video):
        extra: str

    assert (Longer.spec(), Longer.graph) == (VIDEO, graph)
    assert graph.get_feature_definition("video")._get_feature_class() is Video


def test_defining_a_class_again_replaces_it(graph: FeatureGraph) -> None:
    def define(code_version: str) -> None:
        class Video(BaseFeature, spec=FeatureSpec(key="video", id_columns=["id"], metadata={"v": code_version})):
            pass

    define("1")
    define("2")
    assert graph.get_feature_definition("video").spec.metadata == {"v": "2"}

    with pytest.raises(ValueError, match=rf"'video' is already defined by {__name__}.Video; {__name__}.Other needs"):

        class Other(BaseFeature, spec=VIDEO):
            pass


def test_nested_classes_have_a_path_of_their_own(graph: FeatureGraph) -> None:
    definition = FeatureDefinition.from_feature_class(Importable.Nested)
    assert definition.feature_class_path == f"{__name__}.Importable.Nested"


# -- columns -----------------------------------------------------------------------------------------------------------


def test_a_class_may_declare_no_columns(graph: FeatureGraph) -> None:
    class Video(BaseFeature, spec=VIDEO):
        pass

    assert set(graph.get_feature_definition("video").columns) == ALL_SYSTEM_COLUMNS


def test_id_columns_may_be_inherited_or_aliased() -> None:
    class WithId(BaseFeature):
        video_id: str

    class Inherits(WithId, spec=VIDEO):
        path: str

    class Aliased(BaseFeature, spec=FeatureSpec(key="other", id_columns=["video-id"])):
        video_id: str = Field(alias="video-id")


def test_a_class_with_columns_should_declare_its_id_columns(graph: FeatureGraph) -> None:
    message = r"\.Video\) does not declare its ID column 'video_id'. Did you mean 'vide"
    with pytest.warns(DefinitionWarning, match=message) as warned:

        class Video(BaseFeature, spec=VIDEO):
            videoid: str

    assert warned[0].filename == __file__
    assert list(graph.feature_definitions_by_key) == [VIDEO.key]


@pytest.mark.parametrize(
    "body",
    [
        {"__annotations__": {"metaxy_provenance": int}},
        {"__annotations__": {"metaxy_updated_at": str | None}, "metaxy_updated_at": None},
        {"__annotations__": {"metaxy_provenance": str | None}, "metaxy_provenance": "x"},
        {"__annotations__": {"metaxy_provenance": ClassVar[str]}, "metaxy_provenance": "x"},
    ],
)
@pytest.mark.parametrize("depth", [1, 2])
def test_system_columns_cannot_be_redeclared(body: dict[str, Any], depth: int) -> None:
    bases: tuple[type, ...] = (BaseFeature,)
    if depth == 2:
        bases, body = (MetaxyMeta("Mixin", bases, {"__module__": __name__, **body}),), {}
    with pytest.raises(DefinitionError, match=r"redeclares 'metaxy_.*', a system column"):
        MetaxyMeta("Video", bases, {"__module__": __name__, **body}, spec=VIDEO)


def test_a_framework_base_may_declare_system_columns(graph: FeatureGraph) -> None:
    class Base(BaseFeature):
        __metaxy_system_fields__ = True
        metaxy_provenance: str = Field(default="")

    class Video(Base, spec=VIDEO):
        video_id: str

    assert FeatureKey("video") in graph.feature_definitions_by_key


@pytest.mark.parametrize("names", [("video_id", "Path", "path"), ("video_id", "Metaxy_Provenance")])
def test_columns_differ_by_more_than_case(names: tuple[str, ...]) -> None:
    with pytest.raises(DefinitionError, match="columns that differ only by case"):
        MetaxyMeta(
            "Video", (BaseFeature,), {"__module__": __name__, "__annotations__": dict.fromkeys(names, str)}, spec=VIDEO
        )


# -- instances ---------------------------------------------------------------------------------------------------------


def test_an_instance_is_a_stored_row() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
    row: dict[str, Any] = {
        "video_id": "v1",
        "metaxy_provenance_by_field": {"audio": "a", "frames": "f"},
        "metaxy_provenance": "p",
        "metaxy_feature_version": "fv",
        "metaxy_project_version": "pv",
        "metaxy_data_version_by_field": {"audio": "a", "frames": "f"},
        "metaxy_data_version": "d",
        "metaxy_created_at": now,
        "metaxy_updated_at": now,
        "metaxy_deleted_at": None,
        "metaxy_materialization_id": None,
    }
    assert Importable.model_validate(row).model_dump() == {**row}
    naive = Importable.model_validate({**row, "metaxy_updated_at": now.replace(tzinfo=None)})
    assert naive.metaxy_updated_at == now


def test_instances_are_frozen_and_complete() -> None:
    video = Importable(video_id="v1")
    assert video.metaxy_provenance_by_field == {}
    with pytest.raises(ValidationError, match="frozen"):
        video.video_id = "v2"  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValidationError, match="Extra inputs"):
        Importable(video_id="v1", colour="red")  # type: ignore[call-arg]  # the point of the test


def test_classes_instances_and_definitions_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(Importable)) is Importable
    assert pickle.loads(pickle.dumps(Importable(video_id="v1"))) == Importable(video_id="v1")
    again = pickle.loads(pickle.dumps(FeatureDefinition.from_feature_class(Importable)))
    assert again._get_feature_class() is Importable


def test_a_class_has_settings_for_integrations() -> None:
    class Video(BaseFeature, spec=VIDEO):
        feature_config = FeatureConfig(ext={"sqlmodel": {"inject_index": True}})

    class Plain(BaseFeature):
        pass

    assert Video.feature_config["ext"] == {"sqlmodel": {"inject_index": True}}
    assert Plain.feature_config == {}


def test_a_user_model_config_is_merged() -> None:
    class Video(BaseFeature, spec=VIDEO):
        model_config = ConfigDict(extra="allow")
        video_id: str

    assert (Video.model_config["extra"], Video.model_config["frozen"]) == ("allow", True)


# -- projects ----------------------------------------------------------------------------------------------------------


def test_the_project_is_that_of_the_class_body_or_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class Video(BaseFeature, spec=VIDEO):
        __metaxy_project__ = "vision"

    class Inherits(Video, spec=FeatureSpec(key="inherits", id_columns=["id"])):
        pass

    package = __name__.partition(".")[0]
    assert (Video.metaxy_project(), Inherits.metaxy_project()) == ("vision", package)
    monkeypatch.setattr(sys.modules[package], "__metaxy_project__", "named", raising=False)
    assert detect_project_from_package(f"{package}.x.y") == "named"
    monkeypatch.setattr(sys.modules[package], "__metaxy_project__", 3)
    with pytest.raises(TypeError, match=r"of package .* must be text"):
        detect_project_from_package(__name__)
    with pytest.raises(TypeError, match="of class 'Bad' must be text"):
        MetaxyMeta("Bad", (BaseFeature,), {"__module__": __name__, "__metaxy_project__": 3}, spec=VIDEO)


# -- start-up ----------------------------------------------------------------------------------------------------------


def test_defining_features_imports_no_dataframe_library() -> None:
    code = (
        "import sys, metaxy.feature as f\n"
        "from metaxy.definitions.spec import FeatureSpec\n"
        "from metaxy.definitions.dependency import FeatureDep\n"
        "class V(f.BaseFeature, spec=FeatureSpec(key='v', id_columns=['id'])): id: str\n"
        "class W(f.BaseFeature, spec=FeatureSpec(key='w', id_columns=['id'], deps=[FeatureDep(feature=V,"
        " filters=['a = 1'])])): id: str\n"
        "W.feature_version()\n"
        "heavy = {'polars', 'narwhals', 'duckdb', 'sqlglot', 'pyarrow', 'ibis', 'pandas', 'numpy'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
