"""The units inside the package: nm, ps, Da, kJ/mol, e and K, as in OpenMM.

Forces are in kJ/mol/nm, number densities in nm^-3. Values in other units are converted when files are read, and nowhere
else.
"""

import math
from collections.abc import Sequence

from cgnnp.runtime.errors import SettingError

BOLTZMANN = 8.31446261815324e-3
"""Boltzmann constant times Avogadro's constant, kJ/mol/K (CODATA 2018, exact)."""

AVOGADRO_PER_NM3 = 0.602214076
"""Number density in nm^-3 of a solution of 1 mol/L."""

COULOMB = 138.93545764438198
"""Coulomb constant 1 / (4 pi eps_0), kJ/mol nm/e^2 (CODATA 2018)."""

NEUTRAL = 1e-6
"""Charges (e) up to this magnitude count as zero."""

SAME_TEMPERATURE = 0.1
"""Temperatures (K) whose difference is at most this count as equal."""

UNITS = {"length": "nm", "time": "ps", "mass": "Da", "energy": "kJ/mol", "force": "kJ/mol/nm", "temperature": "K"}
"""Units that are stored in the metadata of files. Files with other units are refused."""


def thermal_energy(temperature: float) -> float:
    """Return k_B T in kJ/mol at a temperature in K."""
    return BOLTZMANN * temperature


def solvent_fraction(concentration_M: float, molar_volume_cm3_mol: float) -> float:
    """Return phi_w = 1 - c V, the volume fraction of the solvent in a solution of a salt with partial molar volume V.

    >>> round(solvent_fraction(4.0, 19.6), 3)
    0.922

    Raises:
        ValueError: the salt would fill the whole volume, or its concentration is negative.
    """
    phi = 1.0 - concentration_M * molar_volume_cm3_mol / 1000.0
    if not (phi > 0.0 and concentration_M >= 0.0):
        raise ValueError(
            f"with {concentration_M:g} mol/L of a salt of {molar_volume_cm3_mol:g} cm3/mol, the volume fraction of the "
            f"solvent is {phi:.3g}, expected more than 0 and at most 1: check the units (mol/L, cm3/mol)"
        )
    return phi


def check_permittivity(group: str, value: float) -> None:
    """Raise an error if a value cannot be a static dielectric constant.

    Raises:
        SettingError: the value is not positive and finite.
    """
    if not 0 < value < float("inf"):
        raise SettingError(
            group,
            f"eps_r={value}: a dielectric constant must be positive (1 in vacuum, near 70 in water): set the value of the "
            "solvent",
        )


def number_density(density_g_mL: float, molar_mass: float) -> float:
    """Return the number of molecules per nm^3 in a liquid, from its density in g/mL and its molar mass in g/mol."""
    return density_g_mL / molar_mass * 1000.0 * AVOGADRO_PER_NM3


def check_neutral(charges: Sequence[float], what: str) -> None:
    """Raise an error if charges do not sum to zero. `what` names the charged object in the message.

    Raises:
        ValueError: there is a net charge, which the message states.
    """
    net = math.fsum(charges)
    if abs(net) > NEUTRAL * max(1, len(charges)):
        raise ValueError(
            f"{what} has a net charge of {net:+.4g} e, but a periodic box must be neutral, since its Coulomb energy would "
            "otherwise include a neutralising background: use as many positive as negative charges (select the "
            "counter-ions too)"
        )
