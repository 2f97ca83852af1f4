"""Two gases of ions, and what a page or a folder has of a finding."""

from dataclasses import replace

import pytest
from potentials import IONS
from systems import hard_gas

from cgnnp.analysis.observables.observable import BothSides


@pytest.fixture(scope="session")
def ions():
    """Two runs of one gas of ions, of which the first knows that 0.9 of its volume is solvent."""
    atomistic, coarse = (hard_gas(60, 12, 1.3, diameter=0.3, seed=seed, mapping=IONS) for seed in (1, 2))
    known = replace(atomistic.meta, provenance={"solvent": {"volume_fraction": 0.9}})
    return BothSides(replace(atomistic, meta=known), coarse)
