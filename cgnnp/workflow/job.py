"""The main job: it runs every stage once, in a run folder, and continues there after any interruption."""

import datetime
import logging
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from cgnnp.analysis.observables.choice import GROUP, Choice, choice
from cgnnp.analysis.observables.observable import BothSides
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames
from cgnnp.priors import Prior, read_priors
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.report.page import write_report
from cgnnp.report.summary import (
    CheckFigures,
    ComparisonFigures,
    DataFigures,
    ExportFigures,
    FitFigures,
    RefinementFigures,
    RunFigures,
    Summary,
)
from cgnnp.runtime.platforms import available_cores, processor_name
from cgnnp.runtime.storage import data_digest, file_checksum
from cgnnp.simulation.bundle import package_versions
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.training.metrics_table import read_metrics
from cgnnp.workflow.comparing import Comparison, compare_sides
from cgnnp.workflow.fitting import Fitted, fit_model, inputs_of, load_errors
from cgnnp.workflow.plan import SimulationPlan, TrainingPlan
from cgnnp.workflow.refining import Refined, refine, refinement_inputs, simulations_in
from cgnnp.workflow.results import OtherVersion, load_figures, save_figures
from cgnnp.workflow.run_folder import RunFolder, unused_settings
from cgnnp.workflow.running import CoarseRun, run_potential
from cgnnp.workflow.simulation_folder import check_same_beads, comparing_command, longer_ps
from cgnnp.workflow.sound_data import check_sets
from cgnnp.workflow.training_data import TrainingData, provide_data

log = logging.getLogger("cgnnp")

PACKAGES = ("cgnnp", "torch", "openmm", "openmmtorch", "e3nn", "lightning", "numpy")

LOG_LINES = 40
"""Number of lines from the end of the log that the report shows."""

MEND = "delete it, and run python -m cgnnp.train with this run_dir again"


@dataclass(frozen=True, kw_only=True)
class Found:
    """The results of all finished stages of a run."""

    data: DataFigures = field(default_factory=DataFigures)
    checks: CheckFigures = field(default_factory=CheckFigures)
    fit: FitFigures = field(default_factory=FitFigures)
    refinement: RefinementFigures = field(default_factory=RefinementFigures)
    export: ExportFigures = field(default_factory=ExportFigures)
    simulation: RunFigures = field(default_factory=RunFigures)
    comparison: ComparisonFigures = field(default_factory=ComparisonFigures)

    @classmethod
    def load(cls, run: RunFolder) -> "Found":
        """Read the results of all stages from a run folder; the entries of a stage without a result are empty.

        Raises:
            ValueError: a file is damaged.
        """
        values = {}
        for stage, empty in vars(cls()).items():
            try:
                known = load_figures(run.result(stage), type(empty), None, MEND)
            except OtherVersion:
                if stage != "comparison":  # a comparison is made again instead
                    raise
                known = None
            values[stage] = empty if known is None else known[0]
        return cls(**values)

    def summary(self, run: RunFolder) -> Summary:
        """Return the results of all stages, and the figures of the job itself, as a summary."""
        finished = {"sample": self.data.data_digest, "map": self.checks.certificate, "fit": self.fit.r2_model}
        finished |= {"refine": self.refinement.r2_refined, "export": self.export.potential}
        finished |= {"simulate": self.simulation.cg_length_ps, "compare": self.comparison.comparison}
        job = replace(run.job(), finished=[name for name, value in finished.items() if value is not None])
        return Summary.of(job, *vars(self).values())


