"""Consistency of positions with forces: configurational temperature and g-YBG residual, in one pass over the pairs."""

from dataclasses import dataclass

from cgnnp.diagnostics.configurational_temperature import ConfigurationalTemperature, Temperatures, temperatures
from cgnnp.diagnostics.pair_fields import default_fields, pair_sums, untestable
from cgnnp.diagnostics.yvon_born_green import YvonBornGreen, ybg_residual
from cgnnp.frames.frames import Frames

CAUSES = {
    -1.0: "the forces have the wrong sign, as gradients of the energy have",
    10.0: "positions are in Angstrom where nm was stated, or forces are per nm where per Angstrom was stated",
    0.1: "forces are per Angstrom where per nm was stated, or positions are in nm where Angstrom was stated",
    4.184: "forces are in kJ where kcal was stated",
    1 / 4.184: "forces are in kcal where kJ was stated",
    41.84: "forces are in kJ/mol/nm where kcal/mol/Angstrom was stated",
    1 / 41.84: "forces are in kcal/mol/Angstrom where kJ/mol/nm was stated",
    96.4853: "forces are in kJ/mol where eV was stated",
    1 / 96.4853: "forces are in eV where kJ/mol was stated",
    1 / 964.853: "forces are in eV/Angstrom where kJ/mol/nm was stated",
}
"""Ratios of T_conf to the temperature of the data that result from common mistakes of units, and the mistakes in words."""

NEAR, CELSIUS = 0.1, 273.15
"""A ratio matches one of `CAUSES` if it deviates by at most the fraction NEAR, or by at most three standard errors. CELSIUS
is the zero of the Celsius scale in K."""


def likely_cause(found: ConfigurationalTemperature, temperature: float) -> str:
    """Suggest why T_conf differs from the temperature of the data (K).

    A mistake of units is named if it explains the ratio of the two. Otherwise all possible causes are listed.

    >>> row = ConfigurationalTemperature((("W", "W"),), 0.25, 0.65, 1258.0, 3.0)
    >>> likely_cause(row, 300.0)
    'that is 4.19 times as much: perhaps forces are in kJ where kcal was stated'
    """
    value, stderr = found.value or 0.0, found.stderr or 0.0
    if abs(value - temperature - CELSIUS) <= max(0.02 * value, 3 * stderr):
        return "that is 273 K more: perhaps the temperature was stated in degrees Celsius"
    ratio = value / temperature
    for known, cause in CAUSES.items():
        if abs(ratio - known) <= max(NEAR * abs(known), 3 * stderr / temperature) and stderr < abs(value) / 4:
            return f"that is {ratio:.3g} times as much: perhaps {cause}"
    return "wrong force map, units, temperature or box"


def disagreement(found: ConfigurationalTemperature, temperature: float) -> str:
    """Describe in words how T_conf deviates from the temperature of the thermostat (K), and the likely cause."""
    return f"{found}, but the thermostat is at {temperature:g} K: {likely_cause(found, temperature)}"


@dataclass(frozen=True)
class Consistency:
    """Results of the consistency tests of a data set.

    Args:
        temperatures: T_conf of each kind of pair and of all pairs together.
        ybg: residual of the g-YBG equation.
        temperature: temperature of the data, K.
    """

    temperatures: Temperatures
    ybg: YvonBornGreen
    temperature: float

    def disagreements(self) -> list[str]:
        """Describe every failed test in words. The list is empty if every test passes or cannot be done."""
        rows = (*self.temperatures.by_pair, self.temperatures.combined)
        wrong = [disagreement(row, self.temperature) for row in dict.fromkeys(rows) if row.agrees(self.temperature) is False]
        return wrong + ([str(self.ybg)] if self.ybg.agrees() is False else [])


def check_consistency(frames: Frames) -> Consistency:
    """Test whether positions and forces belong to one Boltzmann distribution."""
    sums = None if untestable(frames) else pair_sums(frames, default_fields(frames))
    return Consistency(temperatures(frames, sums), ybg_residual(frames, sums=sums), frames.temperature)
