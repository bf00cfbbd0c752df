"""The features of a project at a revision of git: its files go to a temporary folder, where another process loads them.

That process is the same interpreter with the same packages, so it must not find modules in the work tree, where the
installed packages of a project usually point: paths into the repository are turned to the folder, and a module that
comes from the work tree all the same is an error.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final

from metaxy.config import MetaxyConfig
from metaxy.config.files import find_config_file
from metaxy.dag.graph import FeatureGraph
from metaxy.dag.view import GraphData
from metaxy.definitions.definition import FeatureDefinition
from metaxy.errors import EntrypointLoadError, RequestError
from metaxy.project.entrypoints import init
from metaxy.project.git import Repository
from metaxy.wording import text_of

# Without the folder in which Python starts, which may hold modules that are called like others.
_START: Final = "import sys; sys.path[:] = filter(None, sys.path); from metaxy.project.revisions import main; main()"
_CONFIG_VARIABLES: Final = ("METAXY_CONFIG", "METAXY_CONFIG_FILE")


@dataclass(frozen=True)
class GitRevision:
    """A revision of the repository that the project is in, or the commit at which what is checked out left it.

    With ``is_own`` it is refused unless what is checked out or a local branch has it: loading it runs its code.
    """

    name: str
    at_fork: bool = False
    is_own: bool = False


@dataclass(frozen=True)
class Revision:
    """A project as it was: its name, its features, and the versions that its own configuration gave them.

    ``is_configured``: whether there was a configuration at all; without one there are no features.
    """

    commit: str
    project: str | None
    graph: FeatureGraph
    versions: Mapping[str, str]
    project_version: str | None
    is_configured: bool

    def view(self, project: str | None) -> GraphData:
        """Return the features of one project."""
        name = project or self.project
        if name is None:
            raise RequestError("PROJECT_NOT_SET", f"the configuration of {self.commit[:8]} names no project")
        shown = GraphData.from_feature_graph(self.graph, name)
        recorded = {key: self.versions[key] for key in shown.nodes if key in self.versions}
        return shown.as_recorded(recorded, project_version=self.project_version)


def load_revision(config: MetaxyConfig, revision: GitRevision, project: str | None = None) -> Revision:
    """Load the features that a project had at a revision; this process imports nothing of it.

    Raises:
        RequestError: if there is no git, no repository or no such revision, or its code cannot be imported.
    """
    folder = (config.config_file.parent if config.config_file else Path.cwd()).resolve()
    repository = Repository.around(folder)
    commit = repository.commit(revision.name)
    commit = repository.fork(commit) if revision.at_fork else commit
    if revision.is_own and not repository.is_own(commit):
        message = f"{revision.name} is in no local branch, so its code is not run"
        raise RequestError("REVISION_NOT_OWN", message, hint="compare with it on the command line, or check it out")
    with _ending_in_order(), TemporaryDirectory(prefix="metaxy-revision-") as place:
        root = Path(place).resolve()
        repository.write(commit, root / "files", root / "index")
        name = config.config_file.name if config.config_file else None
        inside = str(folder.relative_to(repository.top))
        order = _Order(str(repository.top), str(root / "files"), inside, name, str(root / "answer"), project)
        answer = _ask(order)
    if error := answer.get("error"):
        said = f"the code of {revision.name!r} ({commit[:8]}) cannot be loaded: {error}"
        raise RequestError("REVISION_NOT_LOADED", said.replace(f"{root / 'files'}{os.sep}", ""))
    graph = FeatureGraph()
    for entry in answer.pop("features"):
        graph.add_feature_definition(_definition(entry))
    return Revision(commit, graph=graph, **answer)


# -- between the two processes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Order:
    """What the other process is to load, from the files of ``top`` that are in ``tree``, and where to answer."""

    top: str
    tree: str
    folder: str
    config: str | None
    answer: str
    project: str | None

    def config_file(self) -> Path | None:
        """Return the configuration file: the one of the same name, else the one that is in the folder."""
        folder = Path(self.tree, self.folder)
        named = folder / self.config if self.config else None
        return named if named and named.is_file() else find_config_file(folder, search_parents=False)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let signals that end this process, as when CI is cancelled, end the other one and remove its files as well.

    Programs that handle a signal themselves go on to do so.
    """
    ends = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    in_main = threading.current_thread() is threading.main_thread()
    unhandled = [number for number in ends if in_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in unhandled:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in unhandled:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signals call it
    raise SystemExit(128 + number)


def _ask(order: _Order) -> dict[str, Any]:
    """Start the other process and return its answer; what user code prints meanwhile is nobody's answer."""
    folder = Path(order.tree, order.folder)
    done = subprocess.run(  # noqa: S603 - it runs this package
        [sys.executable, "-c", _START, json.dumps(asdict(order))],
        cwd=folder if folder.is_dir() else order.tree,
        env={name: value for name, value in os.environ.items() if name not in _CONFIG_VARIABLES},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    answer = Path(order.answer)
    if answer.is_file():
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it says nothing"]
    return {"error": f"Python ended with code {done.returncode}: {last[0]}"}


def _plain(definition: FeatureDefinition) -> dict[str, Any]:
    return {
        "spec": definition.spec.model_dump(mode="json"),
        "schema": definition.feature_schema,
        "path": definition.feature_class_path,
        "project": definition.project,
        "versions": definition.known_field_versions,
        "is_external": definition.is_external,
    }


def _definition(plain: Mapping[str, Any]) -> FeatureDefinition:
    if not plain["is_external"]:
        return FeatureDefinition.from_stored_data(plain["spec"], plain["schema"], plain["path"], plain["project"])
    versions = plain["versions"] or None
    return FeatureDefinition.external(
        spec=plain["spec"], project=plain["project"], feature_schema=plain["schema"], provenance_by_field=versions
    )


# -- in the other process ----------------------------------------------------------------------------------------------


def main() -> None:
    """Load the features of the order on the command line, and write them, or why they cannot be loaded, into a file."""
    order = _Order(**json.loads(sys.argv[1]))
    try:
        answer = _load(order)
    except Exception as error:  # whatever user code raises: the other process says it
        answer = {"error": text_of(error)}
    Path(order.answer).write_text(json.dumps(answer), encoding="utf-8")


def _load(order: _Order) -> dict[str, Any]:
    turned = partial(_turned, os.path.realpath(order.top), order.tree)
    sys.path[:] = map(turned, sys.path)
    for mapping in _mappings():
        mapping.update({name: turned(path) for name, path in mapping.items()})
    file = order.config_file()
    if file is None and order.config:
        return _answer(FeatureGraph(), order.project, is_configured=False)
    sys.path.insert(0, str(Path(order.tree, order.folder)))
    if file:
        os.environ["METAXY_CONFIG"] = str(file)  # for modules that read it themselves
    config = init(MetaxyConfig.load(file, search_parents=False))
    _refuse_strays(turned)
    return _answer(FeatureGraph.get_active(), order.project or config.project, is_configured=True)


def _turned(top: str, tree: str, path: str) -> str:
    """Return where a path into the work tree is in the revision; packages that are installed below it stay."""
    real, prefix = os.path.realpath(path), os.path.realpath(sys.prefix)
    is_installed = _is_in(top, prefix) and _is_in(prefix, real)
    return os.path.join(tree, os.path.relpath(real, top)) if _is_in(top, real) and not is_installed else path  # noqa: PTH118


def _is_in(folder: str, path: str) -> bool:
    return Path(path).is_relative_to(folder)


def _mappings() -> Iterable[dict[str, str]]:
    """Yield where editable packages of setuptools are, by the modules that find them."""
    for finder in sys.meta_path:
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(mapping, dict):
            yield mapping


def _refuse_strays(turned: Any) -> None:
    """Refuse modules that come from the work tree after all: they are not what the revision has.

    Raises:
        EntrypointLoadError: if there is one.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and name.partition(".")[0] != "metaxy" and turned(file) != file:
            raise EntrypointLoadError(f"module {name!r} was imported from {file}, not from the revision")


def _answer(graph: FeatureGraph, project: str | None, *, is_configured: bool) -> dict[str, Any]:
    nodes = GraphData.from_feature_graph(graph).nodes
    return {
        "project": project,
        "features": [_plain(definition) for definition in graph.feature_definitions_by_key.values()],
        "versions": {key: node.version for key, node in nodes.items() if node.version},
        "project_version": graph.get_project_version(project) if project else None,
        "is_configured": is_configured,
    }
