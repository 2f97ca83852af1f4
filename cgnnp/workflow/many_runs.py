"""Compare several runs with each other: differing settings, R2 on frames that no run was fitted to, structure and speed."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cgnnp.analysis.agreement import LEVELS, Judgement
from cgnnp.analysis.observables.choice import Choice, choice
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.analysis.section import Cell, Draw, Picture, Section, Table, Toned
from cgnnp.frames.dataset import frames_digest, has_data, open_frames
from cgnnp.frames.frames import Frames
from cgnnp.report.runs_page import write_runs_page
from cgnnp.report.summary import Row, Summary
from cgnnp.runtime.formatting import UNKNOWN, number, plus_minus
from cgnnp.runtime.representation import paragraph
from cgnnp.runtime.storage import write_json
from cgnnp.simulation.potential_files import load
from cgnnp.simulation.run import replica_folders
from cgnnp.statistics import Estimate, stratified_estimate
from cgnnp.workflow.comparing import Comparison, compare_sides
from cgnnp.workflow.fitting import total_forces
from cgnnp.workflow.job import Job
from cgnnp.workflow.run_differences import deviations_explained, difference_sentences, sized
from cgnnp.workflow.run_folder import FREE, RunFolder, flat_settings, unused_settings
from cgnnp.workflow.running import CoarseRun
from cgnnp.workflow.simulation_folder import check_same_beads

log = logging.getLogger("cgnnp")

FEWEST_FRAMES = 20
"""R2 is compared only if at least this many common frames exist, since fewer frames give no standard error."""

MOST_FRAMES = 600
"""R2 is compared on at most this many common frames, evenly spread, since networks in plain torch are slow."""

LEFT_OUT = (*FREE, "more_data")
FOLLOWING = ("model.seed", "trainer.seed", "simulation.seed")
"""Settings that have the value of `seed` unless they are given."""
SAMPLED = ("system", "reference", "mapping", "replica")
"""Groups of settings that determine which data are sampled."""

PAIRED = " Differences are paired: their errors do not contain the noise that two models share."


@dataclass(frozen=True, eq=False)
class OneRun:
    """One of the runs that are compared.

    Args:
        folder: folder of the run.
        settings: settings of the run, by their full names.
        summary: summary of the run.
        comparison: comparison of the run with atomistic data; None if the run was not simulated.
        squares: sums over the beads of the squared residual force and of the squared mapped force (frames, 2),
            (kJ/mol/nm)^2, for every common frame; None if there are no common frames.
    """

    folder: Path
    settings: dict[str, Any]
    summary: Summary
    comparison: Comparison | None
    squares: np.ndarray | None = None


@dataclass(frozen=True, repr=False, eq=False)
class ManyRuns:
    """Several runs that are compared. Differences are taken from the first run.

    Args:
        runs: the runs, in the order in which they were named.
        common: description of the frames on which R2 is compared, or the reason why there are no common frames.
        atomistic_is_one: whether all runs were compared with the same atomistic data.
    """

    runs: tuple[OneRun, ...]
    common: str
    atomistic_is_one: bool = True

    def __repr__(self) -> str:
        return paragraph([f"ManyRuns: {len(self.runs)} runs", *self.table().splitlines()])

    @cached_property
    def differing(self) -> list[str]:
        """Names of the settings that differ between the runs."""
        keys = dict.fromkeys(key for run in self.runs for key in run.settings)
        found = [key for key in keys if len({json.dumps(run.settings.get(key)) for run in self.runs}) > 1]
        following = [key for key in FOLLOWING if all(one.settings.get(key) == one.settings.get("seed") for one in self.runs)]
        sampled = any(key.partition(".")[0] in SAMPLED for key in found)  # then the data differ for this reason
        return [key for key in found if key not in following and not (key == "data" and sampled)]

    def label(self, run: OneRun) -> str:
        """Return a label that distinguishes a run from the others.

        The label gives the differing settings. If these are more than three, or do not distinguish all runs, the label is
        the name of the folder.
        """
        words = [f"{key.rpartition('.')[2]} {_setting(run.settings.get(key))}" for key in self.differing]
        told_apart = {str([one.settings.get(key) for key in self.differing]) for one in self.runs}
        return ", ".join(words) if 0 < len(words) <= 3 and len(told_apart) == len(self.runs) else self._names[run.folder]

    @cached_property
    def _names(self) -> dict[Path, str]:
        """Names of the folders of the runs, with as many parent folders as are needed to tell the runs apart."""
        folders = [run.folder.resolve() for run in self.runs]
        for n in range(1, max(len(folder.parts) for folder in folders)):
            names = ["/".join(folder.parts[-n:]) for folder in folders]
            if len({*names}) == len(names):
                break
        return dict(zip((run.folder for run in self.runs), names, strict=True))

    def r2(self, run: OneRun) -> Estimate | None:
        """Return R2 of a run on the common frames, with its block error; None without common frames."""
        if run.squares is None:
            return None
        return stratified_estimate([run.squares], lambda mean: 1.0 - mean[0] / mean[1])

    def gain(self, run: OneRun) -> Estimate | None:
        """Return R2 of a run minus R2 of the first run, on the common frames, with its paired error."""
        first = self.runs[0]
        if run.squares is None or first.squares is None or run is first:
            return None
        both = np.column_stack([first.squares[:, 0], run.squares])
        return stratified_estimate([both], lambda mean: (mean[0] - mean[1]) / mean[2])

    def rows(self) -> list[Row]:
        """Return one row of results for each run. The keys of the row contain the units."""
        return self._rows

    @cached_property
    def _rows(self) -> list[Row]:
        """The rows, computed once: block errors take time, and the table, the page and runs.json all need the rows."""
        rows = []
        for run in self.runs:
            r2, gain, s = self.r2(run), self.gain(run), run.summary
            row: Row = {"run": str(run.folder), "label": self.label(run)}
            row["settings"] = {key: run.settings.get(key) for key in self.differing}
            row |= {"r2_own": s.r2_model, "r2_own_stderr": s.r2_stderr, "r2_prior": s.r2_prior}
            row |= {"r2_common": _value(r2), "r2_common_stderr": _stderr(r2)}
            row |= {"r2_less_first": _value(gain), "r2_less_first_stderr": _stderr(gain)}
            row["judgements"] = (
                s.judgements if run.comparison is None else [one.to_dict() for one in run.comparison.judgements]
            )
            row |= {"cg_ns_per_day": s.cg_ns_per_day, "cores": s.cg_cores, "n_parameters": s.n_parameters, "seed": s.seed}
            row |= {"t_conf_cg_K": s.t_conf_cg.K, "t_conf_cg_stderr_K": s.t_conf_cg.stderr_K}
            rows.append(row | {"fit_s": s.timings_s.get("fit"), "created": s.created})
        return rows

    def to_dict(self) -> Row:
        """Return the contents of runs.json as plain data."""
        return {"common_frames": self.common, "differing": self.differing, "runs": self.rows()}

    def table(self) -> str:
        """Return the result as lines of text, one for each run."""
        lines = []
        for run, row in zip(self.runs, self.rows(), strict=True):
            r2 = "" if (found := _r2_of(row))[0] is None else f": R² {plus_minus(*found, 4)}"
            judged = [f"{one['what']} {sized(Judgement.from_dict(one))}" for one in row["judgements"][:3]]
            speed = [] if row["cg_ns_per_day"] is None else [f"{row['cg_ns_per_day']:.0f} ns/day"]
            lines.append(", ".join([f"{self.label(run)}{r2}", *judged, *speed]))
        return "\n".join([*lines, *self.differences()])

    def differences(self) -> list[str]:
        """Return sentences that say how each run differs from the first, and whether this exceeds the errors."""
        return difference_sentences(self.rows(), self.differing)

    def sections(self) -> list[Section]:
        """Return the sections of the page: tables of results and settings, and pictures of the structure."""
        return [self._figures(), *self._settings(), *self._pictures()]

    def _figures(self) -> Section:
        columns: tuple[str, ...] = ("run", "R²", "R² minus the first", "R² of the priors")
        whats = list(dict.fromkeys(one["what"] for row in self.rows() for one in row["judgements"]))
        columns += (*whats, "CG ns/day", "parameters", "fit (min)")
        rows = []
        for run, row in zip(self.runs, self.rows(), strict=True):
            judged = {one["what"]: Judgement.from_dict(one) for one in row["judgements"]}
            gain = plus_minus(row["r2_less_first"], row["r2_less_first_stderr"], 4)
            cells: list[Cell] = [self.label(run), plus_minus(*_r2_of(row), 4), gain, number(row["r2_prior"], 4)]
            cells += [_judged(judged.get(what)) for what in whats]
            minutes = None if row["fit_s"] is None else row["fit_s"] / 60
            rows.append((*cells, number(row["cg_ns_per_day"]), number(row["n_parameters"]), number(minutes, 1)))
        paired = "" if all(row["r2_less_first"] is None for row in self.rows()) else PAIRED
        notes = [
            f"R² is computed on {self.common}. Errors after ± are standard errors.{paired}",
            *([deviations_explained(self.atomistic_is_one)] if whats else []),
            "Speeds are those of all replicas of a run together: compare only speeds from one quiet machine.",
        ]
        return Section("Runs", (*self.differences(), Table(columns, tuple(rows))), notes)

    def _settings(self) -> list[Section]:
        if not self.differing:
            return []
        rows = [(key, *(_setting(run.settings.get(key)) for run in self.runs)) for key in self.differing]
        names = tuple(self._names[run.folder] for run in self.runs)
        return [Section("Settings that differ", (Table(("setting", *names), tuple(rows), names),))]

    def _pictures(self) -> list[Section]:
        """Return the pictures of the observables of the first run, with the curves of the other runs in the same axes.

        There are none if fewer than two runs were compared with atomistic data, or if these data differ.
        """
        known = [(self.label(run), run.comparison) for run in self.runs if run.comparison is not None]
        if len(known) < 2 or not self.atomistic_is_one:
            return []
        (label, first), *others = known
        panels: list[Draw] = []
        for name, finding in first.items():
            beside = [(other, comparison[name]) for other, comparison in others if name in comparison]
            if (picture := finding.beside(label, beside)) is not None:
                panels += picture.panels or (picture.draw,)
        if not panels:
            return []
        alt = "Distributions of all runs, with the atomistic one"
        return [Section("Structure", (Picture("structure", alt, "", lambda theme: None, tuple(panels)),))]


def runs_in(places: Sequence[str | Path]) -> list[Path]:
    """Return the folders of runs.

    Args:
        places: folders of runs, or folders that contain folders of runs.

    Raises:
        FileNotFoundError: a folder is not the folder of a run and contains none.
    """
    found: list[Path] = []
    for place in map(Path, places):
        inside = (
            [place]
            if _is_run(place)
            else sorted(file.parent for file in place.glob("*/summary.json") if _is_run(file.parent))
        )
        if not inside:
            raise FileNotFoundError(f"runs={place}: is not the folder of a run and contains none (there is no summary.json)")
        found += inside
    return list(dict.fromkeys(found))


def compare_runs(
    places: Sequence[str | Path], chosen: Choice | None = None, data: Frames | None = None, platform: str = "auto"
) -> ManyRuns:
    """Compare runs with each other.

    Args:
        places: folders of runs, or folders that contain folders of runs.
        chosen: the observables to compare, if `data` is given.
        data: frames with which all runs are compared, and to which no run was fitted. By default R2 is compared on frames of
            the runs' own data set to which no run was fitted, and the saved comparisons of the runs are used.
        platform: name of the OpenMM platform that computes the forces of the priors.

    Raises:
        FileNotFoundError: a folder has no run.
        ValueError: there are fewer than two runs, the runs have different beads, or a run was fitted to `data`.

    >>> found = compare_runs(["runs/sweep"])       # doctest: +SKIP
    """
    folders = runs_in(places)
    if len(folders) < 2:
        raise ValueError(
            f"runs={[str(place) for place in places]}: there is only one run, {folders[0]}: name two or more runs"
        )
    runs = [_read(folder) for folder in folders]
    if data is not None and (fitted := [run.folder for run in runs if run.summary.data in _places(data)]):
        raise ValueError(
            f"data={data.sources[0]}: {fitted[0]} was fitted to these data, so it would look too good: leave data out, or "
            "name data to which no run was fitted"
        )
    frames, common = _common_frames(runs) if data is None else (data, f"the {len(data)} frames of {', '.join(data.sources)}")
    if frames is not None:
        some, n_frames = frames.thinned(-(-len(frames) // MOST_FRAMES)), len(frames)
        frames, common = some, common if len(some) == n_frames else f"{len(some)} of {common}"
        runs = [_measured(run, frames, platform) for run in runs]
    if data is not None:
        runs = [_compared(run, data, chosen or choice()) for run in runs]
    references = {run.summary.compared_with or run.summary.data_digest for run in runs if run.comparison is not None}
    return ManyRuns(tuple(runs), common, data is not None or len(references) <= 1)


def write_runs(found: ManyRuns, output: Path) -> Path:
    """Write runs.json and runs.html to a folder, and return the path of the page."""
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "runs.json", found.to_dict())
    return write_runs_page(
        output / "runs.html", f"{len(found.runs)} runs", found.sections(), [str(run.folder) for run in found.runs]
    )


def _places(data: Frames) -> set[str]:
    return {str(Path(source).resolve()) for source in data.sources}


def _is_run(folder: Path) -> bool:
    return (folder / "summary.json").is_file() and (folder / "results").is_dir() and (folder / "config.yaml").is_file()


def _read(folder: Path) -> OneRun:
    run = RunFolder.open(folder)
    config = run.config()
    used = {key: value for key, value in config.items() if key not in unused_settings(config)}
    settings = {key: value for key, value in flat_settings(used).items() if key not in LEFT_OUT}
    summary = Job(run).found.summary(run)
    data = ", ".join(Path(place).name for place in (summary.data or "", *summary.more_data))
    settings |= {"data": data, "simulation.length_ps": summary.cg_length_ps}
    result = run.result("comparison")
    comparison = None
    if (result / "figures.json").exists():
        try:
            comparison = Comparison.load(result, observables=choice(config.get("compare")).observables)
        except (ValueError, FileNotFoundError) as error:
            log.warning("compare: the comparison of %s cannot be read: %s", folder, error)
    return OneRun(folder, settings, summary, comparison)


def _common_frames(runs: Sequence[OneRun]) -> tuple[Frames | None, str]:
    """Return the frames that no run was fitted to, with a description; if there are none, None with the reason.

    Such common frames exist only if all runs were fitted to the same data set.
    """
    folders = {run.summary.data for run in runs}
    own = "the held-out frames of each run, which are not the same for all runs"
    if len(folders) > 1 or any(run.summary.more_data for run in runs):
        return None, f"{own}, since the runs were not all fitted to one and the same data set"
    folder = Path(str(folders.pop()))
    if not has_data(folder):
        return None, f"{own}, since the data set {folder} is no longer there"
    frames = open_frames(folder)
    first_unseen = 0
    for run in runs:
        n_frames, fitted = run.summary.n_frames or 0, run.summary.n_frames_train
        if fitted is None or frames_digest(folder, n_frames) != run.summary.data_digest:
            return None, f"{own}, since {run.folder} has no fit, or its frames are not the first frames of {folder}"
        first_unseen = max(first_unseen, fitted)
    unseen = frames[first_unseen:]
    if len(unseen) < FEWEST_FRAMES:
        return None, f"{own}, since {folder} has only {len(unseen)} frames that no run was fitted to"
    return unseen, f"the {len(unseen)} frames of {folder} that no run was fitted to"


def _measured(run: OneRun, frames: Frames, platform: str) -> OneRun:
    """Return the run, with the squared residual forces of its potential on the common frames added."""
    potential = run.folder / "potential"
    if not potential.is_dir():
        return run
    bundle = load(potential, self_check=False)
    check_same_beads(frames, bundle)
    left = np.asarray(frames.forces, dtype=np.float64) - total_forces(bundle.model, bundle.priors, frames, platform)
    squares = [np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (left, frames.forces)]
    log.info("compare: %s: computed the forces on %d common frames", run.folder, len(frames))
    return replace(run, squares=np.column_stack(squares))


def _compared(run: OneRun, data: Frames, chosen: Choice) -> OneRun:
    """Compare the simulation of a run with `data`, and return the run with this comparison; without one it has none."""
    folder = RunFolder(run.folder)
    has_replicas = bool(replica_folders(folder.simulation))
    coarse = CoarseRun.load(folder.result("simulation"), folder.potential, folder.simulation) if has_replicas else None
    if coarse is None:
        return replace(run, comparison=None, summary=replace(run.summary, judgements=[]))
    log.info("compare: comparing %s with the data", run.folder)
    both = BothSides(data, coarse.frames, load(folder.potential, self_check=False), kinetic=coarse.kinetic)
    return replace(run, comparison=compare_sides(both, chosen))


def _r2_of(row: Row) -> tuple[float | None, float | None]:
    """Return R2 and its error on the common frames, or on the held-out frames of the run if there are no common frames."""
    kind = "r2_common" if row["r2_common"] is not None else "r2_own"
    return row[kind], row[f"{kind}_stderr"]


def _judged(found: Judgement | None) -> Cell:
    return UNKNOWN if found is None else Toned(sized(found), LEVELS[found.agreement])


def _setting(value: Any) -> str:
    return UNKNOWN if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _value(found: Estimate | None) -> float | None:
    return None if found is None else float(found.value)


def _stderr(found: Estimate | None) -> float | None:
    return None if found is None else float(found.stderr)
