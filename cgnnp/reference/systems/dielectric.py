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

from cgnnp.runtime.errors import SettingError
from cgnnp.statistics import Estimate, block_estimate
from cgnnp.units import COULOMB, check_permittivity, thermal_energy


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
"""Simulated with Ewald sums; by the names of the water models in `cgnnp.reference.systems.electrolyte`."""


def solvent(eps_r: float | None, water: str | None = None, eps_r_stderr: float | None = None) -> dict[str, Any]:
    """What is recorded of a solvent; nothing where neither a value nor a known water is given.

    `eps_r` and `eps_r_source`; of a value from the table `eps_r_temperature_K`, at which it holds; of one that was given
    `eps_r_stderr`, where that is known.

    Args:
        eps_r: the value to take instead of the one in the table.
        water: water model of the table.
        eps_r_stderr: standard error of a value that was measured.

    Raises:
        ValueError: a value that is not positive, an error that is negative or of no value.
    """
    if eps_r_stderr is not None and (eps_r is None or not 0 <= eps_r_stderr < np.inf):
        raise SettingError(
            "system",
            f"eps_r_stderr={eps_r_stderr}: the standard error of eps_r={eps_r}: must be 0 or more, beside a value, or null",
        )
    if eps_r is not None:
        check_permittivity("system", eps_r)
        error = {} if eps_r_stderr is None else {"eps_r_stderr": float(eps_r_stderr)}
        return {"eps_r": float(eps_r), "eps_r_source": "given", **error}
    if water is None:
        return {}
    found = TABLE[water]
    return {"eps_r": found.value, "eps_r_source": found.source, "eps_r_temperature_K": found.temperature_K}


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
