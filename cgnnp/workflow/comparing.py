"""Compare a coarse-grained run with atomistic data of the same beads, by all observables that apply to the beads."""

import csv
import datetime
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.analysis.agreement import Judgement
from cgnnp.analysis.observables.choice import Choice, choice, kinds_of_findings
from cgnnp.analysis.observables.observable import BothSides, CsvTable, Finding, Observable
from cgnnp.analysis.observables.rdf import RdfFinding
from cgnnp.analysis.observables.temperatures import TemperaturesFinding
from cgnnp.analysis.rdf import Rdf
from cgnnp.analysis.section import Section
from cgnnp.dynamics.langevin_dynamics import SECONDS_PER_DAY
from cgnnp.report.summary import ComparisonFigures, TemperatureFigures
from cgnnp.runtime.formatting import percent
from cgnnp.runtime.representation import paragraph
from cgnnp.runtime.storage import read_json, write_file, write_json
from cgnnp.workflow.results import OtherVersion, load_figures, save_figures
from cgnnp.workflow.sound_data import temperature_figures

log = logging.getLogger("cgnnp")

MEND = "delete it and run python -m cgnnp.compare again"

FILES = "files.json"
"""File with the names of the tables and pictures that comparisons wrote to a folder."""


@dataclass(frozen=True, repr=False, eq=False)
class RdfComparison:
    """g(r) of one kind of pair in the data and in the run.

    Args:
        atomistic: g(r) of the atomistic data.
        coarse: g(r) of the coarse-grained run.
        deviation: the deviation D between the two.
        expected_deviation: the value of D that noise alone would give.
        verdict: the judgement in words.
    """

    atomistic: Rdf
    coarse: Rdf
    deviation: float
    expected_deviation: float
    verdict: str

    def __repr__(self) -> str:
        name, noise = self.atomistic.name, percent(self.expected_deviation)
        unreliable = "" if self.atomistic.reliable and self.coarse.reliable else "; the errors are not reliable"
        return f"RdfComparison: {name} {self.verdict}; D {percent(self.deviation)}, noise alone {noise}{unreliable}"


class ByName(dict[str, Any]):
    """Results by name. The error for an unknown name lists the known names."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"there is no {name!r}: this comparison has {', '.join(map(repr, self)) or 'none'}")


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(Mapping[str, Finding]):
    """The comparison of a coarse-grained run with atomistic data: a mapping from the names of observables to their results.

    Args:
        findings: results of the observables, in the order in which a report shows them.
        figures: results of the comparison that summary.json stores.
        absent: names of observables that have no result, each with the reason.

    >>> list(found)                                                    # doctest: +SKIP
    ['rdf', 'angles', 'tetrahedral_order', 'coordination', 'dimers', 'density', 'temperatures']
    >>> found["angles"].judgements(), found.rdf["W-W"].deviation       # doctest: +SKIP
    """

    findings: dict[str, Finding]
    figures: ComparisonFigures
    absent: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Finding:
        return ByName(self.findings)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __repr__(self) -> str:
        return paragraph(
            [f"Comparison of {', '.join(self.findings) or 'nothing'}", *(f"  {one}" for one in self.judgements)]
        )

    @property
    def judgements(self) -> list[Judgement]:
        """Judgements of the agreement, from all observables."""
        return [one for finding in self.findings.values() for one in finding.judgements()]

    @property
    def curves(self) -> tuple[tuple[Rdf, Rdf], ...]:
        """g(r) of every kind of pair, as (atomistic, coarse-grained); empty if g(r) was not compared."""
        found = self.findings.get("rdf")
        return found.curves if isinstance(found, RdfFinding) else ()

    @property
    def rdf(self) -> dict[str, RdfComparison]:
        """The comparison of g(r) for every kind of pair, by the name of the pair, such as Na-Cl."""
        found = self.findings.get("rdf")
        judged = found.judgements() if found else ()
        return ByName(
            (pair[0].name, RdfComparison(*pair, one.deviation, one.noise, one.in_words))
            for pair, one in zip(self.curves, judged, strict=True)
        )

    def sections(self) -> list[Section]:
        """Return the sections of the report: one for each observable, and one for those that have no result."""
        notes = [f"{name.replace('_', ' ').capitalize()}: {reason}." for name, reason in self.absent.items()]
        without = [Section("Observables without a result", (), notes)] if notes else []
        return [*(finding.section() for finding in self.findings.values()), *without]

    def save(self, folder: str | Path, inputs: str = "") -> None:
        """Write the comparison to a folder, together with `inputs`, the digest of everything that it depends on."""
        save_figures(folder, self.figures, inputs, absent=self.absent, names=list(self.findings), **self.findings)

    @classmethod
    def load(
        cls, folder: str | Path, inputs: str | None = None, observables: Sequence[Observable] = ()
    ) -> "Comparison | None":
        """Read a comparison that `save` wrote; return None if the folder has none that was made from these inputs.

        Args:
            folder: folder of the comparison.
            inputs: digest of the inputs from which the comparison must have been made; None accepts any.
            observables: further observables, which are not in `conf/compare`.

        Raises:
            FileNotFoundError: `inputs` is None, and the folder has no comparison.
            ValueError: the files are damaged, or they have an observable that is not known.
        """
        try:
            names = load_figures(folder, Any, inputs, MEND, anew=True, names=list[str])
            kinds: dict[str, Any] = kinds_of_findings(observables)
            if unknown := [name for name in (names[1]["names"] if names else []) if name not in kinds]:
                raise ValueError(f"{folder}: the observable '{unknown[0]}' is unknown: pass it in the argument observables")
            wanted = {"absent": dict[str, str], "names": list[str]}
            wanted |= {name: kinds[name] for name in (names[1]["names"] if names else [])}
            known = load_figures(folder, ComparisonFigures, inputs, MEND, anew=True, **wanted)
        except OtherVersion as error:
            if inputs is None:
                raise
            log.info("compare: the comparison is made anew: %s", error)
            return None
        if known is None and inputs is None:
            raise FileNotFoundError(f"{folder}: the folder has no comparison, or only a part of one: compare again")
        if known is None:
            return None
        return cls({name: known[1][name] for name in known[1]["names"]}, known[0], known[1]["absent"])

    @property
    def file_names(self) -> set[str]:
        """Names of the tables and pictures of the observables."""
        tables = {f"{name}.csv" for finding in self.findings.values() for name in finding.tables()}
        return tables | {f"{picture.name}.png" for section in self.sections() for picture in section.pictures}

    @contextmanager
    def replacing_files(self, folder: Path, result: Path) -> Iterator[None]:
        """Remove the tables and pictures of earlier comparisons, when the context is left, unless they were written again.

        Only files that files.json lists as written by a comparison are removed. The names of this comparison enter
        files.json before the files are written, so the list is complete even if the process is killed.

        Args:
            folder: folder of the tables and pictures.
            result: folder of the result of the comparison, which holds files.json.
        """
        listed, names = result / FILES, self.file_names
        earlier = {name for name in read_json(listed) if name == Path(name).name} if listed.exists() else set()
        result.mkdir(parents=True, exist_ok=True)
        write_json(listed, sorted(earlier | names))
        yield
        stale = sorted(name for name in earlier - names if (folder / name).exists())
        for name in stale:
            (folder / name).unlink()
        if stale:
            log.info("compare: removed files of the last comparison that this one has no result for: %s", ", ".join(stale))
        write_json(listed, sorted(names))

    def write_csv(self, folder: str | Path) -> None:
        """Write the tables of all observables to a folder as CSV files: rdf.csv, angles.csv, dimers.csv, ..."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        for finding in self.findings.values():
            for name, table in finding.tables().items():
                write_table(place / f"{name}.csv", table)


