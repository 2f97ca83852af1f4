"""Built-in atomistic systems, ready to sample with OpenMM."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from openmm import Vec3, app, unit
from scipy.spatial.transform import Rotation

from cgnnp.units import number_density

WATER_MOLAR_MASS = 18.01528


@dataclass(frozen=True)
class ReferenceSystem:
    """An OpenMM topology and System with starting positions (nm); `description` is what the cache key is made of."""

    name: str
    topology: Any
    system: Any
    positions: Float[np.ndarray, "atoms 3"]
    description: dict[str, Any]


def water_spce(
    *, n_molecules: int = 216, density_g_mL: float = 0.997, cutoff_nm: float = 0.9, name: str = "water_spce"
) -> ReferenceSystem:
    """Rigid SPC/E water (Berendsen et al. 1987, 10.1021/j100308a038) in a cubic box, PME.

    Molecules start on a simple cubic lattice with random orientations: equilibrate before use.

    Raises:
        ValueError: no molecules, or a cutoff of more than half the box.
    """
    if n_molecules < 1 or density_g_mL <= 0:
        raise ValueError(f"system.n_molecules={n_molecules} and system.density_g_mL={density_g_mL}: both must be positive")
    length = (n_molecules / number_density(density_g_mL, WATER_MOLAR_MASS)) ** (1 / 3)
    if cutoff_nm > length / 2:
        raise ValueError(
            f"system.cutoff_nm={cutoff_nm:g} is more than half the box ({length / 2:.3f} nm for {n_molecules} molecules): "
            "lower it or raise system.n_molecules"
        )
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(n_molecules):
        residue = topology.addResidue("HOH", chain)
        oxygen = topology.addAtom("O", app.element.oxygen, residue)
        hydrogens = [topology.addAtom(label, app.element.hydrogen, residue) for label in ("H1", "H2")]
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    topology.setPeriodicBoxVectors(np.eye(3) * length * unit.nanometer)
    system = app.ForceField("amber14/spce.xml").createSystem(
        topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=cutoff_nm * unit.nanometer,
        rigidWater=True,
        ewaldErrorTolerance=5e-4,
    )
    system.setDefaultPeriodicBoxVectors(*(Vec3(*row) for row in np.eye(3) * length))
    description = {
        "name": name,
        "force_field": "SPC/E, rigid, PME",
        "n_molecules": n_molecules,
        "density_g_mL": density_g_mL,
        "cutoff_nm": cutoff_nm,
    }
    return ReferenceSystem(name, topology, system, _water_lattice(n_molecules, length), description)


def _water_lattice(n_molecules: int, length: float) -> Float[np.ndarray, "atoms 3"]:
    """Rigid molecules (0.1 nm, 109.47 degrees) at lattice points, randomly turned; the seed is fixed."""
    per_side = int(np.ceil(n_molecules ** (1 / 3) - 1e-9))
    points = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_molecules]
    half_angle = np.radians(109.47) / 2
    molecule = 0.1 * np.array(
        [[0, 0, 0], [np.sin(half_angle), np.cos(half_angle), 0], [-np.sin(half_angle), np.cos(half_angle), 0]]
    )
    turned = Rotation.random(n_molecules, rng=np.random.default_rng(0)).as_matrix() @ molecule.T
    return ((points + 0.5) * length / per_side)[:, None, :].repeat(3, axis=1).reshape(-1, 3) + np.swapaxes(
        turned, 1, 2
    ).reshape(-1, 3)
