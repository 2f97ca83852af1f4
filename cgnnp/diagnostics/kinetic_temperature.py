"""Kinetic temperature of Langevin dynamics, compared with the thermostat within its expected fluctuations.

    T = 2 K / (n k_B),    with K the kinetic energy of n degrees of freedom

In the canonical ensemble 2 K / (k_B T) has a chi-squared distribution with n degrees of freedom, so T of a single frame has
the variance 2 T^2 / n. Successive frames are correlated. Energy is exchanged with the heat bath only through the friction
gamma, d<E>/dt = -2 gamma <K - K_eq>. Since K is independent of the potential energy, the integral of the autocorrelation
function of K is 1 / (2 gamma) for any interactions. The function itself is assumed to be exp(-2 gamma t), which is exact for
free particles.

The test detects time steps that are far too long even where bounded energies and walls keep the forces finite.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from cgnnp.runtime.names_in_files import DEGREES_OF_FREEDOM, KINETIC_TEMPERATURE
from cgnnp.units import BOLTZMANN

STOP_WITHIN, STOP_SIGMAS = 0.1, 6.0
"""A run is stopped when its temperature deviates by more than this fraction and by more than this number of standard errors.

The values are a choice of cgnnp. Six standard errors are exceeded by chance in 2 of 10^9 chunks. Ten per cent tolerate the
long time steps that are common in practice: the kinetic temperature of leap-frog velocities has an error of O(dt^2), even
where configurations are still accurate.
"""

WARN_WITHIN, WARN_SIGMAS = 0.03, 4.0
"""A warning is given when the temperature deviates by more than this fraction and this number of standard errors.

The values are a choice of cgnnp. Water at the default time steps (4 fs atomistic, 10 fs with one bead per molecule) deviates
by less than 1 %. One-bead water is 3 % too hot at 17 fs, and 40 % at 20 fs.
"""

SETTLING = 5.0
"""The temperature of frames is judged only if they are later than this after the start of the run, in units of 1 / gamma.

Equilibration counts as part of the run. The value is a choice of cgnnp. A run from minimised positions starts with thermal
velocities but without thermal potential energy, so about half of its kinetic energy soon becomes potential energy. The
thermostat, of friction gamma, then supplies the missing energy. In a harmonic system the deficit decays as exp(-gamma t); in
water it takes somewhat longer.
"""

BLOWN_UP = 2.0
"""A run that is hotter than this multiple of the thermostat's temperature has blown up. It is stopped at any time.

