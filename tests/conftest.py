"""Threads, seeds, hypothesis and shape checking for all tests; session-wide data sets."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENMM_CPU_THREADS", "1")

import random
import sys

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Checks every signature and dataclass of these modules against its annotations (shapes included) while tests run.
# Never anything that TorchScript compiles: it cannot read the wrappers.
install_import_hook(
    [
        "cgnnp.analysis.coordination",
        "cgnnp.analysis.dimer",
        "cgnnp.analysis.observables",
        "cgnnp.analysis.free_energy_1d",
        "cgnnp.analysis.kirkwood_buff",
        "cgnnp.analysis.pmf",
        "cgnnp.analysis.pressure",
        "cgnnp.analysis.rdf",
        "cgnnp.diagnostics.configurational_temperature",
        "cgnnp.frames.array_table",
        "cgnnp.frames.dataset",
        "cgnnp.diagnostics.consistency",
        "cgnnp.dynamics.langevin_dynamics",
        "cgnnp.mapping.force_map",
        "cgnnp.frames.frames",
        "cgnnp.diagnostics.kinetic_temperature",
        "cgnnp.mapping.mapping",
        "cgnnp.mapping.topology",
        "cgnnp.mappings",
        "cgnnp.mapping.map_molecules",
        "cgnnp.simulation.openmm.forces",
        "cgnnp.evaluators.cpu.neighbors",
        "cgnnp.diagnostics.noise_floor",
        "cgnnp.mapping.optimal_force_map",
        "cgnnp.diagnostics.pair_fields",
        "cgnnp.frames.pairs",
        "cgnnp.priors",
        "cgnnp.reference",
        "cgnnp.mapping.rigid_groups",
        "cgnnp.simulation.bundle",
        "cgnnp.simulation.run",
        "cgnnp.statistics",
        "cgnnp.training.data",
        "cgnnp.training.metrics",
        "cgnnp.workflow",
        "cgnnp.diagnostics.yvon_born_green",
    ],
    "beartype.beartype",
)

import systems  # noqa: E402

settings.register_profile("cgnnp", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("cgnnp")


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
