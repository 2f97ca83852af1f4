"""A new prior term is one file and one YAML: the worked example of CONTRIBUTING.md, fitted, exported and read again."""

import numpy as np
import openmm
import pytest
from configuration import compose
from contributing import added
from systems import add_pair_forces, energy_and_forces, hard_gas

from cgnnp.commands.training import fit_plan
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.priors import kinds
from cgnnp.simulation.openmm.system import create_system
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.workflow.fitting import fit_model

CUTOFF, LARGEST = 0.7, 90.0


def repulsive(n_frames: int):
    """A gas with the forces of the example, and shorter-ranged ones."""
    gas = hard_gas(n_frames, 20, 1.6, diameter=0.25, seed=3)
    return add_pair_forces(gas, lambda r: LARGEST * np.clip(1 - r / CUTOFF, 0, None))


@pytest.fixture
def options(monkeypatch, tmp_path):
    added(monkeypatch, tmp_path, "A new prior term", "priors.soft_repulsion", "prior/soft_repulsion")
    small = ("model=pair", "model.cutoff_nm=0.5", "trainer.max_epochs=1", "trainer.accelerator=cpu")
    searched = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
    return (searched, "prior=[soft_repulsion,pairs]", f"prior.cutoff_nm={CUTOFF}", "prior.pairs.min_count=5", *small)


def test_the_example_is_fitted_exported_and_read_again(options, tmp_path):
    frames = repulsive(40)
    fitted = fit_model([frames], fit_plan(compose("train", *options)), tmp_path / "fit")
    soft, splines = fitted.priors
    assert type(soft) is kinds()["soft_repulsion"]
    assert soft.largest_force == pytest.approx(LARGEST, rel=1e-5)
    beyond = np.array(splines.tables[0].energy)[round(1000 * (splines.tables[0].first_sampled + 0.02)) :]
    assert np.abs(beyond).max() < 0.01 * LARGEST * CUTOFF / 2  # it left nothing
    assert fitted.figures.r2_prior == pytest.approx(1.0, abs=1e-3)
    save_bundle(tmp_path / "potential", fitted.model, fitted.priors, fitted.sets)
    bundle = load(tmp_path / "potential")
    assert bundle.priors == fitted.priors
    topology = bead_topology(frames.mapping, frames.boxes[0])
    system = create_system(bundle, topology)
    forces = system.getForces()
    assert [force.getForceGroup() for force in forces] == [0, 1, 2]
    assert isinstance(forces[0], openmm.CustomNonbondedForce)


def test_its_settings_are_judged_like_all_others(options):
    with pytest.raises(ValueError, match=r"max_frames=0: must be positive") as caught:
        fit_plan(compose("train", *options, "prior.soft_repulsion.max_frames=0"))
    assert caught.value.configured.startswith("prior.soft_repulsion.max_frames=0")
    with pytest.raises(ValueError, match=r"cutoff_nm=-1.*must be positive"):
        fit_plan(compose("train", *options, "prior.cutoff_nm=-1"))


def test_its_energies_and_forces_are_those_of_a_sum_over_pairs(options):
    frames = repulsive(1)
    prior = kinds()["soft_repulsion"](LARGEST, CUTOFF)
    energy, forces = energy_and_forces(prior.create_force(frames.mapping.topology), frames.positions[0], frames.boxes[0])
    vectors = frames.positions[0][:, None] - frames.positions[0][None]
    vectors -= 1.6 * np.round(vectors / 1.6)
    r = np.linalg.norm(vectors, axis=2)[np.triu_indices(20, 1)]
    assert energy == pytest.approx(np.sum(LARGEST * CUTOFF / 2 * np.clip(1 - r / CUTOFF, 0, None) ** 2), rel=1e-5)
    np.testing.assert_allclose(forces, frames.forces[0], atol=1e-3)
