"""Kinetic temperature of Langevin dynamics: is it the thermostat's, within what its own fluctuations allow?

    T = 2 K / (n k_B),    K the kinetic energy of n degrees of freedom

In the canonical ensemble 2 K / (k_B T) has a chi-squared distribution of n degrees of freedom, so one frame has the variance
2 T^2 / n. Frames are correlated. Friction gamma alone exchanges energy with the bath, d<E>/dt = -2 gamma <K - K_eq>; K and
the potential energy are independent of each other, so the integral of the autocorrelation of K is 1 / (2 gamma) whatever the
interactions are. It is taken to decay as exp(-2 gamma t), as it does for free particles.

Bounded energies and walls keep a run finite whose time step is far too long. Its temperature tells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from cgnnp.runtime.names_in_files import DEGREES_OF_FREEDOM, KINETIC_TEMPERATURE
from cgnnp.units import BOLTZMANN

STOP_WITHIN, STOP_SIGMAS = 0.1, 6.0
"""A run farther from its thermostat than both is stopped. The figures are ours.

Six standard errors happen by chance in 2 of 10^9 chunks. Ten per cent leave room for time steps that are long but in use:
the kinetic temperature of leap-frog velocities is off by O(dt^2) where configurations are still good.
"""

WARN_WITHIN, WARN_SIGMAS = 0.03, 4.0
"""A run farther from its thermostat than both is warned of. The figures are ours.

Water at the default steps (atomistic 4 fs, one bead a molecule 10 fs) is within 1 %; beads are 3 % too hot at 17 fs, 40 % at
20 fs.
"""

SETTLING = 5.0
"""A run is judged from this many times 1 / gamma on after its start, equilibration included. The figure is ours.

A minimised start has velocities of the thermostat and no thermal potential energy, so half of K is soon lost. Where K is
half of the energy, d<E>/dt = -2 gamma <K - K_eq> restores it as exp(-gamma t), in water somewhat more slowly.
"""

BLOWN_UP = 2.0
"""A run hotter than this many times its thermostat blew up, and is stopped before it has settled too.

There is no such bound on the cold side: oscillators that all start in their minimum lose all of K for a moment.
"""

NEGLIGIBLE = 30.0
"""Correlations beyond this many correlation times, exp(-30), are left out of sums."""


@dataclass(frozen=True)
class KineticTemperature:
    """Mean over some frames with the standard error that the canonical ensemble gives it, and the thermostat's, all in K."""

    value: float
    stderr: float
    thermostat: float

    @property
    def sigmas(self) -> float:
        """Standard errors between the two.

        Few degrees of freedom are skewed (hot frames are more likely than a Gaussian says), so the cube root is compared,
        which is Gaussian for any number of them (Wilson and Hilferty 1931, 10.1073/pnas.17.12.684).
        """
        spread = (self.stderr / self.thermostat) ** 2 / 9
        return float((np.cbrt(self.value / self.thermostat) - (1 - spread)) / np.sqrt(spread))

    @property
    def is_wrong(self) -> bool:
        """Whether it is beyond both 10 % and six standard errors, or no number."""
        return self._beyond(STOP_WITHIN, STOP_SIGMAS)

    def is_suspect(self, sigmas: float = WARN_SIGMAS) -> bool:
        """Whether it is beyond both 3 % and some standard errors."""
        return self._beyond(WARN_WITHIN, sigmas)

    def _beyond(self, within: float, sigmas: float) -> bool:
        off = abs(self.value / self.thermostat - 1)
        return not (off <= within or abs(self.sigmas) <= sigmas)

    def __str__(self) -> str:
        return f"{self.value:.4g}({self.stderr:.2g}) K"


