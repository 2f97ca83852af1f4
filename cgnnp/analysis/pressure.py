"""The virial pressure of beads, and the test whether this pressure is the osmotic pressure.

    P = N kT / V - < dU/dV >,        dU/dV = (1/3V) dU/d ln s        (positions and box scaled by s)

dU/d ln s is computed as a finite difference of total energies at four scales, with an error of fourth order in the step.
This is correct for any U, including many-body terms and Ewald sums, whereas a sum of r_ij f_ij is correct for pair
potentials only. U itself must not depend explicitly on the volume.

A coarse-grained potential is fitted at one concentration, and its virial lacks the change of the potential with the
concentration. For ions without their solvent, P is therefore the osmotic pressure only if the potential is the same at all
concentrations (McMillan and Mayer, J. Chem. Phys. 13, 276 (1945)). This can be tested: the slope dP/drho between
concentrations must then equal kT / (1 + rho Gcc) of the same runs (`cgnnp.analysis.kirkwood_buff`).
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
"""Function of positions (beads, 3) and a box (3, 3), both in nm, that returns the total energy in kJ/mol."""

BAR = 1.0e1 / AVOGADRO_PER_NM3
"""One kJ/mol/nm^3 in bar."""

STEP = 1e-3
"""Step of ln s. Energies in single precision cause an error of about 1e-7 |U| / STEP in dU/d ln s."""

AGREES_SIGMAS = 3.0
"""dP/drho and kT / (1 + rho Gcc) disagree if they differ by more than this many standard errors."""

SHARP = 0.15
"""Agreement is claimed only if the error of the difference is at most this fraction of kT / (1 + rho Gcc)."""


@brief
@dataclass(frozen=True)
class Pressure:
    """Mean virial pressure of a trajectory with its block error, in bar.

    `ideal_bar` is the pressure kT rho of an ideal gas of the beads. `density` is the number density of all beads, per nm^3.
    `tau_frames` is the autocorrelation time of the pressure in frames. `reliable` is False if the trajectory is too short
    for a reliable error.
    """

    bar: float
    bar_stderr: float
    ideal_bar: float
    density: float
    tau_frames: float
    reliable: bool

    @property
    def kJ_mol_nm3(self) -> Value:
        """The pressure with its error in kJ/mol/nm^3."""
        return Value(self.bar / BAR, self.bar_stderr / BAR)


def scaling_derivative(
    energy: Energy, positions: Float[np.ndarray, "beads 3"], box: Float[np.ndarray, "3 3"], step: float = STEP
) -> float:
    """Return dU/d ln s in kJ/mol by central differences of fourth order. Positions and box are scaled together by s.

    >>> slope = scaling_derivative(lambda positions, box: float(np.sum(positions**2)), np.ones((2, 3)), np.eye(3))
    >>> round(slope, 6)  # of 6 s^2 at s = 1
    12.0
    """
    positions, box = np.asarray(positions, dtype=np.float64), np.asarray(box, dtype=np.float64)
    terms = [(1.0, -2), (-8.0, -1), (8.0, 1), (-1.0, 2)]
    return sum(c * energy(positions * np.exp(k * step), box * np.exp(k * step)) for c, k in terms) / (12 * step)


def virial_pressure(frames: Frames, energy: Energy, step: float = STEP) -> Pressure:
    """Compute the mean virial pressure of a trajectory.

    Args:
        frames: frames of a run with this energy, in order of time. Their forces are not used.
        energy: total energy as a function of positions and box. If it has a cutoff, half the box must still exceed the
            cutoff when ln s is reduced by twice the step.
        step: step of ln s in the finite difference.

    Raises:
        ValueError: there are fewer than two frames.
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
    """Return the potential energy of an OpenMM Context as a function of positions and box.

    Each call of the function changes the positions and the box of the context.
    """

    def energy(positions: np.ndarray, box: np.ndarray) -> float:
        context.setPeriodicBoxVectors(*np.asarray(box, dtype=np.float64).tolist())
        context.setPositions(np.asarray(positions, dtype=np.float64))
        return context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)

    return energy


@dataclass(frozen=True)
class OsmoticPoint:
    """A run at one concentration: its pressure, and its osmotic modulus dPi/drho = kT / (1 + rho Gcc) in kJ/mol."""

    pressure: Pressure
    modulus: Value


@dataclass(frozen=True)
class OsmoticInterval:
    """Two slopes between two densities (beads per nm^3), in kJ/mol.

    `slope` is dP/drho of the virial pressure. `expected` is kT / (1 + rho Gcc), averaged over the two densities.
    """

    densities: tuple[float, float]
    slope: Value
    expected: Value


@brief
@dataclass(frozen=True)
class OsmoticCheck:
    """The result of the test whether the virial pressure is the osmotic pressure.

    `agrees` is True if the slopes agree between all neighbouring concentrations, and False if they differ somewhere. It is
    None if the errors are too large to decide, or if there are fewer than two concentrations. `reason` states why.
    """

    agrees: bool | None
    reason: str
    intervals: tuple[OsmoticInterval, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data for summary.json."""
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
    """Compare the slope of the virial pressure with kT / (1 + rho Gcc) between neighbouring concentrations.

    The slopes agree if they differ by at most three standard errors in every interval, and if the standard error of the
    difference is at most 15 % of kT / (1 + rho Gcc). The concentrations should be so close that the modulus is nearly linear
    between them.
    """
    ordered = sorted(points, key=lambda point: point.pressure.density)
    pairs = [(a, b) for a, b in itertools.pairwise(ordered) if b.pressure.density > a.pressure.density * (1 + 1e-6)]
    if not pairs:
        return OsmoticCheck(None, "the slope dP/drho needs runs at two or more concentrations", ())
    intervals = tuple(_interval(a, b) for a, b in pairs)
    differs, blurred = [], []
    for part in intervals:
        error = float(np.hypot(part.slope.stderr, part.expected.stderr))
        where = f"between {part.densities[0]:.3g} and {part.densities[1]:.3g} beads per nm^3"
        values = (
            f"dP/drho is {part.slope.value:.3g} kJ/mol, while the Kirkwood-Buff integrals predict {part.expected.value:.3g} "
            "kJ/mol"
        )
        if abs(part.slope.value - part.expected.value) > AGREES_SIGMAS * error:
            differs.append(f"{where} {values} (standard error of the difference: {error:.2g} kJ/mol)")
        elif not error <= SHARP * abs(part.expected.value):
            blurred.append(
                f"{where} {values}, but the standard error of the difference, {error:.2g} kJ/mol, is too large to decide"
            )
    if differs:
        return OsmoticCheck(False, differs[0], intervals)
    if blurred:
        return OsmoticCheck(None, blurred[0], intervals)
    return OsmoticCheck(True, "dP/drho equals kT / (1 + rho Gcc) within errors", intervals)


def _interval(a: OsmoticPoint, b: OsmoticPoint) -> OsmoticInterval:
    """Return the slope of the pressure between two concentrations, and the mean of their osmotic moduli."""
    low, high = a.pressure.density, b.pressure.density
    first, second = a.pressure.kJ_mol_nm3, b.pressure.kJ_mol_nm3
    slope = Value((second.value - first.value) / (high - low), float(np.hypot(first.stderr, second.stderr)) / (high - low))
    mean = (a.modulus.value + b.modulus.value) / 2
    return OsmoticInterval((low, high), slope, Value(mean, float(np.hypot(a.modulus.stderr, b.modulus.stderr)) / 2))
