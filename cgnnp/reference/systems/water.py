"""Water: SPC/E, or the water of one of OpenMM's force fields."""

from typing import Any

import numpy as np
from jaxtyping import Float
from openmm import app, unit

from cgnnp.dynamics.lattice import SPCE, WATER_MOLAR_MASS, add_waters, place_waters, simple_cubic
from cgnnp.reference.systems.system import ReferenceSystem, pme
from cgnnp.reference.systems.time_steps import FLEXIBLE_FS, RIGID_FS
from cgnnp.runtime.errors import SettingError
from cgnnp.units import number_density


def water_spce(
    *, n_molecules: int = 216, density_g_mL: float = 0.997, cutoff_nm: float = 0.9, name: str = "water_spce"
) -> ReferenceSystem:
    """Return rigid SPC/E water (Berendsen et al. 1987, 10.1021/j100308a038) in a cubic box with PME.

    Molecules start on a simple cubic lattice with random orientations: equilibrate before use.

    Raises:
        ValueError: the number of molecules or the density is not positive, or the cutoff is more than half the box.
    """
    topology, positions = _water_lattice(n_molecules, density_g_mL, cutoff_nm)
    system = app.ForceField("amber14/spce.xml").createSystem(topology, **pme(cutoff_nm), rigidWater=True)
    description = {
        "name": name,
        "force_field": "SPC/E, rigid, PME",
        "n_molecules": n_molecules,
        "density_g_mL": density_g_mL,
        "cutoff_nm": cutoff_nm,
    }
    return ReferenceSystem(name, topology, system, positions, description, longest_step_fs=RIGID_FS)


def water(
    *,
    force_field: str = "amber14/tip4pew.xml",
    rigid: bool = True,
    n_molecules: int = 216,
    density_g_mL: float = 0.997,
    cutoff_nm: float = 0.9,
    name: str = "water",
) -> ReferenceSystem:
    """Return water with one of OpenMM's force fields, with its virtual sites, in a cubic box with PME.

    Molecules start on a simple cubic lattice with random orientations: equilibrate before use. Flexible water (`rigid`
    false) needs a time step of 0.5 fs and a force field with bonds and angles. Files of rigid models often have these too.

    Raises:
        ValueError: OpenMM has no such force field; also as for `water_spce`.
    """
    topology, positions = _water_lattice(n_molecules, density_g_mL, cutoff_nm)
    try:
        field = app.ForceField(force_field)
    except ValueError as error:
        raise SettingError(
            "system", f"force_field={force_field}: {error}: name a file of OpenMM's force fields, e.g. amber14/tip4pew.xml"
        ) from error
    modeller = app.Modeller(topology, positions * unit.nanometer)
    modeller.addExtraParticles(field)
    system = field.createSystem(modeller.topology, **pme(cutoff_nm), rigidWater=rigid)
    description = {
        "name": name,
        "force_field": force_field,
        "rigid": rigid,
        "n_molecules": n_molecules,
        "density_g_mL": density_g_mL,
        "cutoff_nm": cutoff_nm,
    }
    found = np.array(modeller.positions.value_in_unit(unit.nanometer))
    step = RIGID_FS if rigid else FLEXIBLE_FS
    return ReferenceSystem(name, modeller.topology, system, found, description, longest_step_fs=step)


def _water_lattice(n_molecules: int, density: float, cutoff: float) -> tuple[Any, Float[np.ndarray, "atoms 3"]]:
    """Return the topology, with box, and the starting positions (nm) of water molecules on a lattice."""
    if n_molecules < 1 or density <= 0:
        raise SettingError("system", f"n_molecules={n_molecules} and density_g_mL={density}: both must be positive")
    length = (n_molecules / number_density(density, WATER_MOLAR_MASS)) ** (1 / 3)
    if cutoff > length / 2:
        raise SettingError(
            "system",
            f"cutoff_nm={cutoff:g} is more than half the box ({length / 2:.3f} nm for {n_molecules} molecules): "
            "lower cutoff_nm or raise n_molecules",
        )
    topology = app.Topology()
    add_waters(topology, n_molecules)
    topology.setPeriodicBoxVectors(np.eye(3) * length * unit.nanometer)
    return topology, place_waters(simple_cubic(n_molecules, length), SPCE)
