"""The other packages themselves, where they are: what they compute now is what was recorded of them, and what ours compute.

Each wants an environment of its own, whose Python is named by CGNNP_NEQUIP_PYTHON (nequip 0.19.1 and nequip-allegro
0.8.3) or CGNNP_MACE_PYTHON (mace-torch 0.3.16).
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from .allegro_weights import from_allegro
from .mace_weights import from_mace
from .nequip_weights import from_nequip
from .recorded import deviations, load, rms

SCRIPTS = Path(__file__).parents[2] / "scripts"
PEERS = {
    "nequip": ("CGNNP_NEQUIP_PYTHON", from_nequip),
    "allegro": ("CGNNP_NEQUIP_PYTHON", from_allegro),
    "mace": ("CGNNP_MACE_PYTHON", from_mace),
}


@pytest.mark.parametrize("peer", PEERS)
def test_a_package_computes_what_was_recorded_of_it_and_what_ours_computes(peer, tmp_path):
    variable, convert = PEERS[peer]
    if not (python := os.environ.get(variable)):
        pytest.skip(f"{variable} names no Python that has the package of {peer}")
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run([python, SCRIPTS / "record" / f"peer_{peer}.py", tmp_path], check=True, env=own)
    names = sorted(path.stem for path in tmp_path.glob("*.npz"))
    assert names == sorted(path.stem for path in Path(__file__).parent.joinpath(peer).glob("*.npz"))
    for name in names:
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            assert max(deviations(tmp_path / name, convert, dtype, knots=0).values()) < tolerance
        before, now = load(f"{peer}/{name}"), load(tmp_path / name)
        for key in ("energy", "atomic_energies", "forces"):
            np.testing.assert_allclose(now[key], before[key], rtol=0, atol=1e-8 * rms(before[key]))
