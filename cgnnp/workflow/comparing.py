"""Compare a coarse-grained run with the data that its potential came from: g(r), T_conf, isolated dimers, salts."""

import csv
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cgnnp.analysis.figures import Theme, plot_rdf
from cgnnp.analysis.rdf import Rdf, longest_distance, rdf
from cgnnp.analysis.rdf_verdict import in_words
from cgnnp.diagnostics.consistency import Consistency
from cgnnp.frames.frames import Frames
from cgnnp.report.summary import ComparisonFigures
from cgnnp.runtime.formatting import percent
from cgnnp.runtime.representation import paragraph
from cgnnp.runtime.storage import write_file
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.temperatures import judge_structure
from cgnnp.workflow.dimers_and_salts import PairFindings, find_pairs
from cgnnp.workflow.quality import independent_frames_per_s, rdf_row
from cgnnp.workflow.results import OtherVersion, load_figures, save_figures
from cgnnp.workflow.sound_data import temperature_figures

log = logging.getLogger("cgnnp")

MEND = "delete it and run python -m cgnnp.compare again"

CSV_COLUMNS = ("r_nm", "pair", "g_atomistic", "stderr_atomistic", "g_cg", "stderr_cg")


@dataclass(frozen=True, repr=False)
class RdfComparison:
    """g(r) of one kind of pair on both sides: D, what noise alone would give, and the judgement in words."""

    atomistic: Rdf
    coarse: Rdf
    deviation: float
    expected_deviation: float
    verdict: str

    def __repr__(self) -> str:
        name, noise = self.atomistic.name, percent(self.expected_deviation)
        return f"RdfComparison: {name} {self.verdict}; D {percent(self.deviation)}, noise alone {noise}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """A coarse-grained run beside atomistic data.

    Args:
        curves: g(r) of every kind of pair, atomistic and coarse-grained.
        pairs: isolated dimers and what makes charged beads a salt.
        figures: D, peaks and all else that a summary says.
        temperatures: of both sides, K.
    """

    curves: tuple[tuple[Rdf, Rdf], ...]
    pairs: PairFindings
    figures: ComparisonFigures
    temperatures: tuple[float, float]

    def __repr__(self) -> str:
        return paragraph([f"Comparison of {len(self.curves)} kinds of pairs", *(f"  {row}" for row in self.rdf.values())])

    @property
    def rdf(self) -> dict[str, RdfComparison]:
        """The comparison of every kind of pair, by its name: Na-Cl."""
        return {
            row["pair"]: RdfComparison(*pair, row["deviation"], row["residual"]["expected_deviation"], in_words(row))
            for pair, row in zip(self.curves, self.figures.rdf, strict=True)
        }

    def drawings(self) -> dict[str, Callable[[Theme], Figure | None]]:
        """Pictures by name."""
        return {"rdf": lambda theme: plot_rdf(self.curves, theme), **self.pairs.drawings()}

    def save(self, folder: str | Path, inputs: str = "") -> None:
        """Write it to a folder, with the digest of what it was made from."""
        save_figures(folder, self.figures, inputs, curves=self.curves, pairs=self.pairs, temperatures=self.temperatures)

    @classmethod
    def load(cls, folder: str | Path, inputs: str | None = None) -> "Comparison | None":
        """What was saved in a folder; None where it holds nothing of these inputs.

        Raises:
            FileNotFoundError: it holds nothing at all, and no inputs are asked for.
            ValueError: damaged.
        """
        kinds: dict[str, Any] = {
            "curves": tuple[tuple[Rdf, Rdf], ...],
            "pairs": PairFindings,
            "temperatures": tuple[float, float],
        }
        try:
            known = load_figures(folder, ComparisonFigures, inputs, MEND, anew=True, **kinds)
        except OtherVersion as error:
            if inputs is None:
                raise
            log.info("compare: comparing anew: %s", error)
            return None
        if known is None and inputs is None:
            raise FileNotFoundError(f"{folder}: no comparison was saved there, or not all of it: compare again")
        if known is None:
            return None
        return cls(figures=known[0], **{name: known[1][name] for name in kinds})

    def write_csv(self, folder: Path) -> None:
        """Write rdf.csv, dimers.csv, pmf.csv and, of salts, kirkwood_buff.csv."""
        write_rdf_csv(folder / "rdf.csv", self.curves)
        self.pairs.write_csv(folder, self.curves, self.temperatures)


def compare_frames(
    frames: Frames,
    coarse: Frames,
    bundle: PotentialBundle,
    consistency: Consistency | None = None,
    speeds: tuple[float | None, float | None] = (None, None),
) -> Comparison:
    """Compare the frames of a coarse-grained run with those of its data.

    Args:
        frames: mapped atomistic frames.
        coarse: of the coarse-grained run.
        bundle: the potential of that run.
        consistency: of the coarse frames, where it is known.
        speeds: of both sides, ns/day.
    """
    r_max = min(longest_distance(frames), longest_distance(coarse))
    curves = tuple(zip(rdf(frames, r_max), rdf(coarse, r_max), strict=True))
    consistency = consistency or judge_structure(coarse, "compare")
    pairs = find_pairs(frames, coarse, [curve.pair for curve, _ in curves], bundle)
    rows = [rdf_row(*pair) for pair in curves]
    for row in rows:
        log.info(
            "compare: %s %s: D %.4f (noise of the data %.4f, of the run %.4f), first peak %.4f nm %.3f against %.4f nm %.3f",
            *(row["pair"], in_words(row), row["deviation"], row["deviation_noise"], row["deviation_noise_cg"]),
            *(row["peak_r_nm_cg"], row["peak_g_cg"], row["peak_r_nm_atomistic"], row["peak_g_atomistic"]),
        )
    figures = ComparisonFigures(
        rdf=rows,
        t_conf_cg=temperature_figures(consistency),
        independent_frames_per_s=independent_frames_per_s(speeds, (frames, coarse), curves),
        **pairs.to_dict(),
    )
    return Comparison(curves, pairs, figures, (frames.temperature, coarse.temperature))


def write_rdf_csv(path: Path, curves: Sequence[tuple[Rdf, Rdf]]) -> None:
    """Write g(r) of every pair, atomistic and coarse-grained, with standard errors; one row per bin."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for atomistic, cg in curves:
        columns = (atomistic.r, atomistic.g, atomistic.stderr, cg.g, cg.stderr)
        for r, *values in zip(*columns, strict=True):
            writer.writerow([f"{r:.4f}", atomistic.name, *(f"{value:.6g}" for value in values)])
    write_file(path, text.getvalue())
