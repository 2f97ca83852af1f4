"""The static dielectric constant of a solvent: from a table of water models, stated, or computed from a simulation.

With conducting boundaries (Ewald sums as in OpenMM's PME; Neumann 1983, 10.1080/00268978300102721) it is

    eps_r = 1 + (<M^2> - <M>^2) / (3 eps_0 V k T),

where M is the dipole moment of the box and V its volume. The molecules must be neutral and whole. Only the motion of the
atoms contributes: the models have no electronic polarisation.
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
    """A static dielectric constant near room temperature and 1 bar, with the publication that it is taken from."""

    value: float
    temperature_K: float
    source: str


TABLE = {
    "spce": Permittivity(71.0, 298.0, "SPC/E, Kusalik and Svishchev 1994, 10.1126/science.265.5176.1219"),
    "tip3p": Permittivity(97.0, 300.0, "TIP3P, Hoechtl et al. 1998, 10.1063/1.477104"),
    "tip4pew": Permittivity(62.9, 298.0, "TIP4P-Ew, Horn et al. 2004, 10.1063/1.1683075"),
}
"""Dielectric constants from simulations with Ewald sums, by the names of water models in
`cgnnp.reference.systems.electrolyte`."""


def solvent(eps_r: float | None, water: str | None = None, eps_r_stderr: float | None = None) -> dict[str, Any]:
    """Return what a data set records about its solvent; nothing if neither a value nor a water model is given.

    The entries are `eps_r` and `eps_r_source`. A value from the table has the entry `eps_r_temperature_K`, the temperature
    at which it holds. A value that was given has the entry `eps_r_stderr`, if the standard error was given too.

    Args:
        eps_r: dielectric constant, which is used instead of the one in the table.
        water: name of a water model in the table.
        eps_r_stderr: standard error of `eps_r`, if it was measured.

    Raises:
        ValueError: `eps_r` is not positive, or `eps_r_stderr` is negative or given without `eps_r`.
    """
    if eps_r_stderr is not None and (eps_r is None or not 0 <= eps_r_stderr < np.inf):
        raise SettingError(
            "system",
            f"eps_r_stderr={eps_r_stderr}: the standard error of eps_r={eps_r} must be a finite number, 0 or more, and "
            "eps_r must be given too: correct it, or set eps_r_stderr=null if it is not known",
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
    """Return the dielectric constant, with its block error, from the dipole moments (e nm) of a box.

    Boundaries must be conducting. Fluctuations are taken about the average of the frames. Runs shorter than some hundred
    relaxation times (one is 10 ps in water at room temperature) therefore give results that are too low as well as noisy.
    For the shortest runs `reliable` is False.

    Raises:
        ValueError: there are fewer than two frames, or the volume or the temperature is not positive.
    """
    if not (volume_nm3 > 0 and temperature_K > 0):
        raise ValueError(f"volume_nm3={volume_nm3:g} and temperature_K={temperature_K:g}: both must be positive")
    factor = 4 * np.pi * COULOMB / (3 * volume_nm3 * thermal_energy(temperature_K))
    centered = np.asarray(dipoles, np.float64) - np.mean(dipoles, axis=0, dtype=np.float64)
    samples = np.column_stack([centered, np.sum(centered**2, axis=1)])
    return block_estimate(samples, lambda mean: 1.0 + factor * float(mean[3] - mean[:3] @ mean[:3]))
