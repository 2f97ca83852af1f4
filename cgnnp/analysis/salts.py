"""All that is said of ions in one go: atomistic and coarse-grained trajectories by the same estimators, as plain data."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgnnp.analysis.coordination import Coordination, coordination_of, shell_counts
from cgnnp.analysis.kirkwood_buff import (
    DEFAULT,
    Estimator,
    KirkwoodBuff,
    Solution,
    Value,
    integral_counts,
    kirkwood_buff_of_counts,
)
from cgnnp.analysis.pmf import Landmarks, MeanPotential, landmarks, mean_potential
from cgnnp.analysis.rdf import curves
from cgnnp.frames.boxes import half_shortest
from cgnnp.frames.frames import Frames
from cgnnp.runtime.representation import brief
from cgnnp.units import thermal_energy

SIDES = ("atomistic", "cg")
SAME_SIZE = 1e-3


@brief
@dataclass(frozen=True)
class SaltFindings:
    """What `find_salt` finds, by side ("atomistic", "cg"; a side without frames is left out).

    Pairs have the names and the order of the atomistic side on both. `mean_potentials` are -kT ln of the smoothed g(r), at
    the concentration of the frames. `kirkwood_buff` is by the estimator that was asked for, `estimators` by every one; both
    are empty where a type has one bead only. `same_size` says whether both sides have equal numbers of beads and boxes:
    only then do finite boxes err alike on both. `phi_w` is the solvent's volume fraction, None where it is not known.
    """

    coordination: dict[str, list[Coordination]]
    mean_potentials: dict[str, list[MeanPotential]]
    kirkwood_buff: dict[str, KirkwoodBuff]
    estimators: dict[Estimator, dict[str, KirkwoodBuff]]
    same_size: bool | None
    phi_w: float | None

    @property
    def landmarks(self) -> dict[str, dict[tuple[str, str], Landmarks]]:
        """Contact and barrier of every pair at the concentration of each side, energies in kT."""
        return {
            side: {found.pair: landmarks(found.r, found.energy / thermal_energy(found.temperature)) for found in potentials}
            for side, potentials in self.mean_potentials.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain data for summary.json; what is not known is None."""
        integrals = self.kirkwood_buff
        first = next(iter(integrals.values()), None)
        return {
            "estimator": None if first is None else str(first.estimator),
            "R_nm": None if first is None else list(first.window_nm),
            "same_size": self.same_size,
            "phi_w": self.phi_w,
            "coordination": self._coordination_rows(),
            "mean_potential": self._landmark_rows(),
            "kirkwood_buff": [
                {"pair": "-".join(pair)}
                | _pair("G_nm3", {side: found.values.get(pair) for side, found in integrals.items()})
                for pair in ([] if first is None else first.values)
            ],
            **self._salt_row(integrals),
            "estimators": [
                {"estimator": str(name), "default": first is not None and name == first.estimator} | self._salt_row(found)
                for name, found in self.estimators.items()
            ],
            **{f"kirkwood_buff_reliable_{side}": found.reliable for side, found in integrals.items()},
        }

    def _salt_row(self, integrals: Mapping[str, KirkwoodBuff]) -> dict[str, Any]:
        """Sums of charges, osmotic modulus and d ln a/d ln c of one estimator on both sides."""
        kinds = next((found.charge_sums for found in integrals.values()), {})
        activity = {
            side: None if self.phi_w is None else found.activity_derivative(self.phi_w) for side, found in integrals.items()
        }
        return {
            "electroneutrality": [
                {"type": kind} | _pair("sum", {side: found.charge_sums.get(kind) for side, found in integrals.items()})
                for kind in kinds
            ],
            **_pair("osmotic_modulus_kT", {side: found.modulus for side, found in integrals.items()}),
            **_pair("activity_derivative", activity),
        }

    def _coordination_rows(self) -> list[dict[str, Any]]:
        """One row per pair; both sides are counted up to the same distance."""
        rows: dict[str, dict[str, Any]] = {}
        for side, found in self.coordination.items():
            for entry in found:
                row = rows.setdefault(entry.name, {"pair": entry.name, "shell_nm": entry.shell_nm})
                row |= {f"number_{side}": entry.number, f"number_stderr_{side}": entry.number_stderr}
                row[f"reliable_{side}"] = entry.reliable
        return list(rows.values())

    def _landmark_rows(self) -> list[dict[str, Any]]:
        """One row per pair: contact (nm) and barrier out of it (kT) at this concentration."""
        rows: dict[str, dict[str, Any]] = {}
        for side, found in self.landmarks.items():
            for pair, marks in found.items():
                row = rows.setdefault("-".join(pair), {"pair": "-".join(pair)})
                row[f"contact_nm_{side}"] = None if marks.contact is None else marks.contact[0]
                row[f"barrier_out_kT_{side}"] = marks.barrier_out
        return list(rows.values())


