"""The one system of units inside the package: nm, ps, Da, kJ/mol, e, K (OpenMM's).

Forces are in kJ/mol/nm, number densities in nm^-3. Nothing is converted inside the package; readers convert at the border.
"""

import math
from collections.abc import Sequence

from cgnnp.runtime.errors import SettingError

BOLTZMANN = 8.31446261815324e-3
"""Boltzmann constant times Avogadro's, kJ/mol/K (CODATA 2018, exact)."""

AVOGADRO_PER_NM3 = 0.602214076
"""Avogadro's constant for volumes in nm^3: (g/mL) / (g/mol) * 602.214076 nm^-3, here per (mol/L)."""

COULOMB = 138.93545764438198
"""1 / (4 pi eps_0), kJ/mol nm/e^2 (CODATA 2018)."""

NEUTRAL = 1e-6
"""A charge (e) that counts as none."""

SAME_TEMPERATURE = 0.1
"""Temperatures (K) that are no farther apart are the same."""

UNITS = {"length": "nm", "time": "ps", "mass": "Da", "energy": "kJ/mol", "force": "kJ/mol/nm", "temperature": "K"}
"""What is written beside stored numbers, and what is refused when it differs."""


def thermal_energy(temperature: float) -> float:
    """k_B T in kJ/mol at a temperature in K."""
    return BOLTZMANN * temperature


def solvent_fraction(concentration_M: float, molar_volume_cm3_mol: float) -> float:
    """phi_w = 1 - c V: the volume fraction of the solvent beside a salt of a partial molar volume.

    >>> round(solvent_fraction(4.0, 19.6), 3)
    0.922

    Raises:
        ValueError: the salt fills more than the whole volume, or its concentration is negative.
    """
    phi = 1.0 - concentration_M * molar_volume_cm3_mol / 1000.0
    if not (phi > 0.0 and concentration_M >= 0.0):
        raise ValueError(
            f"{concentration_M:g} mol/L of a salt of {molar_volume_cm3_mol:g} cm3/mol leave the solvent a volume fraction "
            f"of {phi:.3g}: expected more than 0; check units (mol/L, cm3/mol)"
        )
    return phi


def check_permittivity(group: str, value: float) -> None:
    """Refuse what is no static dielectric constant.

    Raises:
        SettingError: a value that is not positive and finite.
    """
    if not 0 < value < float("inf"):
        raise SettingError(
            group,
            f"eps_r={value}: a dielectric constant is positive, 1 in vacuum, near 70 in water: give that of the solvent",
        )


def number_density(density_g_mL: float, molar_mass: float) -> float:
    """Molecules per nm^3 of a liquid of a density in g/mL and a molar mass in g/mol."""
    return density_g_mL / molar_mass * 1000.0 * AVOGADRO_PER_NM3


def check_neutral(charges: Sequence[float], what: str) -> None:
    """Refuse beads whose charges do not add up to zero.

    Raises:
        ValueError: with the net charge.
    """
    net = math.fsum(charges)
    if abs(net) > NEUTRAL * max(1, len(charges)):
        raise ValueError(
            f"{what} has a net charge of {net:+.4g} e, which a periodic box cannot carry: its Coulomb energy would be "
            "that of a neutralising background. Use as many positive as negative charges (select the counter-ions too)"
        )
