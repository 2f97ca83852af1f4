"""The static dielectric constant of a solvent: from a table of water models, given, or measured from a simulation.

Measured with conducting boundaries (Ewald sums as OpenMM's PME has them; Neumann 1983, 10.1080/00268978300102721),

    eps_r = 1 + (<M^2> - <M>^2) / (3 eps_0 V k T),

M the dipole moment of the box, whose molecules must be neutral and whole, V its volume. Only what moves counts: the
models have no electronic polarisation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from cgnnp.statistics import Estimate, block_estimate
from cgnnp.units import COULOMB, thermal_energy


@dataclass(frozen=True)
class Permittivity:
    """A static dielectric constant near room temperature and 1 bar, with where it was published."""

    value: float
    temperature_K: float
    source: str


TABLE = {
    "spce": Permittivity(71.0, 298.0, "SPC/E, Kusalik and Svishchev 1994, 10.1126/science.265.5176.1219"),
    "tip3p": Permittivity(97.0, 300.0, "TIP3P, Hoechtl et al. 1998, 10.1063/1.477104"),
    "tip4pew": Permittivity(62.9, 298.0, "TIP4P-Ew, Horn et al. 2004, 10.1063/1.1683075"),
}
"""Simulated with Ewald sums; by the names of the water models in `cgnnp.reference.electrolyte`."""


def solvent(eps_r: float | None, water: str | None = None) -> dict[str, Any]:
    """What is recorded of a solvent: `eps_r` and `eps_r_source`; nothing where neither a value nor a known water is given.

    Args:
        eps_r: the value to take instead of the one in the table.
        water: water model of the table.

    Raises:
        ValueError: a value that is not positive.
    """
    if eps_r is not None:
        if not eps_r > 0:
            raise ValueError(
                f"system.eps_r={eps_r}: a dielectric constant is positive, 1 in vacuum, near 70 in water: give that of "
                "the solvent, or null for the table's"
            )
        return {"eps_r": float(eps_r), "eps_r_source": "given"}
    if water is None:
        return {}
    found = TABLE[water]
    return {"eps_r": found.value, "eps_r_source": f"{found.source} ({found.temperature_K:g} K)"}


def static_dielectric_constant(dipoles: Float[np.ndarray, "frames 3"], volume_nm3: float, temperature_K: float) -> Estimate:
    """The dielectric constant from the dipole moments (e nm) of a box under conducting boundaries, with its block error.

    The fluctuation is about the average of the frames: runs of fewer than some hundred relaxation times (10 ps in water at
    room temperature) come out low as well as noisy, and `reliable` is False for the shortest.

    Raises:
        ValueError: fewer than two frames, or a volume or temperature that is not positive.
    """
    if not (volume_nm3 > 0 and temperature_K > 0):
        raise ValueError(f"volume_nm3={volume_nm3:g} and temperature_K={temperature_K:g}: both must be positive")
    factor = 4 * np.pi * COULOMB / (3 * volume_nm3 * thermal_energy(temperature_K))
    centered = np.asarray(dipoles, np.float64) - np.mean(dipoles, axis=0, dtype=np.float64)
    samples = np.column_stack([centered, np.sum(centered**2, axis=1)])
    return block_estimate(samples, lambda mean: 1.0 + factor * float(mean[3] - mean[:3] @ mean[:3]))
