"""An OpenMM System of rigid three-site water whose centres of mass are held still.

OpenMM cannot hold a constrained atom still by setting its mass to zero. Each molecule therefore gets a neutral particle X at
its centre of mass, which is so heavy that it hardly moves. Constraints (SETTLE) hold X-H, X-H and H-H, and the oxygen
becomes a massless virtual site:

    r_O = (M r_X - m_H (r_H1 + r_H2)) / m_O,    M = m_O + 2 m_H.

The net force on the molecule is f_X + f_H1 + f_H2. The engine spreads the force on O over X, H1 and H2. It still reports
the force on O, which must not be added again. A rigid body that turns about X has a constant metric, so its orientations
follow exp(-u/kT) with the uniform measure, whatever its masses are.
"""

from dataclasses import dataclass

import numpy as np
import openmm
from jaxtyping import Float, Int
from openmm import unit

from cgnnp.mapping.atomistic import Atomistic
from cgnnp.mapping.block import Block

PINNED_MASS = 1e12
"""Mass of X in Da. Thermal motion displaces X by about 1e-5 nm in 100 ps."""

RELAXATION_PS, RELAXATION_FRICTION_PER_PS = 0.4, 10.0
"""After velocities are drawn, this time is simulated with this friction and discarded: at a time step of 4 fs the new
velocities are about 3 % too hot."""

KNOWN_FORCES = (
    *("NonbondedForce", "HarmonicBondForce", "HarmonicAngleForce", "PeriodicTorsionForce", "RBTorsionForce"),
    *("CMAPTorsionForce", "CustomBondForce", "CustomAngleForce", "CustomTorsionForce", "CustomCompoundBondForce"),
    *("CustomExternalForce", "CMMotionRemover"),
)
"""Types of forces that need no parameters for the additional particles X, or that get them in `pin_centers`."""

INSTEAD = (
    "choose beads that are single free atoms, such as ions, or centres of mass of rigid three-site water "
    "(mapping=water_cg), or choose reference=langevin"
)


@dataclass(frozen=True)
class RigidWaters:
    """Rigid symmetric three-site waters: numbers of the atoms O, H, H, their masses in Da, H-H and O-H distances in nm."""

    atoms: Int[np.ndarray, "molecules 3"]
    masses: Float[np.ndarray, "molecules 3"]
    hydrogen_distance: Float[np.ndarray, "molecules"]
    oxygen_distance: Float[np.ndarray, "molecules"]

    @property
    def fractions(self) -> Float[np.ndarray, "molecules 3"]:
        """Mass fractions of O, H and H in each molecule."""
        return self.masses / self.masses.sum(axis=1, keepdims=True)

    def centers(self, positions: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "molecules 3"]:
        """Return the centres of mass, nm. Molecules must be whole."""
        return np.einsum("ma,max->mx", self.fractions, positions[self.atoms])


def water_atoms(where: str, block: Block, atomistic: Atomistic) -> Int[np.ndarray, "molecules 3"]:
    """Return the atoms O, H, H of every copy of a molecule whose bead is the centre of mass of rigid three-site water.

    Error messages begin with `where`, which names the bead.

    Raises:
        ValueError: the bead is not the centre of mass of rigid three-site water.
    """
    count, atoms = block.configuration.nnz, block.atoms
    if sites := sorted(set(atoms.reshape(-1).tolist()) & set(atomistic.virtual_sites)):
        raise ValueError(
            f"{where}: the bead is a mean of {count} atoms of a molecule with a virtual site (atom {sites[0]}), but only "
            f"water models with three sites can be held still: take a three-site model, or {INSTEAD}"
        )
    groups = {frozenset(group) for group in atomistic.rigid_groups}
    rigid = all(frozenset(molecule) in groups for molecule in atoms.tolist())
    if block.n_beads != 1 or count != 3 or atoms.shape[1] != 3 or not rigid:
        raise ValueError(
            f"{where}: the bead is a mean of {count} atoms. It can be held still only if these are a whole molecule of "
            f"rigid three-site water (constraints on its three distances): make the water rigid, or {INSTEAD}"
        )
    order = np.argsort(-atomistic.masses[atoms[0]], kind="stable")
    masses = atomistic.masses[atoms]
    fractions = masses / masses.sum(axis=1, keepdims=True)
    if not np.allclose(block.configuration.toarray(), fractions, rtol=0, atol=1e-5):
        raise ValueError(
            f"{where}: the bead is not at the centre of mass, and no other mean of the atoms of rigid water can be held "
            f"still: move the bead to the centre of mass (mapping=water_cg), or {INSTEAD}"
        )
    if not np.allclose(block.force.toarray(), 1.0):
        raise ValueError(
            f"{where}: the force on the bead is not the net force on the molecule, which a bead held still feels (the force "
            f"map is {block.force.toarray().tolist()}, expected ones): correct the mapping, or {INSTEAD}"
        )
    return atoms[:, order]


