"""The longest time step that a system can be sampled with, from what its constraints leave to vibrate.

Steps are those of LangevinMiddleIntegrator, whose configurations stay right up to steps that integrate the fastest motion
badly (Zhang et al. 2019, 10.1021/acs.jpca.9b02771).
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
"""Rigid molecules with hydrogens: what is left are librations of 50 fs and slower (rigid water is commonly run so)."""

RIGID_HYDROGENS_FS = 2.0
"""Bonds to hydrogen constrained, others (C=O, C-C: 18 fs and slower) and angles of hydrogens free."""

FLEXIBLE_FS = 0.5
"""Bonds to hydrogen free: O-H has a period of 9 fs."""

HYDROGEN_DA = 1.008

ROUNDING = 1.01
"""Masses of hydrogen are given as 1.00784 to 1.01 Da."""

LIGHTER_THAN_DA = 4.5
"""Particles below this are hydrogens, heavy ones too, where they are bonded to something heavier."""

HEAVY_HYDROGEN_DA = 2.9
"""From this mass on, 3 to 4 Da where mass was moved to them, constrained hydrogens allow `RIGID_FS`: angles are slower."""


STEPS_PER_PERIOD = 9.0
"""Of bonds between heavy particles: 2.6 fs for C=O, tens of fs for the soft bonds of coarse-grained beads."""


def longest_step_fs(system: openmm.System) -> float:
    """The longest sound time step, an estimate from masses, bonds and constraints, fs; infinite where nothing limits it.

    A bond to hydrogen that no constraint holds allows `FLEXIBLE_FS` times the square root of the hydrogen's mass over 1.008;
    hydrogens that are all held, `RIGID_FS` where their molecules are rigid or they are heavy, else `RIGID_HYDROGENS_FS`.
    Without hydrogens a period of the fastest harmonic bond takes `STEPS_PER_PERIOD` steps.
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
    """Pairs of particles with mass that a bond force acts on and no rigid group has both of, (bonds, 2), and periods in fs.

    Periods of bonds that are not harmonic are infinite.
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
    """Refuse a time step that a built-in system says is too long, and warn of one that an estimate says is.

    Args:
        name: of the system.
        timestep_fs: that is asked for.
        system: what is sampled.
        stated_fs: the longest step that its maker states; None for an estimate, of which nothing is refused.

    Raises:
        ValueError: longer than the stated one.
    """
    longest = longest_step_fs(system) if stated_fs is None else stated_fs
    if timestep_fs <= longest * ROUNDING:
        return
    step = f"timestep_fs={timestep_fs:g}"
    text = f"{step} is longer than the {longest:.2g} fs that bonds and constraints of {name} allow"
    if stated_fs is not None:
        raise SettingError("reference", f"{text}: set timestep_fs={longest:g}")
    log.warning(
        "%s, by an estimate from them and from masses: set it to %.2g fs unless you know better; T_conf of the "
        "data will tell",
        *(text, longest),
    )