@dataclass(frozen=True)
class Thermometer:
    """Kinetic temperatures of frames of a Langevin thermostat.

    Without friction there is no thermostat, and the energy stays that of the start: any number of frames counts as one.

    Args:
        n_dof: degrees of freedom.
        thermostat_K: temperature of the thermostat.
        friction_per_ps: its friction.
        interval_ps: time between two frames; infinite where each has velocities of its own.
    """

    n_dof: int
    thermostat_K: float
    friction_per_ps: float
    interval_ps: float

    def read(self, kinetic_energies: Float[np.ndarray, "frames"]) -> KineticTemperature:
        """The mean over frames in order of time, from kinetic energies in kJ/mol."""
        value = 2 * float(np.mean(kinetic_energies)) / (self.n_dof * BOLTZMANN)
        return self._of(value, len(kinetic_energies))

    def of_chunks(self, infos: Iterable[Mapping[str, Any]]) -> KineticTemperature | None:
        """The mean over chunks, from their chunk.json; none where none of them records it."""
        known = [(info["n_frames"], info[KINETIC_TEMPERATURE]) for info in infos if KINETIC_TEMPERATURE in info]
        if not known:
            return None
        counts, values = np.array(known, dtype=np.float64).T
        return self._of(float(counts @ values / counts.sum()), int(counts.sum()))

    @property
    def settling_ps(self) -> float:
        """How long a run needs to forget its start; without friction it never does, and is judged at once."""
        return SETTLING / self.friction_per_ps if self.friction_per_ps else 0.0

    def _of(self, value: float, n_frames: int) -> KineticTemperature:
        independent = independent_frames(n_frames, self.interval_ps, self.friction_per_ps)
        stderr = self.thermostat_K * float(np.sqrt(2 / (self.n_dof * independent)))
        return KineticTemperature(value, stderr, self.thermostat_K)


class TemperatureHistory:
    """The chunks of a run, judged as they come: each one, and all together.

    Chunks may be so short that one alone tells nothing; together they do. For a warning one chunk must be as many standard
    errors off as would stop the run, since there are many chunks; and one warning is enough. Frames of the time that a run
    needs to settle are left out; until then only one that blew up is stopped.

    Args:
        thermometer: reads the temperatures.
        earlier: chunk.json of the chunks that the run continues.
        equilibration_ps: how long it ran before its first chunk; infinite where it has forgotten its start.
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
        """Take in the frames of a chunk, from kinetic energies in kJ/mol, and return what chunk.json records of them."""
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
        """Which of the next frames are of a run that has settled."""
        frames = self._n_frames + 1 + np.arange(count)
        times = self.equilibration_ps + frames * self.thermometer.interval_ps
        return times >= self.thermometer.settling_ps

    def wrong(self) -> str | None:
        """What is wrong, if the temperature of the last chunk or of all is far from the thermostat's."""
        for where, found in self._last.items():
            holds = found.value < BLOWN_UP * found.thermostat
            if found.is_wrong and not (holds and not self._is_settled):
                what = "does not hold its temperature" if holds else "blew up"
                limits = f"more than {100 * STOP_WITHIN:g} % and {STOP_SIGMAS:g} standard errors"
                return f"{what}: {found} in {where}, {limits} from the thermostat's {found.thermostat:g} K"
        return None

    def suspect(self) -> str | None:
        """What is suspect, the first time that it is."""
        if not self._is_settled:
            return None
        for (where, found), sigmas in zip(self._last.items(), (STOP_SIGMAS, WARN_SIGMAS), strict=False):
            if not self._has_warned and found.is_suspect(sigmas):
                self._has_warned = True
                return f"the kinetic temperature is {found} in {where}, the thermostat is at {found.thermostat:g} K"
        return None


def independent_frames(n_frames: int, interval_ps: float, friction_per_ps: float) -> float:
    """How many independent kinetic energies have a mean as precise as that of correlated ones.

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
    """The mean over independent runs at one thermostat; none of no run."""
    if not temperatures:
        return None
    weights = np.array([one.stderr for one in temperatures]) ** -2.0
    value = float(weights @ [one.value for one in temperatures] / weights.sum())
    return KineticTemperature(value, float(weights.sum() ** -0.5), temperatures[0].thermostat)
