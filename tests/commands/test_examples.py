"""Every example runs as a script at its tiny size; the first keeps the promise that it makes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("[0-9]*.py"))
ONE_RUN = ("05", "06", "07")
"""Numbers of the examples that go on from the run of the first of them, and make it where it is not there."""

LONG = ("00", "05", "06", "07", "08")
"""Examples of whole jobs, which take a minute even at their tiny size. The README has the job of 00, which is tested."""

PNG = b"\x89PNG\r\n\x1a\n"


def run_example(path: Path, folder: Path, *options: str) -> str:
    """What the example prints; it runs in `folder`, where anything that it writes outside `--output` would lie."""
    command = [
        sys.executable,
        "-W",
        "error::DeprecationWarning:__main__",
        str(path),
        "--output",
        str(folder / "out"),
        *options,
    ]
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=600)
    assert done.returncode == 0, f"{path.name} failed:\n{done.stdout}\n{done.stderr}"
    assert [entry.name for entry in folder.iterdir()] in ([], ["out"]), "files outside --output"
    return done.stdout


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    """Where the examples of one run find each other's results."""
    return tmp_path_factory.mktemp("one_run")


def test_there_are_examples_and_their_numbers_are_their_own():
    numbers = [path.name.split("_")[0] for path in EXAMPLES]
    assert "01" in numbers
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.slow if path.name.split("_")[0] in LONG else (), id=path.stem)
        for path in EXAMPLES
    ],
)
def test_an_example_runs_and_has_something_to_show(path, tmp_path, shared_folder):
    """It says in its first lines what it is about, and leaves a picture or prints a result."""
    assert path.read_text().startswith('"""')
    folder = shared_folder if path.name.split("_")[0] in ONE_RUN else tmp_path
    printed = run_example(path, folder, "--quick")
    pictures = list(folder.rglob("*.png"))
    assert pictures or printed.strip()
    assert all(picture.read_bytes().startswith(PNG) for picture in pictures)


def test_the_first_example_learns_its_free_energy_within_0_02_kT(tmp_path):
    """At its full size, where A is less than 5 kT above its minimum."""
    (first,) = [path for path in EXAMPLES if path.name.startswith("01")]
    printed = run_example(first, tmp_path)
    (deviation,) = re.findall(r"largest deviation .* (\d\.\d+) kT", printed)
    assert float(deviation) <= 0.02
    basins = re.findall(r"^(.*): the right basin is ([+-]\d\.\d+) kT", printed, flags=re.M)
    assert {name: value[0] for name, value in basins} == {
        "energy": "+",
        "exact free energy": "-",
        "learned free energy": "-",
    }
