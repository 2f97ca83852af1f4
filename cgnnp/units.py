"""The one system of units inside the package: nm, ps, Da, kJ/mol, e, K (OpenMM's).

Forces are in kJ/mol/nm, number densities in nm^-3. Nothing is converted inside the package; readers convert at the border.
"""

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


def number_density(density_g_mL: float, molar_mass: float) -> float:
    """Molecules per nm^3 of a liquid of a density in g/mL and a molar mass in g/mol."""
    return density_g_mL / molar_mass * 1000.0 * AVOGADRO_PER_NM3