There is no such bound for low temperatures: oscillators that all start in their minimum lose all of K for a moment.
"""

NEGLIGIBLE = 30.0
"""Sums over the autocorrelation function end at this number of correlation times, where the function is exp(-30)."""


@dataclass(frozen=True)
class KineticTemperature:
    """Mean kinetic temperature of some frames, with the temperature of the thermostat.

    Args:
        value: mean kinetic temperature, K.
        stderr: its standard error in the canonical ensemble, K.
        thermostat: temperature of the thermostat, K.
    """

    value: float
    stderr: float
    thermostat: float

    @property
    def sigmas(self) -> float:
        """Deviation from the thermostat in standard errors, positive when the run is too hot.

        For few degrees of freedom the distribution of the temperature is skewed towards high values. Its cube root is very
        nearly Gaussian for any number of them, so cube roots are compared (Wilson and Hilferty 1931,
        10.1073/pnas.17.12.684).
        """
        spread = (self.stderr / self.thermostat) ** 2 / 9
        return float((np.cbrt(self.value / self.thermostat) - (1 - spread)) / np.sqrt(spread))

    @property
    def is_wrong(self) -> bool:
        """Whether the deviation exceeds both 10 % and six standard errors, or the temperature is not a number."""
        return self._beyond(STOP_WITHIN, STOP_SIGMAS)

    def is_suspect(self, sigmas: float = WARN_SIGMAS) -> bool:
        """Whether the deviation exceeds both 3 % and a number of standard errors, or the temperature is not a number."""
        return self._beyond(WARN_WITHIN, sigmas)

    def _beyond(self, within: float, sigmas: float) -> bool:
        off = abs(self.value / self.thermostat - 1)
        return not (off <= within or abs(self.sigmas) <= sigmas)

    def __str__(self) -> str:
        return f"{self.value:.4g}({self.stderr:.2g}) K"


@dataclass(frozen=True)
class Thermometer:
    """Calculator of mean kinetic temperatures and their standard errors, for frames of Langevin dynamics.

    Without friction there is no thermostat and the energy does not change. Any number of frames then counts as one
    independent frame.

    Args:
        n_dof: number of degrees of freedom.
        thermostat_K: temperature of the thermostat.
        friction_per_ps: friction of the thermostat.
        interval_ps: time between two frames; infinite if new velocities are drawn for every frame.
    """

    n_dof: int
    thermostat_K: float
    friction_per_ps: float
    interval_ps: float

    def read(self, kinetic_energies: Float[np.ndarray, "frames"]) -> KineticTemperature:
        """Mean kinetic temperature of successive frames, from their kinetic energies in kJ/mol."""
        value = 2 * float(np.mean(kinetic_energies)) / (self.n_dof * BOLTZMANN)
        return self._of(value, len(kinetic_energies))

    def of_chunks(self, infos: Iterable[Mapping[str, Any]]) -> KineticTemperature | None:
        """Mean kinetic temperature over chunks, from the contents of their chunk.json; None if none of them records it."""
        known = [(info["n_frames"], info[KINETIC_TEMPERATURE]) for info in infos if KINETIC_TEMPERATURE in info]
        if not known:
            return None
        counts, values = np.array(known, dtype=np.float64).T
        return self._of(float(counts @ values / counts.sum()), int(counts.sum()))

    @property
    def settling_ps(self) -> float:
        """Time in ps that a run needs to forget its start. It is 0 without friction: such a run is judged at once."""
        return SETTLING / self.friction_per_ps if self.friction_per_ps else 0.0

    def _of(self, value: float, n_frames: int) -> KineticTemperature:
        independent = independent_frames(n_frames, self.interval_ps, self.friction_per_ps)
        stderr = self.thermostat_K * float(np.sqrt(2 / (self.n_dof * independent)))
        return KineticTemperature(value, stderr, self.thermostat_K)


class TemperatureHistory:
    """Kinetic temperatures of a run, judged after every chunk: those of the last chunk, and of all chunks together.

    A single chunk may be too short to show a deviation, so all frames together are judged, too. A single chunk must deviate
    by as many standard errors for a warning as for a stop (`STOP_SIGMAS`), because a run has many chunks. There is at most
    one warning. Frames from before the run has settled (`SETTLING`) are not judged, except that a run that blows up is
    always stopped.

    Args:
        thermometer: calculator of the temperatures.
        earlier: contents of chunk.json for the chunks that the run continues.
        equilibration_ps: length of the run before its first chunk; infinite if the run has settled already.
    """

    def __init__(
        self, thermometer: Thermometer, earlier: Sequence[Mapping[str, Any]] = (), *, equilibration_ps: float = np.inf
    ) -> None:
        self.thermometer, self.equilibration_ps = thermometer, equilibration_ps
        self._n_frames = 0
        self._infos: list[Mapping[str, Any]] = []
        for info in earlier:
            if KINETIC_TEMPERATURE in info and self._settled(1)[0]:
                self._infos.append(info)
            self._n_frames += info["n_frames"]
        self._last: dict[str, KineticTemperature] = {}
        self._is_settled, self._has_warned = True, False

    def add(self, kinetic_energies: Float[np.ndarray, "frames"]) -> dict[str, Any]:
        """Add the frames of a chunk, and return the entries that chunk.json records of them.

        Args:
            kinetic_energies: kinetic energy of each frame, kJ/mol.
        """
        settled = kinetic_energies[self._settled(len(kinetic_energies))]
        self._n_frames += len(kinetic_energies)
        self._is_settled = len(settled) > 0
        judged = settled if self._is_settled else kinetic_energies
        last = self.thermometer.read(judged)
        self._last = {f"the last {len(judged)} frames": last}
        if self._is_settled:
            self._infos.append({"n_frames": len(judged), KINETIC_TEMPERATURE: last.value})
            n_together = sum(info["n_frames"] for info in self._infos)
            where = "all frames so far" if n_together == self._n_frames else f"all {n_together} frames judged so far"
            together = self.thermometer.of_chunks(self._infos)
            self._last |= {} if together is None else {where: together}
        return {
            KINETIC_TEMPERATURE: self.thermometer.read(kinetic_energies).value,
            DEGREES_OF_FREEDOM: self.thermometer.n_dof,
        }

    def _settled(self, count: int) -> Bool[np.ndarray, "frames"]:
        """Whether the run has settled at each of the next `count` frames."""
        frames = self._n_frames + 1 + np.arange(count)
        times = self.equilibration_ps + frames * self.thermometer.interval_ps
        return times >= self.thermometer.settling_ps

    def wrong(self) -> str | None:
        """Return a message if the temperature of the last chunk or of all chunks is wrong, so that the run must stop."""
        for where, found in self._last.items():
            holds = found.value < BLOWN_UP * found.thermostat
            if found.is_wrong and not (holds and not self._is_settled):
                what = "does not hold its temperature" if holds else "blew up"
                limits = f"more than {100 * STOP_WITHIN:g} % and {STOP_SIGMAS:g} standard errors"
                return f"{what}: {found} in {where}, {limits} from the thermostat's {found.thermostat:g} K"
        return None

    def suspect(self) -> str | None:
        """Return a warning if the temperature is suspect. Later calls after the first warning return None."""
        if not self._is_settled:
            return None
        for (where, found), sigmas in zip(self._last.items(), (STOP_SIGMAS, WARN_SIGMAS), strict=False):
            if not self._has_warned and found.is_suspect(sigmas):
                self._has_warned = True
                return f"the kinetic temperature is {found} in {where}, but the thermostat is at {found.thermostat:g} K"
        return None


def independent_frames(n_frames: int, interval_ps: float, friction_per_ps: float) -> float:
    """Number of independent frames whose mean kinetic energy is as precise as that of these correlated frames.

    >>> independent_frames(100, 0.4, 2.0)
    66.6...
    >>> independent_frames(100, 0.4, 0.0)
    1.0
    """
    decay = interval_ps if np.isinf(interval_ps) else 2 * friction_per_ps * interval_ps
    last = n_frames if decay == 0 else min(n_frames, int(NEGLIGIBLE / decay) + 2)
    k = np.arange(1, last)
    return n_frames / float(1 + 2 * np.sum((1 - k / n_frames) * np.exp(-decay * k)))


def combined(temperatures: Sequence[KineticTemperature]) -> KineticTemperature | None:
    """Mean kinetic temperature of independent runs with the same thermostat, weighted by inverse variance.

    The result is None if there are no runs.
    """
    if not temperatures:
        return None
    weights = np.array([one.stderr for one in temperatures]) ** -2.0
    value = float(weights @ [one.value for one in temperatures] / weights.sum())
    return KineticTemperature(value, float(weights.sum() ** -0.5), temperatures[0].thermostat)
