"""The folder of the demo: what it holds, and that nothing else is ever touched."""

import sys
from pathlib import Path

import pytest

from metaxy.demo import project
from metaxy.errors import MetaxyError


def test_a_new_folder_gets_a_configuration_and_features(tmp_path: Path) -> None:
    project.prepare(tmp_path / "a" / "b", "delta", fresh=False)
    assert sorted(file.name for file in (tmp_path / "a" / "b").iterdir()) == ["features.py", "metaxy.toml"]
    assert (tmp_path / "a" / "b" / "features.py").read_bytes() == project.TEMPLATE.read_bytes()


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    project.prepare(tmp_path, "duckdb", fresh=True)
    assert (tmp_path / "metaxy.toml").exists()


def test_a_demo_folder_keeps_the_changes_of_the_user(tmp_path: Path) -> None:
    project.prepare(tmp_path, "duckdb", fresh=False)
    for name in ("features.py", "metaxy.toml"):
        with (tmp_path / name).open("a") as file:
            file.write("# mine\n")
    before = (tmp_path / "metaxy.toml").read_text()
    project.prepare(tmp_path, "delta", fresh=False)
    assert (tmp_path / "features.py").read_text().endswith("# mine\n")
    assert (tmp_path / "metaxy.toml").read_text() == before


def test_fresh_starts_over(tmp_path: Path) -> None:
    project.prepare(tmp_path, "duckdb", fresh=False)
    (tmp_path / "videos" / "video_01").mkdir(parents=True)
    (tmp_path / "features.py").write_text("broken")
    project.prepare(tmp_path, "delta", fresh=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["features.py", "metaxy.toml"]
    assert "DeltaMetadataStore" in (tmp_path / "metaxy.toml").read_text()
    assert "CROP_VERSION" in (tmp_path / "features.py").read_text()


def test_fresh_does_not_follow_links_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    project.prepare(tmp_path / "demo", "duckdb", fresh=False)
    (tmp_path / "demo" / "link").symlink_to(outside)
    project.prepare(tmp_path / "demo", "duckdb", fresh=True)
    assert (outside / "precious").exists()
    assert not (tmp_path / "demo" / "link").exists()


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["thesis.txt", "metaxy.toml"])
def test_a_folder_of_somebody_else_stays_as_it_is(tmp_path: Path, name: str, fresh: bool) -> None:
    (tmp_path / name).write_text('project = "mine"\n')
    with pytest.raises(MetaxyError, match=r"was not written by `mx demo`, so it stays as it is; give another PATH"):
        project.prepare(tmp_path, "duckdb", fresh=fresh)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, 'project = "mine"\n')]


def test_a_path_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MetaxyError, match=r"cannot write the demo to .*: File exists; give another PATH"):
        project.prepare(tmp_path / "file", "duckdb", fresh=False)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    project.check_packages("duckdb")
    monkeypatch.setitem(project.PACKAGES, "duckdb", ("no_such_package", "duckdb"))
    with pytest.raises(MetaxyError, match=r'^the demo needs no_such_package: pip install "metaxy\[demo\]"$'):
        project.check_packages("duckdb")


def test_the_code_version_is_counted_up_in_the_file(tmp_path: Path) -> None:
    project.prepare(tmp_path, "duckdb", fresh=False)
    file = tmp_path / "features.py"
    before = file.read_text()
    for _ in range(1, 10):
        project.raise_code_version(file)
    assert project.raise_code_version(file) == ("10", "11")
    assert file.read_text() == before.replace('CROP_VERSION = "1"', 'CROP_VERSION = "11"')


def test_a_features_file_without_the_code_version_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text("CROP_VERSION = '1'\n")
    with pytest.raises(MetaxyError, match='no line CROP_VERSION = "1" any more; put it back, or start over'):
        project.raise_code_version(tmp_path / "features.py")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_nothing_of_the_process_is_changed_for_good(tmp_path: Path) -> None:
    before = Path.cwd(), list(sys.path), sys.dont_write_bytecode
    with pytest.raises(KeyboardInterrupt), project.inside(tmp_path):
        interrupt()
    assert (Path.cwd(), sys.path, sys.dont_write_bytecode) == before


def test_inside_the_folder_paths_and_imports_are_those_of_a_user_there(tmp_path: Path) -> None:
    with project.inside(tmp_path):
        assert Path.cwd() == tmp_path
        assert sys.path[0] == str(tmp_path)
