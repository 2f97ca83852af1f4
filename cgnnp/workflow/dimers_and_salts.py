"""What the comparison says beside g(r): isolated dimers of every system; for charged beads all that makes them a salt.

Nothing here judges; the report does.
"""

import csv
import io
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from jaxtyping import Float
from matplotlib.figure import Figure

from cgnnp.analysis.dimer import DimerScan, dimer_scan
from cgnnp.analysis.figures import MOST_PANELS, Theme
from cgnnp.analysis.figures_ions import plot_coordination, plot_dimers, plot_kirkwood_buff, plot_mean_potentials
from cgnnp.analysis.pmf import Landmarks, landmarks, mean_potential
from cgnnp.analysis.pressure import STEP, Pressure, context_energy, virial_pressure
from cgnnp.analysis.rdf import Rdf
from cgnnp.analysis.salts import SaltFindings, find_salt
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.frames import Frames
from cgnnp.priors.prior import first_sampled
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.representation import brief
from cgnnp.runtime.storage import write_file
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.system import create_system
from cgnnp.units import thermal_energy

log = logging.getLogger("cgnnp")

SCAN_FROM_NM, SCAN_TO_NM, SCAN_STEP_NM = 0.15, 1.2, 0.0025
PRESSURE_FRAMES = 150
SIDE_NAMES = {"atomistic": "atomistic", "cg": "coarse-grained"}