def find_salt(
    atomistic: Frames, cg: Frames | None = None, phi_w: float | None = None, estimator: Estimator = DEFAULT
) -> SaltFindings:
    """Coordination numbers, barriers, Kirkwood-Buff integrals, electroneutrality and activity derivative of ions.

    Both sides are counted up to the same distances: first shells end at the minima of the atomistic g(r), integrals at half
    the smaller box. The types of beads may come in another order on the other side.

    Args:
        atomistic: mapped frames of the atomistic run; at least two.
        cg: frames of the coarse-grained run.
        phi_w: volume fraction of the solvent (`cgnnp.units.solvent_fraction`).
        estimator: of the Kirkwood-Buff integrals that are shown as curves; the others are there for comparison.

    Raises:
        ValueError: fewer than two frames on a side, or sides of different types of beads.
    """
    sides = {"atomistic": atomistic} | ({} if cg is None else {"cg": cg})
    if cg is not None and set(cg.mapping.type_names) != set(atomistic.mapping.type_names):
        names = [", ".join(frames.mapping.type_names) for frames in sides.values()]
        raise ValueError(f"atomistic frames hold {names[0]}, coarse-grained ones {names[1]}: they cannot be compared")
    shells: dict[tuple[str, str], float] | None = None
    numbers: dict[str, list[Coordination]] = {}
    potentials: dict[str, list[MeanPotential]] = {}
    types = atomistic.mapping.type_names
    for side, frames in sides.items():
        found = shell_counts(frames).in_order(list(itertools.combinations_with_replacement(types, 2)))
        numbers[side] = coordination_of(found, Counter(frames.mapping.bead_types), shells)
        potentials[side] = [mean_potential(curve, frames.temperature, smooth=True) for curve in curves(found)]
        shells = {entry.pair: entry.shell_nm for entry in numbers["atomistic"] if entry.shell_nm is not None}
    by_estimator: dict[Estimator, dict[str, KirkwoodBuff]] = {}
    if min(min(Counter(frames.mapping.bead_types).values()) for frames in sides.values()) > 1:
        r_max = min(half_shortest(frames.boxes) for frames in sides.values())
        counted = {side: (integral_counts(frames, r_max), Solution.of(frames, types)) for side, frames in sides.items()}
        by_estimator = {
            name: {side: kirkwood_buff_of_counts(*known, name) for side, known in counted.items()} for name in Estimator
        }
    same_size = None if cg is None else _same_size(atomistic, cg)
    return SaltFindings(numbers, potentials, by_estimator.get(estimator, {}), by_estimator, same_size, phi_w)


def _same_size(first: Frames, second: Frames) -> bool:
    """Whether numbers of beads and mean volumes are equal."""
    volumes = [float(np.mean(np.abs(np.linalg.det(frames.boxes)))) for frames in (first, second)]
    beads = [Counter(frames.mapping.bead_types) for frames in (first, second)]
    return beads[0] == beads[1] and abs(volumes[1] / volumes[0] - 1) < SAME_SIZE


def _pair(key: str, values: Mapping[str, Value | None]) -> dict[str, Any]:
    """A figure and its error on both sides."""
    row: dict[str, Any] = {}
    for side in SIDES:
        found = values.get(side)
        row[f"{key}_{side}"] = None if found is None else found.value
        row[f"{key}_stderr_{side}"] = None if found is None else found.stderr
    return row