class Job:
    """A run folder with the results of its stages. Each stage is one method, and can be run alone."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.found = Found.load(run)

    def train(self, plan: TrainingPlan) -> Summary:
        """Run all stages. Stages that are finished are not repeated.

        Raises:
            ValueError: the run was fitted to other data, or a stage fails.
        """
        started = time.perf_counter()
        self.run.note(versions=package_versions(PACKAGES), cores=available_cores(), processor=processor_name())
        if self.run.job().created is None:
            self.run.note(created=f"{datetime.datetime.now():%Y-%m-%dT%H:%M:%S}")
        data = self.data(plan)
        fitted = self.fit(data, plan)
        if plan.refinement.steps and plan.simulation is not None:
            fitted = self.refine(fitted, plan, plan.simulation)
        self.export(fitted)
        if plan.simulation is None:
            summary = self.report(None)
        else:
            coarse = self.simulate(plan.simulation, data.sets[0])
            summary = self.compare(data.sets[0], coarse, plan.comparison)
        log.info("done in %.0f s: %s", time.perf_counter() - started, self.run.path)
        return summary

    def data(self, plan: TrainingPlan) -> TrainingData:
        """Sample or read the frames, certify their force maps, and test that positions and forces belong together."""
        with self._stage("sample"):
            data = provide_data(plan)
            self._check_same_data(data.figures)
            data.save(self.run.result("data"))
            self._know(data=data.figures)
        with self._stage("map", again=True):
            checked = check_sets(data.sets)
            figures = checked.figures(data.names, data.sets)
            save_figures(self.run.result("checks"), figures, data.digest)
            self._know(checks=figures)
        checked.refuse_unsound()
        return data

    def fit(self, data: TrainingData, plan: TrainingPlan) -> Fitted:
        """Fit priors and network, or read the fit if it is finished."""
        inputs = inputs_of(data.sets, plan.fit, plan.draws)
        with self._stage("fit"):
            fitted = Fitted.load(self.run.result("fit"), data.sets, inputs)
            if fitted is not None:
                log.info("fit: already finished, reading %s", self.run.result("fit"))
            else:
                fitted = fit_model(data.sets, plan.fit, self.run.path, plan.draws)
                fitted.save(self.run.result("fit"), inputs)
            self._know(fit=fitted.figures)
        return fitted

    def refine(self, fitted: Fitted, plan: TrainingPlan, simulation: SimulationPlan) -> Fitted:
        """Refine the pair splines by simulations of the model, or read the result if it is finished."""
        with self._stage("refine"):
            folder, steps = self.run.result("refinement"), self.run.path / "refinement"
            inputs = refinement_inputs(fitted, plan.refinement)
            refined = Refined.load(folder, steps, fitted, inputs)
            if refined is not None:
                log.info("refine: already finished, reading %s", steps)
            else:
                simulated = simulations_in(steps, plan.refinement, simulation)
                refined = refine(fitted, plan.refinement, simulated, plan.fit.trainer, steps, plan.fit.platform)
                refined.save(folder, inputs)
            self._know(refinement=refined.figures)
        return refined.fitted

    def export(self, fitted: Fitted) -> None:
        """Write the potential to the run folder, unless the potential of this fit is there already."""
        inputs = fitted.digest
        potential = self.run.potential
        known = load_figures(self.run.result("export"), ExportFigures, inputs, MEND, anew=True)
        if known is not None and potential.exists():
            return
        with self._stage("export", again=True):
            refined = self.found.refinement
            made_from = fitted.with_checks(self.found.checks).made_from(
                system=self.found.data.system,
                r2_refined=refined.r2_refined,
                r2_refined_stderr=refined.r2_refined_stderr,
            )
            save_bundle(potential, fitted.model, fitted.priors, fitted.sets, made_from)
            figures = ExportFigures(potential=potential.name, eps_r=dielectric_constant(fitted.priors))
            save_figures(self.run.result("export"), figures, inputs)
            self._know(export=figures)
        log.info("export: %s", potential)

    def simulate(self, plan: SimulationPlan, starts: Frames | None) -> CoarseRun:
        """Simulate the exported potential. Replicas start from frames spread over `starts`, if there are any."""
        with self._stage("simulate"):
            coarse = run_potential(self.run.potential, self.run.simulation, plan, starts)
            coarse.save(self.run.result("simulation"))
            self._know(simulation=coarse.figures)
        return coarse

    def compare(
        self,
        frames: Frames,
        coarse: CoarseRun,
        chosen: Choice | None = None,
        compared_with: Path | None = None,
        again: bool = False,
    ) -> Summary:
        """Compare the run with data, unless that was done before, and write CSV files, pictures, summary and report.

        Args:
            frames: the mapped atomistic frames.
            coarse: the coarse-grained run.
            chosen: the observables to compare; by default all that apply to the beads.
            compared_with: folder of the data; None if they are the data that the run was fitted to.
            again: whether to compare even if the same comparison was made before.
        """
        folder = self.run.result("comparison")
        speeds = self.found.data.atomistic_ns_per_day, coarse.figures.cg_ns_per_day
        other = None if compared_with is None else str(compared_with.resolve())
        manifest = file_checksum(self.run.potential / "manifest.json")
        sides = [
            [one.content_digest, one.meta.interval, one.meta.provenance.get("solvent")] for one in (frames, coarse.frames)
        ]
        chosen = chosen or choice()
        inputs = data_digest([sides, manifest, speeds, other, chosen.digest_of, package_versions(("cgnnp",))])
        comparison = None if again else Comparison.load(folder, inputs, chosen.observables)
        with self._stage("compare", again=comparison is None):
            if comparison is not None:
                log.info("compare: already finished, reading %s", folder)
            else:
                bundle = load(self.run.potential, self_check=False)
                check_same_beads(frames, bundle)
                both = BothSides(frames, coarse.frames, bundle, coarse.consistency, coarse.kinetic)
                comparison = compare_sides(both, chosen, speeds)
                comparison = replace(comparison, figures=replace(comparison.figures, compared_with=other))
                comparison.save(folder, inputs)
            self._know(comparison=comparison.figures)
        with comparison.replacing_files(self.run.path, folder):
            comparison.write_csv(self.run.path)
            return self.report(comparison)

    def report(self, comparison: Comparison | None) -> Summary:
        """Write report.html with its pictures, and return the summary."""
        summary = self.found.summary(self.run)
        page = write_report(
            self.run.path,
            summary,
            metrics=read_metrics(self.run.metrics_file),
            priors=self._priors(),
            errors=load_errors(self.run.result("fit")),
            sections=() if comparison is None else comparison.sections(),
            config_yaml=used_settings(self.run.config(), summary.comparison),
            log_tail=_last_lines(self.run.path / "train.log"),
            picture_files=True,
            commands=self._commands(summary),
            potential=None if summary.potential is None else str(self.run.path / summary.potential),
        )
        log.info("report: %s", page)
        return summary

    def _commands(self, summary: Summary) -> list[tuple[str, str]]:
        """Return commands that a reader of the report may want to run, each with a heading."""
        run_dir = shlex.quote(str(self.run.path))
        found = [("The whole run", summary.command)] if summary.command else []
        config = self.run.config()
        compare = comparing_command(self.run.path, summary, config.get(GROUP))
        begun, length = (config.get("simulation") or {}).get("length_ps"), summary.cg_length_ps
        if summary.comparison is not None:
            extended = length is not None and begun is not None and length > 1.01 * begun
            first = f"python -m cgnnp.simulate run={run_dir} simulation.length_ps={length:g}\n" if extended else ""
            found.append((f"The {'simulation of this length, and the ' if extended else ''}comparison", first + compare))
        longer = f"python -m cgnnp.simulate run={run_dir} simulation.length_ps={longer_ps(length)}"
        return [*found, ("A longer simulation of this potential, and the comparison again", f"{longer}\n{compare}")]

    @contextmanager
    def _stage(self, name: str, again: bool = False) -> Iterator[None]:
        """Measure the time of a stage, and write the summary at its end, even if the stage fails."""
        try:
            with self.run.stage(name, again):
                yield
        finally:
            self.run.write_summary(self.found.summary(self.run))

    def frames(self) -> Frames | None:
        """Return the frames of the first data set; None if their folder no longer exists."""
        data = self.found.data
        return open_frames(data.data, n_frames=data.n_frames) if data.data and Path(data.data).is_dir() else None

    def _know(self, **figures: Any) -> None:
        """Store results in `found`. Each keyword is the name of a stage, and its value is the result of that stage."""
        self.found = replace(self.found, **figures)

    def _check_same_data(self, data: DataFigures) -> None:
        """Check that the run was fitted to these frames.

        Raises:
            ValueError: the run was fitted to other frames, or together with other data sets; the message names them.
        """
        known = self.found.data
        if known.data_digest is None:
            return
        if known.data_digest != data.data_digest:
            raise ValueError(
                f"run_dir={self.run.path}: was fitted to other frames than those now in {data.data} (were they sampled "
                "again?): choose another run_dir, or restore the data"
            )
        if list(known.more_data) != list(data.more_data):
            raise ValueError(
                f"run_dir={self.run.path}: was fitted with more_data={list(known.more_data)}, which has changed: set "
                "the same more_data, or choose another run_dir"
            )
        if changed := [path for path, digest in data.more_data.items() if known.more_data[path] != digest]:
            raise ValueError(
                f"run_dir={self.run.path}: the frames in {changed[0]} have changed since the fit to them: choose another "
                "run_dir, or restore the data"
            )

    def _priors(self) -> list[Prior] | None:
        file = self.run.potential / "prior.json"
        return read_priors(file, "export the potential again") if file.exists() else None


def used_settings(config: dict[str, Any], compared: dict[str, Any] | None) -> str:
    """Return the settings that a run used, as YAML.

    Settings of existing data (`data=`) that were not used are left out. The settings of the comparison are those of the last
    comparison, which may differ from those in config.yaml.
    """
    unused = unused_settings(config)
    shown = {key: value for key, value in config.items() if key not in unused}
    if compared is not None:
        own = shown.get(GROUP) or {}
        made = {
            name: {**(own.get(name) or {}), **one} for name, one in compared["settings"].items() if isinstance(one, dict)
        }
        shown[GROUP] = {**own, **made, "observables": compared["settings"]["observables"]}
    note = f"# {', '.join(unused)}: not used, because data= is an existing data set\n" if unused else ""
    return note + yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)


def _last_lines(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-LOG_LINES:]) if file.exists() else ""