@brief
@dataclass(frozen=True)
class IsolatedDimer:
    """A dimer scan and where the data begin (nm, None where no prior says); energies in kT at `temperature` (K)."""

    scan: DimerScan
    first_sampled: float | None
    temperature: float

    @property
    def energy(self) -> Float[np.ndarray, "points"]:
        """w(r) in kT, 0 at infinite distance."""
        return self.scan.mean_potential / thermal_energy(self.temperature)

    @property
    def landmarks(self) -> Landmarks:
        """Contact, barrier and separated minimum (kT) where there are data: a hole inside the wall is no contact."""
        sampled = self.scan.r >= (self.first_sampled or 0.0)
        return landmarks(self.scan.r[sampled], self.energy[sampled])

    @property
    def wall_rise(self) -> float | None:
        """How far w is above its value at the first sampled distance 0.05 nm inside of it, kT."""
        return None if self.first_sampled is None else float(self._above_first(self.first_sampled - WALL_DEPTH))

    def to_dict(self) -> dict[str, Any]:
        """One row of the summary: distances in nm, energies in kT. `lowest_inside` is at least 0.05 nm inside."""
        marks = self.landmarks
        row: dict[str, Any] = {
            "pair": "-".join(self.scan.pair),
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
        at, first = np.interp([r, self.first_sampled or 0.0], self.scan.r, self.energy)
        return at - first


@brief
@dataclass(frozen=True)
class PairFindings:
    """Isolated dimers, and for charged beads what `find_salt` finds and the virial pressure, or why there is none.

    `solvent_eliminated` says whether the beads are solutes whose solvent is left out: only then is an isolated dimer a pair
    at infinite dilution.
    """

    dimers: list[IsolatedDimer]
    salt: SaltFindings | None
    pressure: Pressure | str | None
    solvent_eliminated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Entries of summary.json."""
        return {
            "dimers": [found.to_dict() for found in self.dimers],
            "solvent_eliminated": self.solvent_eliminated,
            "electrolyte": None if self.salt is None else self.salt.to_dict(),
            "virial_pressure": self._pressure_row(),
        }

    def _pressure_row(self) -> dict[str, Any] | None:
        if self.pressure is None:
            return None
        if isinstance(self.pressure, str):
            return {"bar": None, "stderr_bar": None, "ideal_bar": None, "reliable": None, "reason": self.pressure}
        return {
            "bar": self.pressure.bar,
            "stderr_bar": self.pressure.bar_stderr,
            "ideal_bar": self.pressure.ideal_bar,
            "reliable": self.pressure.reliable,
            "reason": None,
        }

    def drawings(self) -> dict[str, Callable[[Theme], Figure | None]]:
        """Pictures by name; of many pairs those are scanned whose walls rise least."""
        weakest = sorted(self.dimers, key=lambda found: np.inf if found.wall_rise is None else found.wall_rise)[:MOST_PANELS]
        shown = [found.scan for found in self.dimers if any(found is other for other in weakest)]
        pictures: dict[str, Callable[[Theme], Figure | None]] = {}
        if shown:
            pictures["dimers"] = lambda theme: plot_dimers(shown, self.dimers[0].temperature, theme)
        if self.salt is not None:
            numbers = [(SIDE_NAMES[side], found) for side, found in self.salt.coordination.items()]
            pictures["coordination"] = lambda theme: plot_coordination(numbers, theme)
            potentials = [(SIDE_NAMES[side], found) for side, found in self.salt.mean_potentials.items()]
            scans = [found.scan for found in self.dimers]
            pictures["pmf"] = lambda theme: plot_mean_potentials(potentials, scans, self.dimers[0].temperature, theme)
            integrals = [(SIDE_NAMES[side], found) for side, found in self.salt.kirkwood_buff.items()]
            if integrals:
                pictures["kirkwood_buff"] = lambda theme: plot_kirkwood_buff(integrals, theme)
        return pictures

    def write_csv(self, directory: Path, curves: Sequence[tuple[Rdf, Rdf]], temperatures: tuple[float, float]) -> None:
        """dimers.csv, pmf.csv (-kT ln g(r) of both sides) and kirkwood_buff.csv."""
        scans = [found.scan for found in self.dimers]
        columns = CHARGED_DIMER_COLUMNS if any(scan.is_charged for scan in scans) else DIMER_COLUMNS
        _write(directory / "dimers.csv", columns, ([*row][: len(columns)] for row in _dimer_rows(scans)))
        _write(directory / "pmf.csv", PMF_COLUMNS, _pmf_rows(curves, temperatures))
        if self.salt is not None and self.salt.kirkwood_buff:
            _write(directory / "kirkwood_buff.csv", KIRKWOOD_BUFF_COLUMNS, _integral_rows(self.salt))


DIMER_COLUMNS = ("r_nm", "pair", "w_kJ_mol")
CHARGED_DIMER_COLUMNS = (*DIMER_COLUMNS, "short_range_kJ_mol", "coulomb_kJ_mol")
PMF_COLUMNS = (
    *("r_nm", "pair", "w_atomistic_kJ_mol", "stderr_atomistic_kJ_mol"),
    *("w_cg_kJ_mol", "stderr_cg_kJ_mol"),
)
KIRKWOOD_BUFF_COLUMNS = ("R_nm", "pair", "G_atomistic_nm3", "stderr_atomistic_nm3", "G_cg_nm3", "stderr_cg_nm3")


def find_pairs(frames: Frames, coarse: Frames, pairs: Sequence[tuple[str, str]], bundle: PotentialBundle) -> PairFindings:
    """Scan every kind of pair; of charged beads compare both runs as salts and measure the virial pressure.

    Args:
        frames: mapped atomistic frames, whose provenance may know the solvent's volume fraction.
        coarse: of the coarse-grained run.
        pairs: the kinds of pairs, by bead types.
        bundle: the potential of that run.
    """
    dimers = [isolated_dimer(bundle, pair) for pair in pairs]
    for found in dimers:
        log.info("compare: isolated dimer: %s", _dimer_line(found))
    solvent = frames.meta.provenance.get("solvent")
    solvent_eliminated = frames.mapping.is_charged or bool(solvent)
    if not frames.mapping.is_charged or min(len(frames), len(coarse)) < 2:
        return PairFindings(dimers, None, None, solvent_eliminated)
    phi_w = (solvent or {}).get("volume_fraction")
    salt, pressure = find_salt(frames, coarse, phi_w), pressure_of(bundle, coarse)
    if isinstance(pressure, str):
        log.info("compare: no virial pressure of the beads: %s", pressure)
    else:
        log.info("compare: virial pressure of the beads %.0f(%.0f) bar", pressure.bar, pressure.bar_stderr)
    return PairFindings(dimers, salt, pressure, solvent_eliminated)


def isolated_dimer(bundle: PotentialBundle, pair: tuple[str, str]) -> IsolatedDimer:
    """Scan a pair from 0.15 nm (or 0.1 nm inside of where the data begin, if that is less) to 1.2 nm."""
    first = first_sampled(bundle.priors).get(frozenset(pair))
    start = SCAN_FROM_NM if first is None else max(SCAN_STEP_NM, min(SCAN_FROM_NM, first - 2 * WALL_DEPTH))
    scan = dimer_scan(bundle, pair, np.arange(start, SCAN_TO_NM + SCAN_STEP_NM / 2, SCAN_STEP_NM))
    return IsolatedDimer(scan, first, bundle.temperature)


def pressure_of(bundle: PotentialBundle, coarse: Frames) -> Pressure | str:
    """Virial pressure of at most 150 frames spread over a coarse-grained run.

    Where a box that shrinks by the step of the derivative could not hold a prior's cutoff, there is none: then the reason.
    """
    chosen = coarse[np.unique(np.linspace(0, len(coarse) - 1, PRESSURE_FRAMES).astype(int))]
    cutoff = max((prior.cutoff or 0.0 for prior in bundle.priors), default=0.0)
    smallest = float(np.diagonal(chosen.boxes, axis1=1, axis2=2).min())
    if smallest * np.exp(-2 * STEP) < 2 * cutoff * (1 + 1e-6):
        return (
            f"it is a derivative to a box {200 * STEP:g} % smaller, of which half would be less than the prior's cutoff of "
            f"{cutoff:g} nm (the box is {smallest:.4g} nm wide)"
        )
    system = create_system(bundle, bead_topology(coarse.mapping, np.asarray(coarse.boxes[0], dtype=np.float64)))
    context = choose_platform("CPU", threads=1).context(system, openmm.VerletIntegrator(0.001))
    return virial_pressure(chosen, context_energy(context))


def _dimer_line(found: IsolatedDimer) -> str:
    row = found.to_dict()
    wall = (
        ""
        if found.wall_rise is None
        else f", wall {found.wall_rise:.0f} kT {WALL_DEPTH} nm inside {found.first_sampled:.3f} nm"
    )
    barrier = row["barrier_out_kT"]
    return row["pair"] + wall + ("" if barrier is None else f", barrier out of contact {barrier:.2f} kT")


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file; numbers with six figures, empty where there is none."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for r, pair, *values in rows:
        writer.writerow([f"{r:.4f}", pair, *(f"{value:.6g}" if np.isfinite(value) else "" for value in values)])
    write_file(path, text.getvalue())


def _dimer_rows(scans: Iterable[DimerScan]) -> Iterable[Sequence[Any]]:
    for scan in scans:
        for r, *values in zip(scan.r, scan.mean_potential, scan.short_range, scan.coulomb, strict=True):
            yield r, "-".join(scan.pair), *values


def _pmf_rows(curves: Iterable[tuple[Rdf, Rdf]], temperatures: tuple[float, float]) -> Iterable[Sequence[Any]]:
    for pair in curves:
        sides = [mean_potential(curve, kelvin) for curve, kelvin in zip(pair, temperatures, strict=True)]
        columns = [column for side in sides for column in (side.energy, side.stderr)]
        for r, *values in zip(sides[0].r, *columns, strict=True):
            yield r, sides[0].name, *values


def _integral_rows(salt: SaltFindings) -> Iterable[Sequence[Any]]:
    """Both sides are integrated up to the same distances."""
    atomistic, cg = salt.kirkwood_buff["atomistic"], salt.kirkwood_buff["cg"]
    for k, pair in enumerate(atomistic.values):
        columns = (atomistic.G[k], atomistic.G_stderr[k], cg.G[k], cg.G_stderr[k])
        for r, *values in zip(atomistic.R, *columns, strict=True):
            yield r, "-".join(pair), *values
