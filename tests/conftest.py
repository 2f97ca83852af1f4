"""Threads, seeds, hypothesis and shape checking for all tests; session-wide data sets."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENMM_CPU_THREADS", "1")

import random
import sys
from pathlib import Path

import pytest
import shapes
from hypothesis import settings

shapes.check_shapes()

import systems  # noqa: E402

settings.register_profile("cgnnp", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("cgnnp")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what `-m fast` runs."""
    folders = [Path(__file__).parent / name for name in ("unit", "physics")]
    for item in items:
        if {*folders} & {*item.path.parents} and not {"medium", "slow", "gpu"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker("fast")


@pytest.fixture(autouse=True)
def _seeds():
    random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def water_27():
    """27 rigid SPC/E molecules in the smallest box that will do, and their one-bead mapping."""
    return systems.water(27)


@pytest.fixture(scope="session")
def water_27_directory(water_27, tmp_path_factory):
    """A data set of 8 mapped frames in chunks of 3. Do not write into it."""
    return systems.sample_water(water_27, tmp_path_factory.mktemp("water_27") / "data", n_frames=8)


@pytest.fixture(scope="session")
def water_64_atoms(tmp_path_factory):
    """240 frames of all the atoms of 64 water molecules, 0.08 ps apart, and the one-bead mapping for them."""
    return systems.water_atom_frames(64, tmp_path_factory.mktemp("water_64"), n_frames=240, interval_ps=0.08)


@pytest.fixture(scope="session")
def soft_spheres():
    """1,500 independent configurations of 14 soft spheres at 300 K, each from a Markov chain of its own."""
    return systems.soft_spheres(1500, {"AR": 14}, seed=21)
