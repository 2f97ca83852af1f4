"""Built-in atomistic systems, ready to sample with OpenMM."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import Vec3, app, unit
from scipy.spatial.transform import Rotation

from cgnnp.units import number_density

WATER_MOLAR_MASS = 18.01528
SWITCH_WIDTH = 0.1
"""Width of the switch that takes Lennard-Jones to zero at the cutoff, nm."""


@dataclass(frozen=True)
class Site:
    """Mass (Da), charge (e) and Lennard-Jones parameters (nm, kJ/mol) of an atom."""

    element: str
    mass: float
    charge: float
    sigma: float
    epsilon: float


OXYGEN = Site("O", 15.9994, -0.8476, 0.3169, 0.65)
HYDROGEN = Site("H", 1.008, 0.4238, 0.1, 0.0)
SODIUM = Site("Na", 22.9898, 1.0, 0.2583, 0.4184)
CHLORIDE = Site("Cl", 35.453, -1.0, 0.4401, 0.4184)
OH_NM, HH_NM = 0.1, 0.2 * np.sin(np.radians(109.47) / 2)


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
    topology, positions = _water_lattice(n_molecules, density_g_mL, cutoff_nm)
    system = app.ForceField("amber14/spce.xml").createSystem(topology, **_pme(cutoff_nm), rigidWater=True)
    description = {
        "name": name,
        "force_field": "SPC/E, rigid, PME",
        "n_molecules": n_molecules,
        "density_g_mL": density_g_mL,
        "cutoff_nm": cutoff_nm,
    }
    return ReferenceSystem(name, topology, system, positions, description)


def water(
    *,
    force_field: str = "amber14/tip4pew.xml",
    rigid: bool = True,
    n_molecules: int = 216,
    density_g_mL: float = 0.997,
    cutoff_nm: float = 0.9,
    name: str = "water",
) -> ReferenceSystem:
    """Water of one of OpenMM's force fields, with its virtual sites, in a cubic box, PME. Starts as `water_spce` does.

    Flexible water (`rigid` false) wants a time step of 0.5 fs, and a force field with bonds and angles, which files of rigid
    models often have too.

    Raises:
        ValueError: OpenMM has no such force field; otherwise as `water_spce`.
    """
    topology, positions = _water_lattice(n_molecules, density_g_mL, cutoff_nm)
    try:
        field = app.ForceField(force_field)
    except ValueError as error:
        raise ValueError(
            f"system.force_field={force_field}: {error}: name one of OpenMM's, e.g. amber14/tip4pew.xml"
        ) from error
    modeller = app.Modeller(topology, positions * unit.nanometer)
    modeller.addExtraParticles(field)
    system = field.createSystem(modeller.topology, **_pme(cutoff_nm), rigidWater=rigid)
    description = {
        "name": name,
        "force_field": force_field,
        "rigid": rigid,
        "n_molecules": n_molecules,
        "density_g_mL": density_g_mL,
        "cutoff_nm": cutoff_nm,
    }
    found = np.array(modeller.positions.value_in_unit(unit.nanometer))
    return ReferenceSystem(name, modeller.topology, system, found, description)


def _pme(cutoff_nm: float) -> dict[str, Any]:
    return {
        "nonbondedMethod": app.PME,
        "nonbondedCutoff": cutoff_nm * unit.nanometer,
        "ewaldErrorTolerance": 5e-4,
    }


def _water_lattice(n_molecules: int, density: float, cutoff: float) -> tuple[Any, Float[np.ndarray, "atoms 3"]]:
    """Topology with box, and starting positions, of water molecules."""
    if n_molecules < 1 or density <= 0:
        raise ValueError(f"system.n_molecules={n_molecules} and system.density_g_mL={density}: both must be positive")
    length = (n_molecules / number_density(density, WATER_MOLAR_MASS)) ** (1 / 3)
    if cutoff > length / 2:
        raise ValueError(
            f"system.cutoff_nm={cutoff:g} is more than half the box ({length / 2:.3f} nm for {n_molecules} molecules): "
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
    return topology, _place_waters(_lattice(n_molecules, length))


def nacl_spce(
    *, n_pairs: int = 64, n_water: int = 810, density_g_mL: float = 1.15, cutoff_nm: float = 1.2, name: str = "nacl_spce"
) -> ReferenceSystem:
    """Sodium chloride in rigid SPC/E water in a cubic box: PME, Lorentz-Berthelot mixing, a switch over the last 0.1 nm.

    Ions of Smith and Dang (1994, 10.1063/1.466363) as in Zhang, Pagotto, Gould, Duignan (arXiv 2310.12535). Everything
    starts on a simple cubic lattice, the ions far from each other and their signs alternating, the waters with random
    orientations: equilibrate before use.

    Raises:
        ValueError: no ions or no water, or a cutoff that the box or the switch cannot hold.
    """
    if n_pairs < 1 or n_water < 1 or density_g_mL <= 0:
        raise ValueError(
            f"system.n_pairs={n_pairs}, system.n_water={n_water} and system.density_g_mL={density_g_mL}: "
            "all must be positive"
        )
    grams = n_water * (OXYGEN.mass + 2 * HYDROGEN.mass) + n_pairs * (SODIUM.mass + CHLORIDE.mass)
    length = (1.0 / number_density(density_g_mL, grams)) ** (1 / 3)
    if not SWITCH_WIDTH < cutoff_nm <= length / 2:
        raise ValueError(
            f"system.cutoff_nm={cutoff_nm:g}: must be above {SWITCH_WIDTH} nm (the width of the switch) and at most half "
            f"the box ({length / 2:.3f} nm for {n_pairs} pairs and {n_water} waters): change it or system.n_water"
        )
    topology, sites = _salt_water(n_pairs, n_water)
    topology.setPeriodicBoxVectors(np.eye(3) * length * unit.nanometer)
    system = _nonbonded_system(sites, n_water, cutoff_nm)
    system.setDefaultPeriodicBoxVectors(*(Vec3(*row) for row in np.eye(3) * length))
    description = {
        "name": name,
        "force_field": "SPC/E, Smith-Dang ions, rigid, PME",
        "n_pairs": n_pairs,
        "n_water": n_water,
        "density_g_mL": density_g_mL,
        "cutoff_nm": cutoff_nm,
    }
    points = _lattice(2 * n_pairs + n_water, length)
    ions = _spread(points, 2 * n_pairs, length)
    waters = np.delete(points, ions, axis=0)
    positions = np.concatenate([_place_waters(waters), points[ions[::2]], points[ions[1::2]]])
    return ReferenceSystem(name, topology, system, positions, description)


def _salt_water(n_pairs: int, n_water: int) -> tuple[Any, list[Site]]:
    """Topology and parameters of waters (O, H, H), then sodium, then chloride ions."""
    topology, sites = app.Topology(), []
    kinds: list[tuple[str, dict[str, Site], int]] = [
        ("HOH", {"O": OXYGEN, "H1": HYDROGEN, "H2": HYDROGEN}, n_water),
        ("NA", {"NA": SODIUM}, n_pairs),
        ("CL", {"CL": CHLORIDE}, n_pairs),
    ]
    for residue_name, atoms, count in kinds:
        chain = topology.addChain()
        for _ in range(count):
            residue = topology.addResidue(residue_name, chain)
            added = []
            for label, site in atoms.items():
                added.append(topology.addAtom(label, app.Element.getBySymbol(site.element), residue))
                sites.append(site)
            for hydrogen in added[1:]:
                topology.addBond(added[0], hydrogen)
    return topology, sites


def _nonbonded_system(sites: list[Site], n_water: int, cutoff: float) -> Any:
    """A System of rigid waters (the first 3 n_water sites) and single atoms, without forces inside a molecule.

    OpenMM's own mixing rule is Lorentz-Berthelot.
    """
    system, force = openmm.System(), openmm.NonbondedForce()
    for site in sites:
        system.addParticle(site.mass)
        force.addParticle(site.charge, site.sigma, site.epsilon)
    for oxygen in range(0, 3 * n_water, 3):
        for i, j, distance in ((0, 1, OH_NM), (0, 2, OH_NM), (1, 2, HH_NM)):
            system.addConstraint(oxygen + i, oxygen + j, distance)
            force.addException(oxygen + i, oxygen + j, 0.0, 1.0, 0.0)
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    force.setCutoffDistance(cutoff)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(cutoff - SWITCH_WIDTH)
    system.addForce(force)
    return system


def _lattice(n_points: int, length: float) -> Float[np.ndarray, "points 3"]:
    """The first points of a simple cubic lattice that fills the box."""
    per_side = int(np.ceil(n_points ** (1 / 3) - 1e-9))
    points = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_points]
    return (points + 0.5) * length / per_side


def _spread(points: Float[np.ndarray, "points 3"], count: int, length: float) -> list[int]:
    """Numbers of points chosen one after the other, each as far from the chosen ones as can be (periodic, cubic)."""
    chosen, nearest = [0], np.full(len(points), np.inf)
    while len(chosen) < count:
        vectors = points - points[chosen[-1]]
        vectors -= length * np.round(vectors / length)
        nearest = np.minimum(nearest, np.linalg.norm(vectors, axis=1))
        chosen.append(int(nearest.argmax()))
    return chosen


def _place_waters(points: Float[np.ndarray, "molecules 3"]) -> Float[np.ndarray, "atoms 3"]:
    """Rigid molecules (0.1 nm, 109.47 degrees) with their oxygens at the points, randomly turned; the seed is fixed."""
    half_angle = np.radians(109.47) / 2
    molecule = OH_NM * np.array(
        [[0, 0, 0], [np.sin(half_angle), np.cos(half_angle), 0], [-np.sin(half_angle), np.cos(half_angle), 0]]
    )
    turned = Rotation.random(len(points), rng=np.random.default_rng(0)).as_matrix() @ molecule.T
    return points[:, None, :].repeat(3, axis=1).reshape(-1, 3) + np.swapaxes(turned, 1, 2).reshape(-1, 3)
