"""Angles between neighbours in the first shell: the three-body structure, which pair potentials do not reproduce."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgnnp.analysis.agreement import LEVELS, Judgement
from cgnnp.analysis.angles import BINS, Adf, NoAngles, adf, adf_deviation, adf_deviation_noise
from cgnnp.analysis.coordination import first_minimum
from cgnnp.analysis.figures import LIGHT, MOST_PANELS, Theme, band, legend, looks, panel_grid, titled
from cgnnp.analysis.observables.observable import SIDES, BothSides, CsvTable, Finding, Observable, Row, thinned
from cgnnp.analysis.observables.rdf import beyond, in_chi2, largest, rdf_of
from cgnnp.analysis.residual import Residual, residual
from cgnnp.analysis.section import Picture, Section, Table, Toned, each_alone
from cgnnp.frames.boxes import half_shortest
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.formatting import number, percent
from cgnnp.runtime.settings import check_positive

DENSITIES = ("P_atomistic", "stderr_atomistic", "P_cg", "stderr_cg")
CSV_COLUMNS = ("theta_deg", "angle", *(f"{name}_per_deg" for name in DENSITIES))

FEWEST = 0.01
"""A triple of types with fewer angles per central bead than this is left out as noise, unless the user lists it."""


@dataclass(frozen=True)
class AnglesFinding(Finding):
    """P(theta) of every triple of types, as pairs of an atomistic and a coarse-grained curve with the same first shell."""

    curves: tuple[tuple[Adf, Adf], ...]

    @cached_property
    def residuals(self) -> tuple[Residual, ...]:
        """The difference of the two curves of each triple, with its tests."""
        return tuple(residual(*pair) for pair in self.curves)

    def judgements(self) -> Sequence[Judgement]:
        """Return one judgement for each triple."""
        return [
            Judgement(f"angles {pair[0].name}", found.agreement, found.deviation, found.noise)
            for pair, found in zip(self.curves, self.residuals, strict=True)
        ]

    def rows(self) -> list[Row]:
        """Return D, its noise and the tests of the residual for each triple."""
        return [_row(*pair, found) for pair, found in zip(self.curves, self.residuals, strict=True)]

    def tables(self) -> dict[str, CsvTable]:
        """Return the curves for angles.csv."""
        rows = (
            (theta, first.name, *values)
            for first, second in self.curves
            for theta, *values in zip(first.theta, first.density, first.stderr, second.density, second.stderr, strict=True)
        )
        return {"angles": (CSV_COLUMNS, rows)}

    def beside(self, label: str, others: Sequence[tuple[str, Finding]]) -> Picture | None:
        """Return a picture with the curves of all runs and the atomistic curve."""
        sides = [(label, self), *((name, found) for name, found in others if isinstance(found, AnglesFinding))]
        drawn = []
        for first, _ in self.curves:
            models = [
                (name, curve)
                for name, found in sides
                for one, curve in found.curves
                if one.name == first.name and len(one.theta) == len(first.theta)
            ]
            drawn.append([(SIDES["atomistic"], first), *models])
        alt = "Distributions of angles of all runs"
        return Picture("angles", alt, "", lambda theme: plot_angles(drawn, theme), each_alone(plot_angles, drawn))

    def section(self) -> Section:
        """Return a section with the curves and a table of the judgements."""
        drawn = [list(zip(SIDES.values(), pair, strict=True)) for pair in self.curves]
        picture = Picture(
            "angles",
            "Distributions of angles between neighbours in the first shell, atomistic and coarse-grained",
            "Distribution of the angle at a bead between two neighbours within its first shell. For both curves the shell "
            "ends at the first minimum of the atomistic g(r) unless shell_nm is set. Bands are two standard errors; the "
            "dotted line is an ideal gas.",
            lambda theme: plot_angles(drawn, theme),
            each_alone(plot_angles, drawn),
        )
        columns: tuple[str, ...] = ("angle", "P(θ)", "shell radius (nm)", "D", "D of noise alone", "χ² per function (p)")
        columns += ("bins beyond 2, 3 standard errors", "largest residual (standard errors)")
        rows = []
        for (first, _), judged, found in zip(self.curves, self.judgements(), self.residuals, strict=True):
            numbers = number(first.shell, 3), number(found.deviation, 4), number(found.noise, 4)
            cells = (*numbers, in_chi2(found), beyond(found.whole), largest(found, "°"))
            rows.append((first.name, Toned(judged.short, LEVELS[judged.agreement]), *cells))
        return Section("Angles between neighbours", (picture, Table(columns, tuple(rows), ("P(θ)",))))


@dataclass(frozen=True)
class Angles(Observable):
    """Distribution P(theta) of angles between neighbours in the first shell.

    Args:
        triples: triples of bead types with the centre in the middle, for example [Cl-Na-Cl]. By default, two
            like ions around an ion of opposite charge, or, for neutral beads, three beads of the same type.
        shell_nm: radius of the first shell, nm; by default the first minimum of the atomistic g(r).
        bins: number of bins from 0 to 180 degrees.
        max_frames: largest number of frames of each run; longer runs are thinned.
    """

    name: ClassVar[str] = "angles"
    kind: ClassVar[type[Finding]] = AnglesFinding

    triples: list[str] | None = None
    shell_nm: float | None = None
    bins: int = BINS
    max_frames: int = 3000

    def __post_init__(self) -> None:
        check_positive("compare.angles", bins=self.bins, max_frames=self.max_frames)
        if self.shell_nm is not None:
            check_positive("compare.angles", shell_nm=self.shell_nm)
        for name in self.triples or ():
            outer, _, last = (parts := name.split("-") + [""] * 3)[:3]
            if len(name.split("-")) != 3 or outer != last or not all(parts[:3]):
                raise SettingError(
                    "compare.angles",
                    f"triples: {name!r} must have the form Cl-Na-Cl, with the central type between two equal types",
                )

    def unsuited(self, both: BothSides) -> str | None:
        """Return a reason to skip this observable if there are fewer than three beads, or if no g(r) has a first shell."""
        if min(frames.mapping.n_beads for frames in both) < 3:
            return "angles need at least three beads"
        if not self._asked(both):
            return "no pair of bead types has a first shell (g(r) has no minimum after its first peak)"
        return None

    def find(self, both: BothSides) -> AnglesFinding:
        """Compute P(theta) of the atomistic and the coarse-grained run, within the first shell of the atomistic data.

        Raises:
            ValueError: a listed triple has an unknown bead type or no first shell, `shell_nm` is more than half the smaller
                box, or beads too rarely have two neighbours in their first shell.
        """
        self._check_shell(both)
        found = []
        atomistic, coarse = (thinned(frames, self.max_frames) for frames in both)
        for center, neighbor, shell in self._asked(both):
            try:
                first, second = (adf(frames, center, neighbor, shell, self.bins) for frames in (atomistic, coarse))
            except NoAngles:
                if self.triples is not None:
                    raise
                continue
            if self.triples is not None or min(first.angles_per_bead, second.angles_per_bead) >= FEWEST:
                found.append((first, second))
        if not found:
            raise ValueError(
                f"angles: beads too rarely have two neighbours in their first shell (fewer than {FEWEST:g} angles per bead)"
            )
        return AnglesFinding(tuple(found[:MOST_PANELS] if self.triples is None else found))

    def _check_shell(self, both: BothSides) -> None:
        """Raise an error if the shell radius is more than half the smaller box, where the minimum-image distance ends."""
        most = min(half_shortest(frames.boxes) for frames in both)
        if self.shell_nm is not None and self.shell_nm > most:
            raise SettingError(
                "compare.angles",
                f"shell_nm={self.shell_nm}: is more than half the smaller box, which is {most:.3f} nm: set a smaller "
                "shell_nm, or leave it null for the first minimum of g(r)",
            )

    def _asked(self, both: BothSides) -> list[tuple[str, str, float]]:
        """Return the type of the centre, the type of the neighbours and the shell radius (nm) of each triple to compute.

        Raises:
            ValueError: a listed triple has an unknown bead type or no first shell.
        """
        shells = {frozenset(pair[0].pair): first_minimum(pair[0]) for pair in rdf_of(both)}
        mapping, found = both.atomistic.mapping, []
        charges = mapping.per_type(mapping.charges)
        if self.triples is not None:
            pairs = [(name.split("-")[1], name.split("-")[0]) for name in self.triples]
        elif both.is_charged:
            pairs = [(a, b) for a in both.types for b in both.types if charges[a] * charges[b] < 0]
        else:
            pairs = [(a, a) for a in both.types]
        for center, neighbor in pairs:
            for name in (center, neighbor):
                if name not in both.types:
                    raise ValueError(
                        f"angles: there are no beads of type {name}; the data have the types {', '.join(both.types)}"
                    )
            shell = shells.get(frozenset((center, neighbor))) if self.shell_nm is None else self.shell_nm
            if shell is not None:
                found.append((center, neighbor, shell))
            elif self.triples is not None:
                raise ValueError(
                    f"angles: g(r) of {center}-{neighbor} has no first minimum, which would end the first shell: set "
                    "shell_nm, the radius of the shell"
                )
        return found


def plot_angles(panels: Sequence[Sequence[tuple[str, Adf]]], theme: Theme = LIGHT) -> Figure:
    """Plot P(theta) of the atomistic run and of models, with bands of two standard errors. Each triple has a panel.

    Args:
        panels: for each triple of types, the labels and curves of the atomistic run and of one or more models.
        theme: colours.

    Raises:
        ValueError: the curves of one panel are of different triples of types, or have different bins.
    """
    figure, axes = panel_grid(len(panels), theme)
    for (panel,), sides in zip(axes, panels, strict=True):
        if len(names := dict.fromkeys(found.name for _, found in sides)) != 1:
            raise ValueError(
                f"a panel shows one triple of bead types, but got {' and '.join(names) or 'none'}: use one panel per triple"
            )
        draw_angles(panel, sides, theme)
    return figure


def draw_angles(axes: Axes, angles: Sequence[tuple[str, Adf]], theme: Theme = LIGHT) -> None:
    """Draw P(theta) of one triple in given axes. The legend shows D of each model with respect to the first curve."""
    first, styles = angles[0][1], looks([label for label, _ in angles], theme)
    for label, found in angles:
        band(axes, found.theta, found.density, found.stderr, styles[label]["color"])
        text = label if found is first else f"{label}, D {percent(adf_deviation(first, found))}"
        axes.plot(found.theta, found.density, label=text, **styles[label])
    axes.plot(first.theta, first.at_random, color=theme.muted, linewidth=0.9, linestyle=":", zorder=0, label="ideal gas")
    axes.set_xlim(0.0, 180.0)
    axes.set_xticks(np.arange(0, 181, 30))
    axes.set_ylim(0.0, (1.2 + 0.1 * len(angles)) * max(float(found.density.max()) for _, found in angles))
    shells = list(dict.fromkeys(f"{shell:.3g}" for shell in sorted(found.shell for _, found in angles)))
    within = " to ".join(dict.fromkeys((shells[0], shells[-1])))
    titled(axes, f"{first.name} within {within} nm", theme)
    axes.set_xlabel("angle (degrees)")
    axes.set_ylabel("P (1/degree)")
    legend(axes, theme, loc="upper right", fontsize=8)


def _row(atomistic: Adf, coarse: Adf, found: Residual) -> Row:
    """Return the comparison of one triple as plain data."""
    return {
        "angle": atomistic.name,
        "verdict": str(found.agreement),
        "shell_nm": atomistic.shell,
        "residual": found.to_dict("theta_deg", "parts"),
        "deviation": found.deviation,
        "deviation_noise": adf_deviation_noise(atomistic),
        "deviation_noise_cg": adf_deviation_noise(coarse),
        "angles_per_bead_atomistic": atomistic.angles_per_bead,
        "angles_per_bead_cg": coarse.angles_per_bead,
        "reliable_atomistic": atomistic.reliable,
        "reliable_cg": coarse.reliable,
    }
