"""The virial pressure of beads, and whether it may be called osmotic.

    P = N kT / V - < dU/dV >,        dU/dV = (1/3V) dU/d ln s        (positions and box scaled by s)

dU/d ln s is a difference of total energies at four scales, exact for whatever U holds (many-body terms, Ewald sums) up to
the fourth order of the step; a sum of r_ij f_ij would be right for pairs only. U itself must not depend on the volume.

A coarse-grained potential was made at one concentration, and what it does not know of others is missing in its virial: for
ions without their solvent P is the osmotic pressure only if the potential is the same at all concentrations (McMillan and
Mayer, J. Chem. Phys. 13, 276 (1945)). That can be checked: the slope dP/drho between concentrations must then be
kT / (1 + rho Gcc) of the same runs (`cgnnp.analysis.kirkwood_buff`).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit

from cgnnp.analysis.kirkwood_buff import Value
from cgnnp.frames.frames import Frames
from cgnnp.runtime.representation import brief
from cgnnp.statistics import block_estimate
from cgnnp.units import AVOGADRO_PER_NM3, thermal_energy

Energy = Callable[[np.ndarray, np.ndarray], float]
"""Total energy (kJ/mol) of positions (beads, 3) in a box (3, 3), nm."""

BAR = 1.0e1 / AVOGADRO_PER_NM3
"""Bar in one kJ/mol/nm^3."""

STEP = 1e-3
"""Step of ln s. Energies in single precision bring an error of 1e-7 |U| / STEP in dU/d ln s."""

AGREES_SIGMAS = 3.0
SHARP = 0.15
"""Slopes whose difference is not known to this fraction of theirs do not say whether a pressure is osmotic."""


@brief
@dataclass(frozen=True)
class Pressure:
    """Mean virial pressure of a trajectory with its block error, and the part kT rho that an ideal gas would have.

    `density` is of all beads, per nm^3. `reliable` is False where the trajectory is too short for its error.
    """

    bar: float
    bar_stderr: float
    ideal_bar: float
    density: float
    tau_frames: float
    reliable: bool

    @property
    def kJ_mol_nm3(self) -> Value:
        """The same in kJ/mol/nm^3."""
        return Value(self.bar / BAR, self.bar_stderr / BAR)


def scaling_derivative(
    energy: Energy, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], step: float = STEP
) -> float:
    """dU/d ln s in kJ/mol, of positions and box scaled together, by central differences of fourth order.

    >>> slope = scaling_derivative(lambda positions, box: float(np.sum(positions**2)), np.ones((2, 3)), np.eye(3))
    >>> round(slope, 6)  # of 6 s^2 at s = 1
    12.0
    """
    positions, box = np.asarray(positions, dtype=np.float64), np.asarray(box, dtype=np.float64)
    terms = [(1.0, -2), (-8.0, -1), (8.0, 1), (-1.0, 2)]
    return sum(c * energy(positions * np.exp(k * step), box * np.exp(k * step)) for c, k in terms) / (12 * step)


def virial_pressure(frames: Frames, energy: Energy, step: float = STEP) -> Pressure:
    """Mean pressure of a trajectory with a total energy.

    Args:
        frames: of a run with this energy, in order of time (forces are not used).
        energy: of positions and box; for a cutoff, half the box must stay above it when the box shrinks by twice the step.
        step: of ln s, of the scaling.

    Raises:
        ValueError: fewer than two frames.
    """
    kT, n_beads = thermal_energy(frames.temperature), frames.mapping.n_beads
    volumes = np.abs(np.linalg.det(np.asarray(frames.boxes, dtype=np.float64)))
    slopes = [scaling_derivative(energy, x, box, step) for x, box in zip(frames.positions, frames.boxes, strict=True)]
    ideal = n_beads * kT / volumes
    estimate = block_estimate((BAR * (ideal - np.array(slopes) / (3.0 * volumes)))[:, None], lambda mean: mean[0])
    return Pressure(
        bar=float(estimate.value),
        bar_stderr=float(estimate.stderr),
        ideal_bar=float(BAR * ideal.mean()),
        density=float(n_beads / volumes.mean()),
        tau_frames=estimate.tau_frames,
        reliable=estimate.reliable,
    )


def context_energy(context: openmm.Context) -> Energy:
    """The energy of an OpenMM Context as a function of positions and box; it moves the context."""

    def energy(positions: np.ndarray, box: np.ndarray) -> float:
        context.setPeriodicBoxVectors(*np.asarray(box, dtype=np.float64).tolist())
        context.setPositions(np.asarray(positions, dtype=np.float64))
        return context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)

    return energy


@dataclass(frozen=True)
class OsmoticPoint:
    """One concentration: pressure of a run, and dPi/drho = kT / (1 + rho Gcc) of the same run (kJ/mol)."""

    pressure: Pressure
    modulus: Value


@dataclass(frozen=True)
class OsmoticInterval:
    """Between two densities (beads per nm^3): dP/drho of the virial, and the mean of kT / (1 + rho Gcc), kJ/mol."""

    densities: tuple[float, float]
    slope: Value
    expected: Value


@brief
@dataclass(frozen=True)
class OsmoticCheck:
    """Whether the virial pressure is the osmotic one, between every two neighbouring concentrations.

    `agrees` is None where errors are too large to say, or with fewer than two concentrations; `reason` says why.
    """

    agrees: bool | None
    reason: str
    intervals: tuple[OsmoticInterval, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        rows = [
            {
                "densities_nm3": list(part.densities),
                "dP_drho_kJ_mol": part.slope.value,
                "dP_drho_stderr_kJ_mol": part.slope.stderr,
                "kirkwood_buff_kJ_mol": part.expected.value,
                "kirkwood_buff_stderr_kJ_mol": part.expected.stderr,
            }
            for part in self.intervals
        ]
        return {"agrees": self.agrees, "reason": self.reason, "intervals": rows}


def osmotic_check(points: Sequence[OsmoticPoint]) -> OsmoticCheck:
    """Compare slopes of the pressure with kT / (1 + rho Gcc), averaged between neighbouring concentrations.

    They agree when they differ by no more than three standard errors everywhere, and those are at most 15 % of the slope.
    Concentrations should be so near each other that the modulus is straight between them.
    """
    ordered = sorted(points, key=lambda point: point.pressure.density)
    pairs = [(a, b) for a, b in itertools.pairwise(ordered) if b.pressure.density > a.pressure.density * (1 + 1e-6)]
    if not pairs:
        return OsmoticCheck(None, "a slope needs runs at two concentrations or more", ())
    intervals = tuple(_interval(a, b) for a, b in pairs)
    differs, blurred = [], []
    for part in intervals:
        error = float(np.hypot(part.slope.stderr, part.expected.stderr))
        where = f"between {part.densities[0]:.3g} and {part.densities[1]:.3g} beads per nm^3"
        values = f"dP/drho is {part.slope.value:.3g}, Kirkwood-Buff integrals ask for {part.expected.value:.3g} kJ/mol"
        if abs(part.slope.value - part.expected.value) > AGREES_SIGMAS * error:
            differs.append(f"{where} {values} (error of the difference {error:.2g})")
        elif not error <= SHARP * abs(part.expected.value):
            blurred.append(f"{where} {values}, but the error of the difference is {error:.2g}")
    if differs:
        return OsmoticCheck(False, differs[0], intervals)
    if blurred:
        return OsmoticCheck(None, blurred[0], intervals)
    return OsmoticCheck(True, "dP/drho is kT / (1 + rho Gcc) within errors", intervals)


def _interval(a: OsmoticPoint, b: OsmoticPoint) -> OsmoticInterval:
    """The trapezoid between two concentrations."""
    low, high = a.pressure.density, b.pressure.density
    first, second = a.pressure.kJ_mol_nm3, b.pressure.kJ_mol_nm3
    slope = Value((second.value - first.value) / (high - low), float(np.hypot(first.stderr, second.stderr)) / (high - low))
    mean = (a.modulus.value + b.modulus.value) / 2
    return OsmoticInterval((low, high), slope, Value(mean, float(np.hypot(a.modulus.stderr, b.modulus.stderr)) / 2))
