"""What the wheel must contain."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def folder_of(package: str) -> Path:
    """Where the files of a package are; `conf` and `mappings` stand beside the others."""
    for name, folder in sorted(SETUP["package-dir"].items(), reverse=True):
        if package == name or package.startswith(f"{name}."):
            return ROOT / folder / package.removeprefix(name).lstrip(".").replace(".", "/")
    raise AssertionError(package)


def test_every_file_beside_the_modules_is_in_the_wheel():
    named = {
        file for package, globs in SETUP["package-data"].items() for glob in globs for file in folder_of(package).glob(glob)
    }
    there = {file for folder in ("cgnnp", "conf", "mappings") for file in (ROOT / folder).rglob("*") if file.is_file()}
    data = {file for file in there if file.suffix not in (".py", ".pyc")}
    assert len(data) > 40
    assert data == named


def test_every_room_is_a_package_of_the_wheel():
    modules = [file for folder in ("cgnnp", "mappings") for file in (ROOT / folder).rglob("*.py")]
    assert {file.parent for file in modules} == {folder_of(package) for package in SETUP["packages"]} - {ROOT / "conf"}