def rigid_waters(system: openmm.System, atoms: Int[np.ndarray, "molecules 3"]) -> RigidWaters:
    """Return masses and distances of molecules (O, H, H) that constraints make rigid.

    Raises:
        ValueError: a molecule is not rigid or not symmetric, or a force cannot handle the additional particles X.
    """
    for force in system.getForces() if len(atoms) else []:
        name = type(force).__name__
        if name not in KNOWN_FORCES and "Barostat" not in name:
            raise ValueError(
                f"the system has a {name}, which cannot handle the additional particles that hold water still: {INSTEAD}"
            )
    rods = {}
    for k in range(system.getNumConstraints()):
        i, j, distance = system.getConstraintParameters(k)
        rods[frozenset((i, j))] = distance.value_in_unit(unit.nanometer)
    masses = np.array([[system.getParticleMass(i).value_in_unit(unit.dalton) for i in three] for three in atoms.tolist()])
    pairs = [[rods.get(frozenset(pair), np.nan) for pair in ((h, g), (o, h), (o, g))] for o, h, g in atoms.tolist()]
    distances, masses = np.array(pairs).reshape(-1, 3), masses.reshape(-1, 3)
    symmetric = np.abs(distances[:, 1] - distances[:, 2]) < 1e-6  # False if a constraint is missing: its distance is NaN
    symmetric &= np.abs(masses[:, 1] - masses[:, 2]) < 1e-6
    if not symmetric.all():
        bad = atoms[~symmetric][0].tolist()
        raise ValueError(
            f"atoms {bad}: these are not a symmetric molecule (equal O-H distances, equal masses of H) that three "
            f"constraints make rigid: {INSTEAD}"
        )
    return RigidWaters(atoms, masses, distances[:, 0], distances[:, 1])


def pin_centers(system: openmm.System, waters: RigidWaters) -> Int[np.ndarray, "molecules"]:
    """Change a System so that the centres of mass of waters do not move, and return the numbers of the new particles X.

    The particles X come after all others, so atoms keep their numbers. Constraints of other molecules stay. Energies change
    by a constant, because the dispersion correction counts the new particles.

    Raises:
        ValueError: the System does not have exactly one NonbondedForce.
    """
    nonbonded = [force for force in system.getForces() if isinstance(force, openmm.NonbondedForce)]
    if len(nonbonded) != 1:
        raise ValueError(f"the system has {len(nonbonded)} NonbondedForces, but exactly one is expected: {INSTEAD}")
    of_waters = set(waters.atoms.reshape(-1).tolist())
    for k in reversed(range(system.getNumConstraints())):
        if system.getConstraintParameters(k)[0] in of_waters:
            system.removeConstraint(k)
    half, oxygen, hydrogen = waters.hydrogen_distance / 2, waters.masses[:, 0], waters.masses[:, 1]
    total = oxygen + 2 * hydrogen
    height = np.sqrt(waters.oxygen_distance**2 - half**2) * oxygen / total  # distance of X from the line H-H, nm
    centers = []
    for k, (o, first, second) in enumerate(waters.atoms.tolist()):
        x = system.addParticle(PINNED_MASS)
        for hydrogens in (first, second):
            system.addConstraint(x, hydrogens, float(np.hypot(height[k], half[k])))
        system.addConstraint(first, second, float(2 * half[k]))
        system.setParticleMass(o, 0.0)
        weight = -float(hydrogen[k] / oxygen[k])
        system.setVirtualSite(
            o, openmm.ThreeParticleAverageSite(x, first, second, float(total[k] / oxygen[k]), weight, weight)
        )
        nonbonded[0].addParticle(0.0, 0.1, 0.0)
        for atom in (o, first, second):
            nonbonded[0].addException(x, atom, 0.0, 0.1, 0.0)
        centers.append(x)
    return np.array(centers, dtype=np.int64)
