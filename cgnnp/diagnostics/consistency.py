"""Both tests of mapped data in one pass over its pairs: configurational temperatures and the g-YBG residual."""

from dataclasses import dataclass

from cgnnp.diagnostics.configurational_temperature import ConfigurationalTemperature, Temperatures, temperatures
from cgnnp.diagnostics.pair_fields import default_fields, pair_sums, untestable
from cgnnp.diagnostics.yvon_born_green import YvonBornGreen, ybg_residual
from cgnnp.frames.frames import Frames

CAUSES = {
    -1.0: "the forces have the wrong sign, as gradients of the energy have",
    10.0: "positions are in Angstrom where nm was stated, or forces per nm where it was per Angstrom",
    0.1: "forces are per Angstrom where nm was stated, or positions in nm where it was Angstrom",
    4.184: "forces are in kJ where kcal was stated",
    1 / 4.184: "forces are in kcal where kJ was stated",
    41.84: "forces are in kJ/mol/nm where kcal/mol/Angstrom was stated",
    1 / 41.84: "forces are in kcal/mol/Angstrom where kJ/mol/nm was stated",
    96.4853: "forces are in kJ/mol where eV was stated",
    1 / 96.4853: "forces are in eV where kJ/mol was stated",
    1 / 964.853: "forces are in eV/Angstrom where kJ/mol/nm was stated",
}
"""What T_conf over the temperature says of units that were mistaken for others."""

NEAR, CELSIUS = 0.1, 273.15
"""A ratio is taken for one of these within this part of it, or three standard errors."""


def likely_cause(found: ConfigurationalTemperature, temperature: float) -> str:
    """Why T_conf may differ from a temperature (K): what its ratio to it is known from, or all that it can be.

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
    """What to say of a T_conf that is not a temperature (K)."""
    return f"{found}, but the thermostat is at {temperature:g} K: {likely_cause(found, temperature)}"


@dataclass(frozen=True)
class Consistency:
    """T_conf of every kind of pair and of all, and the g-YBG residual, of frames at a temperature in K."""

    temperatures: Temperatures
    ybg: YvonBornGreen
    temperature: float

    def disagreements(self) -> list[str]:
        """What is not as it should be, in words; nothing where all agrees or cannot be tested."""
        rows = (*self.temperatures.by_pair, self.temperatures.combined)
        wrong = [disagreement(row, self.temperature) for row in dict.fromkeys(rows) if row.agrees(self.temperature) is False]
        return wrong + ([str(self.ybg)] if self.ybg.agrees() is False else [])


def check_consistency(frames: Frames) -> Consistency:
    """Test whether positions and forces belong to one Boltzmann distribution."""
    sums = None if untestable(frames) else pair_sums(frames, default_fields(frames))
    return Consistency(temperatures(frames, sums), ybg_residual(frames, sums=sums), frames.temperature)
