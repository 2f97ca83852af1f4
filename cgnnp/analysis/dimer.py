"""Dimer scan: the energy of an isolated dimer against its distance.

The scan shows whether the model attracts two beads at short distances, where there are no data. If a solvent was eliminated,
for example for ions in implicit water, the energy is the model's potential of mean force of the pair at infinite dilution.
In a neat liquid the energy has no such meaning, because two beads in vacuum are far from the data of the fit. In a periodic
box, two charged beads would interact with their periodic images and with the neutralising background. Screened Coulomb
priors are therefore not evaluated in the box but added as q_i q_j / (4 pi eps0 eps_r r).
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from openmm import Vec3, app, unit

from cgnnp.analysis.pmf import Landmarks, landmarks
from cgnnp.priors import ScreenedCoulomb
from cgnnp.priors.prior import first_sampled
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.representation import brief
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.system import create_system
from cgnnp.units import thermal_energy

OUT_OF_REACH_NM = 3.0
"""Half the edge of the box is longer than the largest distance of the scan by this much (nm).

Two beads that are half an edge apart then do not interact.
"""

SCAN_FROM_NM, SCAN_TO_NM, SCAN_STEP_NM = 0.15, 1.2, 0.0025


@brief
@dataclass(frozen=True)
class DimerScan:
    """Energy (kJ/mol) of two beads at distances r (nm) by OpenMM: the sum of priors and network.

    `coulomb` is the contribution of screened Coulomb priors to `energy`; it is zero if there are none. `isolated` is the
    energy of the two beads when they are too far apart to interact, without the Coulomb contribution.
    """

    pair: tuple[str, str]
    r: Float[np.ndarray, "points"]
    energy: Float[np.ndarray, "points"]
    coulomb: Float[np.ndarray, "points"]
    isolated: float

    @property
    def mean_potential(self) -> Float[np.ndarray, "points"]:
        """w(r) in kJ/mol; it is zero at infinite distance."""
        return self.energy - self.isolated

    @property
    def is_charged(self) -> bool:
        """Whether the energy has a Coulomb contribution."""
        return bool(np.any(self.coulomb != 0.0))

    @property
    def short_range(self) -> Float[np.ndarray, "points"]:
        """w(r) without its Coulomb contribution, kJ/mol."""
        return self.energy - self.isolated - self.coulomb


def dimer_scan(
    bundle: PotentialBundle, pair: tuple[str, str], r: Float[np.ndarray, "points"], force_backend: str = "auto"
) -> DimerScan:
    """Compute the energy of one pair of bead types at the distances `r` (nm).

    The box is so large that the two beads do not interact with their periodic images.
    """
    topology = app.Topology()
    residue = topology.addResidue("DIM", topology.addChain())
    for name in pair:
        topology.addAtom(name, None, residue)
    r = np.asarray(r, dtype=np.float64)
    length = 2 * (float(np.max(r)) + OUT_OF_REACH_NM)
    topology.setPeriodicBoxVectors([Vec3(*row) for row in (np.eye(3) * length).tolist()] * unit.nanometer)
    charged = [prior for prior in bundle.priors if isinstance(prior, ScreenedCoulomb)]
    local = tuple(prior for prior in bundle.priors if prior not in charged)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beads.*per nm.*")  # two beads in a large box
        system = create_system(replace(bundle, priors=local), topology, force_backend)
    context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
    energies = []
    for distance in (*r, length / 2):
        context.setPositions([Vec3(1.0, 1.0, 1.0), Vec3(1.0, 1.0, 1.0 + float(distance))])
        energies.append(context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
    coulomb = np.sum([np.zeros_like(r), *(prior.pair_energy(pair, r) for prior in charged)], axis=0)
    return DimerScan(pair, r, np.array(energies[:-1]) + coulomb, coulomb, energies[-1])


@brief
@dataclass(frozen=True)
class IsolatedDimer:
    """A dimer scan with energies in kT at `temperature` (K).

    `first_sampled` is the first sampled distance of the pair, nm; it is None if no prior stores it.
    """

    scan: DimerScan
    first_sampled: float | None
    temperature: float

    @property
    def name(self) -> str:
        """Name of the pair, for example Na-Cl."""
        return "-".join(self.scan.pair)

    @property
    def energy(self) -> Float[np.ndarray, "points"]:
        """w(r) in kT; it is zero at infinite distance."""
        return self.scan.mean_potential / thermal_energy(self.temperature)

    @property
    def landmarks(self) -> Landmarks:
        """Contact minimum, barrier and solvent-separated minimum, with energies in kT.

        Only sampled distances are searched, so that a hole inside the wall is not taken for the contact minimum.
        """
        sampled = self.scan.r >= (self.first_sampled or 0.0)
        return landmarks(self.scan.r[sampled], self.energy[sampled])

    @property
    def wall_rise(self) -> float | None:
        """Rise of w(r) from the first sampled distance to 0.05 nm below it, kT; None if the former is unknown."""
        return None if self.first_sampled is None else float(self._above_first(self.first_sampled - WALL_DEPTH))

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of this pair in summary.json: distances in nm, energies in kT.

        `lowest_inside` is the lowest energy at distances at least 0.05 nm below the first sampled distance, relative to the
        energy at the first sampled distance.
        """
        marks = self.landmarks
        row: dict[str, Any] = {
            "pair": self.name,
            "first_sampled_nm": self.first_sampled,
            "wall_rise_kT": self.wall_rise,
        }
        inside = self.scan.r <= (self.first_sampled or 0.0)
        deep = self.scan.r <= (self.first_sampled or 0.0) - WALL_DEPTH + 1e-9
        known = self.first_sampled is not None
        row["wall_monotonic"] = bool((np.diff(self.energy[inside]) < 0).all()) if known else None
        row["lowest_inside_kT"] = row["lowest_inside_nm"] = None
        if known and deep.any():
            lowest = int(np.argmin(np.where(deep, self.energy, np.inf)))
            row["lowest_inside_nm"] = float(self.scan.r[lowest])
            row["lowest_inside_kT"] = float(self._above_first(self.scan.r[lowest]))
        for name, point in (("contact", marks.contact), ("barrier", marks.barrier), ("separated", marks.separated)):
            row[f"{name}_nm"], row[f"{name}_kT"] = point or (None, None)
        return row | {"barrier_out_kT": marks.barrier_out}

    def _above_first(self, r: float) -> float:
        """Return w(r) relative to its value at the first sampled distance, kT."""
        at, first = np.interp([r, self.first_sampled or 0.0], self.scan.r, self.energy)
        return at - first


def isolated_dimer(bundle: PotentialBundle, pair: tuple[str, str]) -> IsolatedDimer:
    """Scan a pair of bead types up to 1.2 nm.

    The scan starts at 0.15 nm, or at 0.1 nm below the first sampled distance if that is less.
    """
    first = first_sampled(bundle.priors).get(frozenset(pair))
    start = SCAN_FROM_NM if first is None else max(SCAN_STEP_NM, min(SCAN_FROM_NM, first - 2 * WALL_DEPTH))
    scan = dimer_scan(bundle, pair, np.arange(start, SCAN_TO_NM + SCAN_STEP_NM / 2, SCAN_STEP_NM))
    return IsolatedDimer(scan, first, bundle.temperature)
