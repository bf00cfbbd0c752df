"""Two projects as wheels: built, installed into one environment and into two, and used by the command line there."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
dependencies = {needs}

[project.entry-points."metaxy.project"]
features = "{module}.features"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""
MEDIA = """
import metaxy as mx

class Video(mx.BaseFeature, spec=mx.FeatureSpec(key="video", id_columns=["id"], fields=["audio", "frames"])):
    id: str
"""
FACES = """
import metaxy as mx

class Faces(mx.BaseFeature, spec=mx.FeatureSpec(key="faces", id_columns=["id"], deps=["video"], fields=["frames"])):
    id: str
"""
STRANGER = """
import metaxy as mx

class Stranger(mx.BaseFeature, spec=mx.FeatureSpec(key="stranger", id_columns=["id"])):
    id: str
"""
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


class Environment(NamedTuple):
    """A virtual environment, and a folder to work in."""

    python: Path
    packages: Path
    folder: Path

    def mx(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        variables = {name: text for name, text in os.environ.items() if not name.startswith(("METAXY_", "PYTHON"))}
        result = subprocess.run(
            [self.python, "-m", "metaxy.cli.app", *arguments],
            cwd=self.folder,
            env=variables | {"PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert not (check and result.returncode), result.stderr
        return result

    def features(self, *options: str) -> dict[str, tuple[str, str, str]]:
        """Return project, version and source of each feature, by key."""
        listed = json.loads(self.mx("list", "features", "--format", "json", *options).stdout)["features"]
        return {each["key"]: (each["project"], each["version"], each["source"]) for each in listed}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheels of three projects."""
    built = {}
    for name, code, needs in (("media", MEDIA, "[]"), ("face-lab", FACES, '["media"]'), ("stranger", STRANGER, "[]")):
        folder = tmp_path_factory.mktemp(name)
        module = name.replace("-", "_")
        (folder / module).mkdir()
        (folder / module / "__init__.py").write_text(f'__metaxy_project__ = "{name}"\n' if "-" in name else "")
        (folder / module / "features.py").write_text(code)
        (folder / "pyproject.toml").write_text(PYPROJECT.format(name=name, module=module, needs=needs))
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(folder / "dist")], cwd=folder, capture_output=True, text=True, check=True
        )
        built[name] = folder / "dist" / done.stdout.split()[-1]
    return built


def environment(folder: Path, wheels: Sequence[Path], config: str) -> Environment:
    """Make a virtual environment with what this one has, and with some wheels."""
    folder.mkdir(exist_ok=True)
    venv.EnvBuilder(with_pip=False, symlinks=sys.platform != "win32").create(folder / "env")
    python = folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "here.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    for wheel in wheels:  # a wheel of Python code is installed by unpacking it
        zipfile.ZipFile(wheel).extractall(packages)
    (folder / "metaxy.toml").write_text(config)
    return Environment(python, packages, folder)


def config(project: str, shared: Path) -> str:
    return f'''
project = "{project}"
[stores.dev]
type = "metaxy.ext.delta.DeltaMetadataStore"
root_path = {json.dumps(str(shared))}
'''


def test_one_environment(wheels: dict[str, Path], tmp_path: Path) -> None:
    here = environment(tmp_path, list(wheels.values()), config("face-lab", tmp_path / "shared"))
    found = here.features("--all-projects")
    assert {key: (project, source) for key, (project, _, source) in found.items()} == {
        "faces": ("face-lab", "face_lab.features.Faces"),
        "video": ("media", "media.features.Video"),
        "stranger": ("stranger", "stranger.features.Stranger"),
    }
    assert here.features().keys() == {"faces"}
    (here.packages / "stranger" / "features.py").write_text("1 / 0")
    broken = here.mx("list", "features", check=False)
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "stranger.features" in broken.stderr
    assert "ZeroDivisionError" in broken.stderr
    # What the project does not depend on is not loaded for its lock file; what it depends on is here already.
    assert "is up to date" in here.mx("lock").stderr
    assert (here.folder / "metaxy.lock").read_text().endswith("[features]\n")


def test_two_environments(wheels: dict[str, Path], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    media = environment(tmp_path / "a", [wheels["media"]], config("media", shared))
    faces = environment(tmp_path / "b", [wheels["face-lab"]], config("face-lab", shared))
    alone = faces.mx("list", "features", check=False)
    assert (alone.returncode, alone.stdout) == (1, "")
    assert "video (needed by faces)" in alone.stderr
    assert "mx lock" in alone.stderr
    unpushed = faces.mx("lock", check=False)
    assert unpushed.returncode == 1
    assert "not found in metadata store" in unpushed.stderr
    media.mx("push")
    version = media.features()["video"][1]
    assert f" + video ({version})\n" in faces.mx("lock").stderr
    assert faces.features("--all-projects")["video"] == ("media", version, "metaxy.lock")
    before = faces.features()["faces"]
    assert faces.mx("lock", "--check").returncode == 0

    (media.packages / "media" / "features.py").write_text(
        MEDIA.replace('"audio"', '"sound"').replace('"frames"', '"cuts"')
    )
    media.mx("push")
    stale = faces.mx("lock", "--check", check=False)
    assert stale.returncode == 1
    assert "is out of date" in stale.stderr
    locked = faces.mx("list", "features", "--sync", "--locked", check=False)
    assert (locked.returncode, locked.stdout) == (1, "")
    assert "video: expected" in locked.stderr
    new = media.features()["video"][1]
    assert f" ~ video ({version} -> {new})\n" in faces.mx("lock").stderr
    assert faces.features()["faces"] != before
