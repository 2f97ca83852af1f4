"""A potential of priors and of a network that is as good as none, and what is known of it."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from systems import charged_mapping

from cgnnp.mapping.mapping import Mapping
from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import create_model
from cgnnp.priors import PairSpline, ScreenedCoulomb
from cgnnp.priors.pair_spline import PairTable
from cgnnp.priors.prior import Prior
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.units import thermal_energy

KT = thermal_energy(300.0)
CHARGES = {"Na": 1.0, "Cl": -1.0}
IONS = charged_mapping({"Na": 6, "Cl": 6}, CHARGES)
PAIRS = list(itertools.combinations_with_replacement(("Na", "Cl"), 2))
COULOMB = ScreenedCoulomb(CHARGES, eps_r=72.0, cutoff_nm=0.6)
R = np.linspace(0.0, 0.6, 601)
WALL_KT, FIRST_NM = 20.0, 0.3
SPLINES = PairSpline(tuple(PairTable(pair, FIRST_NM, tuple(WALL_KT * KT * (0.6 - R) / 0.05)) for pair in PAIRS), 0.6)
"""Straight lines that rise by 20 kT over 0.05 nm."""


def potential_of(mapping: Mapping = IONS, priors: Sequence[Prior] = (COULOMB, SPLINES)) -> PotentialBundle:
    """For beads in a box of 1.3 nm."""
    names = list(mapping.type_names)
    settings = {
        **{"type_names": names, "cutoff_nm": 0.6, "inner_cutoff_nm": [[0.2] * len(names)] * len(names), "features": 4},
        **{"layers": 1, "avg_num_neighbors": 5.0, "energy_scale": 1e-9, "seed": 1},
    }
    model = create_model(NequIP, settings, torch.float32)
    density = {name: [mapping.bead_types.count(name) / 1.3**3] * 2 for name in names}
    manifest = {
        "temperature_K": 300.0,
        "bead_masses_Da": mapping.per_type(mapping.masses),
        "number_density_nm3": density,
    }
    return PotentialBundle(model, tuple(priors), mapping, manifest)