def compare_sides(
    both: BothSides, chosen: Choice | None = None, speeds: tuple[float | None, float | None] = (None, None)
) -> Comparison:
    """Compare the frames of a coarse-grained run with atomistic frames.

    Args:
        both: the frames of both runs, and the potential of the coarse-grained run.
        chosen: the observables to compare; by default all that apply to the beads.
        speeds: speeds of the atomistic and of the coarse-grained simulation, ns/day; None if unknown.
    """
    chosen = chosen or choice()
    findings, absent = chosen.find(both)
    for finding in findings.values():
        for line in finding.lines():
            log.info("compare: %s", line)
    values: dict[str, Any] = {"observables": {}}
    for name, finding in findings.items():
        entries = finding.entries(name)
        values["observables"] |= entries.pop("observables", {})
        values |= entries
    found = findings.get("temperatures")
    consistency = found.consistency if isinstance(found, TemperaturesFinding) else both.consistency
    known = TemperatureFigures() if consistency is None else temperature_figures(consistency)
    judgements = [one.to_dict() for finding in findings.values() for one in finding.judgements()]
    comparison = Comparison(findings, ComparisonFigures(), absent)
    values["independent_frames_per_s"] = independent_frames_per_s(speeds, both, comparison.curves)
    made = {"created": f"{datetime.datetime.now():%Y-%m-%dT%H:%M:%S}", "settings": chosen.settings}
    figures = ComparisonFigures(t_conf_cg=known, judgements=judgements, comparison=made, **values)
    return Comparison(findings, figures, absent)


def independent_frames_per_s(
    speeds: tuple[float | None, float | None], both: BothSides, curves: Sequence[tuple[Rdf, Rdf]]
) -> dict[str, float | None] | None:
    """Return the number of independent frames that each run samples per second of computing; None without any g(r).

    One independent frame takes two autocorrelation times of the first-shell coordination number that relaxes slowest. Unlike
    ns/day, this number does not depend on an arbitrary choice of bead masses and friction.

    Args:
        speeds: speeds of the atomistic and of the coarse-grained simulation, ns/day; None if unknown.
        both: the frames of both runs.
        curves: g(r) of every kind of pair, as (atomistic, coarse-grained).
    """
    if not curves:
        return None
    result: dict[str, float | None] = {}
    for k, (side, part, speed) in enumerate(zip(("atomistic", "cg"), both, speeds, strict=True)):
        tau_ps = max(pair[k].tau_frames for pair in curves) * part.meta.interval
        result[side] = None if speed is None else speed * 1000 / SECONDS_PER_DAY / (2 * tau_ps)
    return result


def write_table(path: Path, table: CsvTable) -> None:
    """Write a CSV file. Values have six significant digits; a cell is empty where there is no finite value."""
    columns, rows = table
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for x, name, *values in rows:
        writer.writerow([f"{x:.4f}", name, *(f"{value:.6g}" if np.isfinite(value) else "" for value in values)])
    write_file(path, text.getvalue())
