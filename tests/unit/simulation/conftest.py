from types import SimpleNamespace

import numpy as np
import pytest
from systems import add_pair_forces, hard_gas

from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import create_model
from cgnnp.priors import PairSplineFit
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.training.data import ForceSet
from cgnnp.training.force_matching import ForceMatching


def soft(r: np.ndarray) -> np.ndarray:
    """A repulsive pair force, zero at 0.7 nm."""
    return 200.0 * np.exp(-r / 0.15) * np.maximum(1 - r / 0.7, 0.0) ** 2


@pytest.fixture(scope="session")
def gas():
    """Frames of 24 soft beads in a box of 1.5 nm, closest at 0.25 nm."""
    return add_pair_forces(hard_gas(40, 24, 1.5, diameter=0.25, seed=7), soft)


@pytest.fixture(scope="session")
def make_bundle(gas, tmp_path_factory):
    """`make_bundle(dtype, trained=...)`: an exported potential of prior and network."""
    import torch

    def make(dtype=torch.float32, trained: bool = False, scale: float = 10.0):
        prior = PairSplineFit(cutoff_nm=0.7, min_count=5).fit(gas)
        first = prior.first_sampled()["AR", "AR"]
        settings = {
            **{"type_names": ["AR"], "cutoff_nm": 0.9, "inner_cutoff_nm": [[first]], "layers": 2, "features": 4},
            **{"avg_num_neighbors": 20.0, "energy_scale": scale, "seed": 3},
        }
        model = create_model(NequIP, settings, dtype)
        directory = tmp_path_factory.mktemp("bundle")
        if trained:
            parts = [ForceSet(part, np.zeros_like(part.forces)) for part in (gas[:30], gas[30:])]
            model = ForceMatching(max_epochs=3, accelerator="cpu").fit(model, parts[:1], parts[1:], directory).model
        path = save_bundle(directory / "potential", model, [prior], [gas])
        return SimpleNamespace(path=path, bundle=load(path), first=first)

    return make


@pytest.fixture(scope="session")
def exported(make_bundle):
    """A bundle with a random network in single precision."""
    return make_bundle()
