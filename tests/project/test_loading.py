"""Features come from modules, and a second graph gets those of modules that were imported before."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.project.conftest import Write

from metaxy.config import InvalidConfigError, MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import EntrypointLoadError
from metaxy.project.entrypoints import (
    init,
    load_entrypoints,
    load_env_entrypoints,
    load_features,
    load_module_entrypoint,
)

Feature = Callable[[str, str], None]


def keys(graph: FeatureGraph) -> list[str]:
    return [str(key) for key in graph.feature_definitions_by_key]


def test_init_loads_configuration_and_features(write: Write, feature: Feature, graph: FeatureGraph) -> None:
    feature("shop.video", "video")
    feature("shop_audio", "audio")
    path = write("metaxy.toml", 'project = "shop"\nentrypoints = ["shop.video", "shop_audio"]')
    config = init()
    assert config is MetaxyConfig.get()
    assert (config.config_file, config.project) == (path, "shop")
    assert keys(graph) == ["video", "audio"]


@pytest.mark.parametrize("as_path", [str, Path])
def test_init_with_a_path(write: Write, feature: Feature, graph: FeatureGraph, as_path: type[str | Path]) -> None:
    feature("shop_video", "video")
    write("metaxy.toml", "broken")
    write("conf/my.toml", 'entrypoints = ["shop_video"]')
    assert init(as_path("conf/my.toml")).entrypoints == ["shop_video"]
    assert keys(graph) == ["video"]


def test_init_with_a_configuration(feature: Feature, graph: FeatureGraph) -> None:
    feature("shop_video", "video")
    config = MetaxyConfig(entrypoints=["shop_video"])
    assert init(config) is config
    assert MetaxyConfig.get() is config
    assert keys(graph) == ["video"]


def test_init_without_a_file(graph: FeatureGraph) -> None:
    assert init(search_parents=False).config_file is None
    assert keys(graph) == []


def test_init_reports_a_broken_file(write: Write) -> None:
    write("metaxy.toml", "broken")
    with pytest.raises(InvalidConfigError, match=r"^metaxy.toml:1:7: "):
        init()


def test_entrypoints_in_a_variable_are_a_key_of_the_configuration(
    feature: Feature, graph: FeatureGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature("shop_video", "video")
    feature("shop_audio", "audio")
    monkeypatch.setenv("METAXY_ENTRYPOINTS", '["shop_video"]')
    init(search_parents=False)
    assert keys(graph) == ["video"]
    monkeypatch.setenv("METAXY_ENTRYPOINTS", "shop_video,shop_audio")
    init(search_parents=False)
    assert keys(graph) == ["video", "audio"]


def test_environment_entrypoints(feature: Feature, graph: FeatureGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        feature(f"shop_{name}", name)
    monkeypatch.setenv("METAXY_ENTRYPOINT_2", "shop_a")
    monkeypatch.setenv("METAXY_ENTRYPOINT", "shop_c, shop_b,")
    monkeypatch.setenv("METAXY_ENTRYPOINTS", "not_read_here")
    load_env_entrypoints()
    assert keys(graph) == ["c", "b", "a"]


def test_one_entrypoint_needs_no_list(feature: Feature, graph: FeatureGraph) -> None:
    feature("shop_a", "a")
    load_features("shop_a")
    assert keys(graph) == ["a"]


def test_load_features(feature: Feature, graph: FeatureGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        feature(f"shop_{name}", name)
    monkeypatch.setenv("METAXY_ENTRYPOINT_X", "shop_b")
    assert load_features(["shop_a"], load_env=False) is graph
    assert keys(graph) == ["a"]
    with MetaxyConfig(entrypoints=["shop_c"]).use():
        load_features()
    assert keys(graph) == ["a", "c", "b"]


def test_a_module_may_initialise_itself(write: Write, graph: FeatureGraph) -> None:
    write("metaxy.toml", 'project = "other"')
    write(
        "shop_video.py",
        """
        import metaxy as mx
        config = mx.init()
        assert mx.load_features(["shop_video"]) is mx.current_graph()
        class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])): ...
        """,
    )
    config = init(MetaxyConfig(project="mine", entrypoints=["shop_video"]))
    assert sys.modules["shop_video"].config is config
    assert MetaxyConfig.get() is config
    assert keys(graph) == ["video"]


# -- another graph -----------------------------------------------------------------------------------------------------


@pytest.fixture
def package(write: Write) -> None:
    """Write a package whose features are defined in all the ways that users know."""
    feature = "class {}(mx.BaseFeature, spec=mx.FeatureSpec(key='{}', id_columns=['id'])): ..."
    write("shop/__init__.py", "")
    write("shop/entry.py", "from shop import video\nfrom shop.audio import volume\nimport shop.deep.found")
    write("shop/video.py", f"import metaxy as mx\n{feature.format('Video', 'video')}")
    write("shop/audio.py", f"import metaxy as mx\ndef volume(): ...\n{feature.format('Audio', 'audio')}")
    write("shop/unrelated.py", f"import metaxy as mx\n{feature.format('Unrelated', 'unrelated')}")
    write(
        "shop/deep/__init__.py",
        """
        from importlib import import_module
        from pkgutil import iter_modules
        for module in iter_modules(__path__):
            import_module(f"{__name__}.{module.name}")
        """,
    )
    write(
        "shop/deep/found.py",
        """
        import metaxy as mx
        from base_features import Base

        def make(key):
            class Made(mx.BaseFeature, spec=mx.FeatureSpec(key=key, id_columns=["id"])): ...
            return Made

        class Abstract(mx.BaseFeature): ...
        MADE = [make("made/one"), make("made/two")]
        BY_NAME = {"three": make("made/three")}
        """,
    )
    write(
        "base_features.py", f"import metaxy as mx\n{feature.format('Base', 'base')}\n{feature.format('More', 'more')}"
    )


EVERYTHING = ["video", "audio", "base", "more", "made/one", "made/two", "made/three"]


def test_the_first_graph_gets_everything(package: None, graph: FeatureGraph) -> None:
    load_module_entrypoint("shop.entry")
    assert keys(graph) == EVERYTHING


def test_another_graph_gets_the_same_in_the_same_order(package: None, graph: FeatureGraph) -> None:
    load_module_entrypoint("shop.entry")
    other = FeatureGraph()
    load_module_entrypoint("shop.entry", graph=other)
    assert keys(other) == EVERYTHING
    versions = {key: graph.get_feature_version(key) for key in EVERYTHING}
    assert {key: other.get_feature_version(key) for key in EVERYTHING} == versions


def test_modules_imported_before_are_registered(package: None, graph: FeatureGraph) -> None:
    with FeatureGraph().use():
        __import__("shop.deep")
    load_entrypoints(["shop.entry"])
    assert sorted(keys(graph)) == sorted(EVERYTHING)


def test_loading_again_into_the_same_graph_changes_nothing(package: None, graph: FeatureGraph) -> None:
    load_entrypoints(["shop.entry", "shop.entry"])
    before = dict(graph.feature_definitions_by_key)
    load_module_entrypoint("shop.entry")
    assert all(graph.feature_definitions_by_key[key] is definition for key, definition in before.items())


def test_a_graph_of_their_own_stays_their_own(write: Write, graph: FeatureGraph) -> None:
    write(
        "shop_video.py",
        """
        import metaxy as mx
        with mx.FeatureGraph().use():
            class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"])): ...
        """,
    )
    load_module_entrypoint("shop_video")
    assert keys(graph) == []


# -- failures ----------------------------------------------------------------------------------------------------------


def failure(module: str) -> str:
    with pytest.raises(EntrypointLoadError) as error:
        load_module_entrypoint(module)
    message = str(error.value)
    assert "\n" not in message
    assert error.value.__cause__ is not None
    return message


DUPLICATE = """
import metaxy as mx
class A(mx.BaseFeature, spec=mx.FeatureSpec(key="a", id_columns=["id"])): ...
class B(mx.BaseFeature, spec=mx.FeatureSpec(key="a", id_columns=["id"])): ...
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / 0", "cannot load entrypoint 'shop': shop.py:1: ZeroDivisionError: division by zero"),
        ("\ndef f(:\n", "cannot load entrypoint 'shop': shop.py:2: SyntaxError: "),
        ("import nope", "cannot load entrypoint 'shop': shop.py:1: ModuleNotFoundError: No module named 'nope'"),
        ("import json\njson.loads('x')", "cannot load entrypoint 'shop': shop.py:2: JSONDecodeError: "),
        ("import sys\nsys.exit(3)", "cannot load entrypoint 'shop': shop.py:2: SystemExit: 3"),
        ("raise ValueError('two\\nlines')", "cannot load entrypoint 'shop': shop.py:1: ValueError: two lines"),
        (DUPLICATE, "cannot load entrypoint 'shop': shop.py:4: "),
        ("import metaxy as mx\nmx.FeatureKey('A/b')", "cannot load entrypoint 'shop': shop.py:2: FeatureKey: "),
        ("import other.deep", "cannot load entrypoint 'shop': other/deep.py:2: RuntimeError: deep"),
    ],
)
def test_a_failure_is_one_line_with_the_place(write: Write, text: str, expected: str) -> None:
    write("other/deep.py", "\nraise RuntimeError('deep')")
    write("shop.py", text)
    assert failure("shop").replace("\\", "/").startswith(expected)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (
            "shpo",
            "there is no module 'shpo'. Did you mean 'shop'? Install its package, or put its folder on PYTHONPATH",
        ),
        ("shop.vidoe", "there is no module 'shop.vidoe'. Did you mean 'video'? Install"),
        ("nowhere_at_all.features", "there is no module 'nowhere_at_all'. Install"),
    ],
)
def test_a_missing_module_gets_a_near_match(write: Write, module: str, expected: str) -> None:
    write("shop/__init__.py", "")
    write("shop/video.py", "")
    assert failure(module).startswith(f"cannot load entrypoint {module!r}: {expected}")


def test_a_failure_inside_a_nested_load_is_told_once(write: Write) -> None:
    write("inner.py", "1 / 0")
    write("outer.py", "from metaxy.project.entrypoints import load_module_entrypoint as load\nload('inner')")
    assert failure("outer") == "cannot load entrypoint 'inner': inner.py:1: ZeroDivisionError: division by zero"


def test_a_failure_leaves_no_loading_behind(write: Write, feature: Feature, graph: FeatureGraph) -> None:
    write("broken.py", "1 / 0")
    feature("shop_video", "video")
    entrypoints: Iterable[str] = ["broken"]
    with pytest.raises(EntrypointLoadError):
        load_features(entrypoints)
    load_features(["shop_video"])
    assert keys(graph) == ["video"]
