"""The longest time step that a system can be sampled with, estimated from the vibrations that its constraints leave free.

The time steps are those of LangevinMiddleIntegrator. It samples configurations correctly even with steps that integrate the
fastest motion badly (Zhang et al. 2019, 10.1021/acs.jpca.9b02771).
"""

import logging

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit

from cgnnp.dynamics.openmm_topology import rigid_groups
from cgnnp.runtime.errors import SettingError

log = logging.getLogger("cgnnp")

PER_NM2 = unit.kilojoule_per_mole / unit.nanometer**2

RIGID_FS = 4.0
"""Longest time step of rigid molecules with hydrogens, common for rigid water: librations have periods of 50 fs or more."""

RIGID_HYDROGENS_FS = 2.0
"""Longest time step with constrained bonds to hydrogen. Other bonds (C=O, C-C: periods of 18 fs or more) and angles of
hydrogens are free."""

FLEXIBLE_FS = 0.5
"""Longest time step with free bonds to hydrogen: O-H vibrates with a period of 9 fs."""

HYDROGEN_DA = 1.008

ROUNDING = 1.01
"""Factor by which a time step may exceed the longest one, since masses of hydrogen are given as 1.00784 to 1.01 Da."""

LIGHTER_THAN_DA = 4.5
"""Particles below this mass are taken as hydrogens, which includes hydrogens to which mass was moved."""

HEAVY_HYDROGEN_DA = 2.9
"""Constrained hydrogens of at least this mass allow `RIGID_FS`, since their angles vibrate more slowly. Hydrogens to which
mass was moved have 3 to 4 Da."""


STEPS_PER_PERIOD = 9.0
"""Number of time steps in a period of the fastest bond between heavy particles. It allows time steps of 2.6 fs for C=O, and
of tens of fs for the soft bonds of coarse-grained beads."""


def longest_step_fs(system: openmm.System) -> float:
    """Estimate the longest sound time step from masses, bonds and constraints, fs; infinite if nothing limits it.

    With an unconstrained bond to hydrogen, it is `FLEXIBLE_FS` times the square root of the hydrogen mass over 1.008 Da. If
    all bonds to hydrogen are constrained, it is `RIGID_FS` for rigid molecules and for hydrogens with added mass, otherwise
    `RIGID_HYDROGENS_FS`. Without hydrogens, a period of the fastest harmonic bond takes `STEPS_PER_PERIOD` steps.
    """
    masses = np.array([system.getParticleMass(k).value_in_unit(unit.dalton) for k in range(system.getNumParticles())])
    bonds, periods_fs = _free_bonds(system, masses)
    light = (masses > 0) & (masses < LIGHTER_THAN_DA)
    if light[bonds].any():
        return float(FLEXIBLE_FS * np.sqrt(masses[bonds][light[bonds]].min() / HYDROGEN_DA))
    if not light.any():
        return float(periods_fs.min(initial=np.inf) / STEPS_PER_PERIOD)
    flexible = set(np.unique(bonds).tolist())
    rigid = [atom for group in rigid_groups(system) if flexible & set(group) for atom in group if light[atom]]
    return RIGID_HYDROGENS_FS if (masses[rigid] < HEAVY_HYDROGEN_DA).any() else RIGID_FS


def _free_bonds(system: openmm.System, masses: Float[np.ndarray, "atoms"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the bonds that can vibrate, (bonds, 2), and their periods in fs.

    Both particles have mass, and they are not in the same rigid group. Bonds that are not harmonic have infinite periods.
    """
    group = np.full(len(masses), -1)
    for number, atoms in enumerate(rigid_groups(system)):
        group[list(atoms)] = number
    pairs, constants = [], []
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce | openmm.CustomBondForce):
            bonds = [force.getBondParameters(k) for k in range(force.getNumBonds())]
            pairs += [bond[:2] for bond in bonds]
            harmonic = isinstance(force, openmm.HarmonicBondForce)
            constants += [bond[3].value_in_unit(PER_NM2) if harmonic else 0.0 for bond in bonds]
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    free = ((group[first] < 0) | (group[first] != group[second])) & (masses[first] > 0) & (masses[second] > 0)
    first, second = first[free], second[free]
    reduced = masses[first] * masses[second] / (masses[first] + masses[second])
    with np.errstate(divide="ignore"):
        periods_ps = 2 * np.pi * np.sqrt(reduced / np.array(constants)[free])
    return np.stack([first, second], axis=1), 1000 * periods_ps


def check_time_step(name: str, timestep_fs: float, system: openmm.System, stated_fs: float | None) -> None:
    """Refuse a time step longer than the system states, or warn of one longer than the estimate if it states none.

    Args:
        name: name of the system.
        timestep_fs: time step that is asked for, fs.
        system: OpenMM System that is sampled.
        stated_fs: longest time step that the system states, fs; None to estimate it and only warn.

    Raises:
        ValueError: the time step is longer than the stated one.
    """
    longest = longest_step_fs(system) if stated_fs is None else stated_fs
    if timestep_fs <= longest * ROUNDING:
        return
    step = f"timestep_fs={timestep_fs:g}"
    text = f"{step} is longer than the {longest:.2g} fs that bonds and constraints of {name} allow"
    if stated_fs is not None:
        raise SettingError("reference", f"{text}: set timestep_fs={longest:g}")
    log.warning(
        "%s (estimated from bonds, constraints and masses): set it to %.2g fs unless you know better. T_conf of the data "
        "shows whether the time step was too long",
        *(text, longest),
    )
