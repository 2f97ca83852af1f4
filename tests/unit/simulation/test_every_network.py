"""Every network leaves as a bundle, whose two back ends agree with it, and whose beads move without harm."""

import numpy as np
import pytest
import torch

import cgnnp
from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
from cgnnp.models.allegro import Allegro
from cgnnp.models.mace import MACE
from cgnnp.models.nequip import NequIP
from cgnnp.models.pair import Pair
from cgnnp.models.registry import create_model
from cgnnp.models.schnet import SchNet
from cgnnp.priors import PairSplineFit, prior_forces
from cgnnp.simulation.openmm.forces import has_torch_force, in_plain_torch
from cgnnp.simulation.openmm.system import energy_and_forces
from cgnnp.simulation.potential_files import save_bundle
from cgnnp.simulation.run import SimulationSettings, open_replicas, simulate

NETWORKS = {
    "pair": (Pair, {}),
    "schnet": (SchNet, {"layers": 1, "features": 8}),
    "nequip in both parities": (NequIP, {"layers": 4, "l_max": 1, "features": 4, "parity": "both"}),
    "nequip by layer": (NequIP, {"layers": 2, "l_max": 1, "features": [8, 4]}),
    "allegro": (Allegro, {"features": 4, "scalars": 8}),
    "mace": (MACE, {"l_max": 1, "features": 4, "correlation": 2}),
}
PROTOCOL = LangevinProtocol(
    temperature_K=300.0, timestep_fs=2.0, friction_per_ps=5.0, equilibration_ps=0.2, frame_interval_ps=0.1, seed=1
)


@pytest.mark.medium
@pytest.mark.parametrize("name", NETWORKS)
def test_a_bundle_has_the_forces_of_its_network_and_runs(name, gas, tmp_path):
    kind, own = NETWORKS[name]
    prior = PairSplineFit(cutoff_nm=0.7, min_count=5).fit(gas)
    settings = {"type_names": ["AR"], "cutoff_nm": 0.6, "inner_cutoff_nm": [[prior.first_sampled()["AR", "AR"]]]}
    settings |= {"avg_num_neighbors": 20.0, "energy_scale": 1.0, "energy_bound_kJ_mol": 5.0, **own}
    model = create_model(kind, settings, torch.float32)
    path = save_bundle(tmp_path / "potential", model, [prior], [gas])
    bundle = cgnnp.load(path)
    positions, box = gas.positions[-1].astype(float), gas.boxes[-1]
    types = torch.zeros(len(positions), dtype=torch.int64)
    _, network = in_plain_torch(model, torch.from_numpy(positions), torch.from_numpy(np.array(box, dtype=float)), types)
    expected = network + prior_forces([prior], gas[-1:], "CPU")[0]
    for backend in ("python", "torch") if has_torch_force() else ("python",):
        _, forces = energy_and_forces(bundle, positions, box, backend)
        np.testing.assert_allclose(forces, expected, atol=1e-3 * np.abs(expected).max())
    folders = simulate(path, tmp_path / "run", SimulationSettings(length_ps=2.0, replicas=1), PROTOCOL)
    frames = open_replicas(folders)
    assert len(frames) == 20
    assert np.isfinite(frames.positions).all()
