"""Entry points of installed packages, all or only those that a project needs."""

from collections.abc import Callable

import pytest
from tests.project.conftest import Write

from metaxy.config import MetaxyConfig
from metaxy.dag.graph import FeatureGraph
from metaxy.errors import EntrypointLoadError
from metaxy.project.entrypoints import dependency_closure, init, load_features, load_package_entrypoints

Feature = Callable[[str, str], None]
Install = Callable[..., None]


def keys(graph: FeatureGraph) -> set[str]:
    return {str(key) for key in graph.feature_definitions_by_key}


@pytest.fixture
def install(write: Write, feature: Feature) -> Install:
    """Install a package with one feature of its name, as pip leaves it behind."""

    def install(name: str, *needs: str, target: str | None = None, group: str = "metaxy.project") -> None:
        module = f"features_of_{name.lower().replace('-', '_').replace('.', '_')}"
        feature(module, name.lower().replace(".", "-"))
        folder = f"{name.replace('-', '_')}-1.0.dist-info"
        requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
        write(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        write(f"{folder}/entry_points.txt", f"[{group}]\nanything = {target or module}\n")

    return install


def test_entry_points_are_loaded(install: Install, graph: FeatureGraph) -> None:
    install("shop")
    install("other", group="other.group")
    load_package_entrypoints()
    assert keys(graph) == {"shop"}
    load_package_entrypoints("other.group")
    assert keys(graph) == {"shop", "other"}


def test_load_features_can_leave_them_out(install: Install, graph: FeatureGraph) -> None:
    install("shop")
    load_features([], load_packages=False)
    assert keys(graph) == set()
    load_features([])
    assert keys(graph) == {"shop"}


def test_functions_are_called_and_feature_classes_are_not(write: Write, install: Install, graph: FeatureGraph) -> None:
    write(
        "lazy.py",
        """
        import metaxy as mx
        def register():
            class Lazy(mx.BaseFeature, spec=mx.FeatureSpec(key="lazy", id_columns=["id"])): ...
        """,
    )
    install("shop", target="lazy:register")
    install("direct", target="features_of_direct:Feature")
    load_package_entrypoints()
    assert keys(graph) == {"lazy", "direct"}


def test_another_graph_gets_them_too(install: Install, graph: FeatureGraph) -> None:
    install("shop")
    load_package_entrypoints()
    other = FeatureGraph()
    load_package_entrypoints(graph=other)
    assert keys(other) == keys(graph) == {"shop"}


def test_a_failure_names_the_entry_point(install: Install) -> None:
    install("shop", target="no_such_module_at_all")
    with pytest.raises(EntrypointLoadError, match=r"^cannot load entry point 'anything' \(no_such_module_at_all\): "):
        load_package_entrypoints()


@pytest.fixture
def several(install: Install) -> None:
    install("Shop.Main", "shop_video>=1", "not-installed", 'extra-only; extra == "x"', 'old; python_version < "3"')
    install("shop-video", "shop-deep; python_version >= '3'", "Shop.Main")
    for name in ("shop-deep", "extra-only", "old", "stranger"):
        install(name)


NEEDED = {"shop-main", "shop-video", "shop-deep"}
INSTALLED = {*NEEDED, "extra-only", "old", "stranger"}


@pytest.mark.parametrize("project", ["shop-main", "SHOP_main", "Shop.Main"])
def test_the_closure_of_a_project(several: None, project: str) -> None:
    assert dependency_closure(project) == NEEDED


def test_a_project_that_is_not_installed_has_no_closure() -> None:
    assert dependency_closure("no-such-package-at-all") is None


@pytest.mark.parametrize(
    ("project", "isolated", "loaded"),
    [
        ("shop-main", True, NEEDED),
        ("shop-main", False, INSTALLED),
        ("no-such-package", True, INSTALLED),
        (None, True, INSTALLED),
    ],
)
def test_isolated_loads_only_what_the_project_needs(
    several: None, graph: FeatureGraph, project: str | None, isolated: bool, loaded: set[str]
) -> None:
    init(MetaxyConfig(project=project), isolated=isolated)
    assert keys(graph) == loaded
