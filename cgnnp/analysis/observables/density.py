"""The densities of the beads in the atomistic and the coarse-grained run, which should be equal.

A potential of mean force holds only at the density of its data.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cgnnp.analysis.observables.observable import SIDES, BothSides, Finding, Observable, Row
from cgnnp.analysis.section import Section, Table
from cgnnp.frames.frames import Frames
from cgnnp.runtime.formatting import number, significant
from cgnnp.units import AVOGADRO_PER_NM3

SAME = 0.01
"""Densities are called equal if their relative difference is at most this."""


@dataclass(frozen=True)
class DensityFinding(Finding):
    """Numbers of beads and volumes (nm^3) of the atomistic and the coarse-grained run.

    `counts` holds the number of beads of each type, as (atomistic, coarse-grained). `volumes` are the mean volumes.
    """

    counts: dict[str, tuple[int, int]]
    volumes: tuple[float, float]

    def rows(self) -> list[Row]:
        """Return one row for each bead type, with densities and concentrations."""
        rows = []
        for name, counts in self.counts.items():
            row: Row = {"type": name}
            for side, count, volume in zip(SIDES, counts, self.volumes, strict=True):
                row |= {f"beads_{side}": count, f"density_nm3_{side}": count / volume}
                row[f"concentration_M_{side}"] = count / volume / AVOGADRO_PER_NM3
            rows.append(row)
        return rows

    @property
    def is_same(self) -> bool:
        """Whether each bead type has the same density in both runs."""
        first, second = self.volumes
        return all(abs(a / first - b / second) <= SAME * a / first for a, b in self.counts.values())

    def section(self) -> Section:
        """Return a section with numbers of beads, volumes and densities."""
        columns: tuple[str, ...] = ("beads", "number, atomistic", "number, CG", "per nm³, atomistic", "per nm³, CG")
        columns += ("mol/L, atomistic", "mol/L, CG")
        rows = []
        for row in self.rows():
            cells = [number(row[f"beads_{side}"]) for side in SIDES]
            cells += [significant(row[f"density_nm3_{side}"], 4) for side in SIDES]
            rows.append((row["type"], *cells, *(significant(row[f"concentration_M_{side}"], 4) for side in SIDES)))
        volumes = " and ".join(f"{number(volume, 3)} nm³" for volume in self.volumes)
        said = (
            f"The volumes of the boxes are {volumes} (atomistic, coarse-grained)."
            if self.is_same
            else f"The volumes of the boxes are {volumes} (atomistic, coarse-grained), and the densities differ: this page "
            "compares two different states."
        )
        return Section("Density", (said, Table(columns, tuple(rows))))


@dataclass(frozen=True)
class Density(Observable):
    """Number density of each bead type: its number of beads divided by the mean volume of the box."""

    name: ClassVar[str] = "density"
    kind: ClassVar[type[Finding]] = DensityFinding

    def unsuited(self, both: BothSides) -> str | None:
        """Return None: the observable applies to all runs."""
        return None

    def find(self, both: BothSides) -> DensityFinding:
        """Count the beads of each type, and compute the mean volumes of both runs."""
        counts = {
            name: (both.atomistic.mapping.bead_types.count(name), both.coarse.mapping.bead_types.count(name))
            for name in both.types
        }
        return DensityFinding(counts, (_volume(both.atomistic), _volume(both.coarse)))


def _volume(frames: Frames) -> float:
    """Return the mean volume of the box, nm^3."""
    return float(np.mean(np.abs(np.linalg.det(np.asarray(frames.boxes, dtype=np.float64)))))
