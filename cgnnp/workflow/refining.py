"""The refinement of pair splines by simulations of the model: an optional stage between fit and export."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cgnnp.diagnostics.pair_fields import untestable
from cgnnp.frames.bead_types import numbered
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.priors import PairSpline, Prior, prior_forces, priors_from_data
from cgnnp.report.summary import RefinementFigures
from cgnnp.runtime.entries import Entries
from cgnnp.runtime.representation import brief
from cgnnp.runtime.storage import check_file, data_digest, json_text, read_json, write_checked
from cgnnp.simulation.potential_files import save_bundle
from cgnnp.simulation.run import open_replicas, simulate
from cgnnp.simulation.temperatures import judge_structure
from cgnnp.training.data import ForceSet
from cgnnp.training.metrics import fit_quality, predict_forces
from cgnnp.training.relative_entropy import RefinementSettings, RefinementStep, check_frames, check_kinds, refinement_step
from cgnnp.training.trainer import Trainer
from cgnnp.workflow.fitting import Fitted
from cgnnp.workflow.plan import SimulationPlan
from cgnnp.workflow.results import load_figures, save_figures
from cgnnp.workflow.running import starting_positions

log = logging.getLogger("cgnnp")

STRUCTURE_PS = 0.4
"""Frames are thinned to this interval (ps): closer frames add no information on the distribution of pairs."""

SAME_BOX_NM = 1e-3
"""Two boxes count as equal if their edges differ by at most this, since files contain rounded boxes."""

MEND = "delete it and the files of later steps; they are made again"
MEND_ALL = "delete the folder: the same command refines again"

NOISE_FRAMES = 200
"""The noise of the forces is measured on at most this many frames."""


@brief
@dataclass(frozen=True)
class Refined:
    """A fitted model with refined pair splines, and the results of the refinement steps."""

    fitted: Fitted
    figures: RefinementFigures

    def save(self, folder: Path, inputs: str = "") -> None:
        """Write the results of the steps to a folder. The priors are in a file of each step."""
        save_figures(folder, self.figures, inputs)

    @classmethod
    def load(cls, folder: Path, steps: Path, fitted: Fitted, inputs: str = "") -> "Refined | None":
        """Read a finished refinement; return None if there is none that was made from these inputs.

        Args:
            folder: folder that `save` wrote.
            steps: folder of the files of the steps.
            fitted: the fit that was refined.
            inputs: digest of the inputs from which the refinement must have been made.

        Raises:
            ValueError: a file is damaged.
        """
        known = load_figures(folder, RefinementFigures, inputs, MEND_ALL, anew=True)
        if known is None:
            return None
        last = steps / f"step_{len(known[0].refinement or ()) - 1}.json"
        if not last.exists():
            return None
        priors, _ = _read_step(last)
        return cls(replace(fitted, priors=priors), known[0])


Simulate = Callable[[Fitted, int], Frames]
"""A function that is called with a model and the index of the next refinement step.

It simulates the model, and returns the frames of all replicas.
"""


def simulations_in(folder: Path, settings: RefinementSettings, simulation: SimulationPlan) -> Simulate:
    """Return a function that simulates models with OpenMM, for the argument `simulated` of `refine`.

    Each simulation and its potential have a folder of their own in `folder`. Finished simulations are not repeated. The
    length is that of the refinement settings, and the temperature is always that of the data. The configurational
    temperature of each simulation is checked. The function raises `SimulationFailed` if the model blows up.

    Args:
        folder: folder of the refinement.
        settings: settings of the refinement.
        simulation: plan of the coarse-grained run, which gives the other settings of the dynamics.
    """
    length = replace(simulation.settings, length_ps=settings.length_ps)

    def simulated(model: Fitted, number: int) -> Frames:
        potential, directory = folder / f"potential_{number}", folder / f"simulation_{number}"
        save_bundle(potential, model.model, model.priors, model.sets)
        protocol = replace(simulation.protocol, temperature_K=model.sets[0].temperature)
        coarse = open_replicas(simulate(potential, directory, length, protocol, starting_positions(model.sets[0])))
        judge_structure(coarse, "refine")
        return coarse

    return simulated


def refine(
    fitted: Fitted,
    settings: RefinementSettings,
    simulated: Simulate,
    trainer: Trainer,
    folder: Path,
    platform: str = "auto",
) -> Refined:
    """Simulate the model and refine its pair splines, as many times as the settings say. Finished steps are not repeated.

    The configurations come from the first data set, and from other Boltzmann-distributed sets with the same beads in the
    same box. The forces come from all data sets. Held-out frames are not used; R2 on them is measured again with the refined
    priors.

    Args:
        fitted: the fitted model.
        settings: settings of the refinement.
        simulated: function that simulates a model, from `simulations_in` or with another engine.
        trainer: trainer of the fit, whose settings determine which frames are held out.
        folder: folder for the results of the steps.
        platform: name of the OpenMM platform that computes the forces of the priors.

    Raises:
        ValueError: there are too few frames, a data set has other kinds of pairs than the first, or a simulation fails.
    """
    training, held_out = _split(fitted, trainer)
    inputs = refinement_inputs(fitted, settings)
    _remove_others(folder, inputs)
    steps = _Steps(training, simulated, settings.knot_spacing_nm, platform, folder, inputs)
    model, rows = fitted, []
    for k in range(settings.steps):
        model, found = steps.after(model, k)
        rows.append(found)
    return Refined(model, _figures(model, held_out, rows, platform))


def refinement_inputs(fitted: Fitted, settings: RefinementSettings) -> str:
    """Return a hash of everything that a refinement depends on: the fit and the settings."""
    return data_digest([fitted.digest, vars(settings)])


def _split(fitted: Fitted, trainer: Trainer) -> tuple[tuple[Frames, ...], tuple[Frames, ...]]:
    """Check that the data sets allow a refinement. Return the training frames and the held-out frames of each."""
    if reason := untestable(fitted.sets[0]):
        raise ValueError(f"refinement: {reason}: set refinement=none")
    training, held_out = zip(*(trainer.split(part, label) for label, part in numbered(fitted.sets).items()), strict=True)
    check_frames(_configurations(training), _spline(fitted.priors), "the data")
    for label, part in numbered(training).items():
        check_kinds(part, _spline(fitted.priors), label)
    return training, held_out


@dataclass(frozen=True)
class _Steps:
    """The steps of one refinement, with the data and settings that all steps have in common."""

    training: tuple[Frames, ...]
    simulated: Simulate
    knot_spacing_nm: float
    platform: str
    folder: Path
    inputs: str

    def after(self, model: Fitted, k: int) -> tuple[Fitted, dict[str, float]]:
        """Return the model after step k, and the results of the step. A finished step is read from its file."""
        file = self.folder / f"step_{k}.json"
        if not file.exists():
            forces = [(frames, _noise(model, frames, self.platform)) for frames in self.training]
            coarse, configurations = self.simulated(model, k), _configurations(self.training)
            step = refinement_step(_spline(model.priors), configurations, coarse, forces, self.knot_spacing_nm)
            _write_step(file, model.priors, step, self.inputs)
        priors, found = _read_step(file)
        log.info(
            "refine: step %d: pair counts deviate by chi2/dof %.2f (dof %d), pair potentials change by up to %.2f kT",
            *(k + 1, found["chi2_per_dof"], found["dof"], found["largest_kT"]),
        )
        return replace(model, priors=priors), found


def _figures(model: Fitted, held_out: Sequence[Frames], rows: list[dict[str, float]], platform: str) -> RefinementFigures:
    """Return the results of the steps, and R2 of the refined model on the held-out frames, as one object."""
    sets = [ForceSet(part, prior_forces(model.priors, part, platform)) for part in held_out]
    quality = fit_quality(sets, [predict_forces(model.model, part) for part in sets]).r2_model
    log.info("refine: R2 of refined priors and network %.4f(%.4f)", quality.value, quality.stderr)
    return RefinementFigures(refinement=rows, r2_refined=float(quality.value), r2_refined_stderr=float(quality.stderr))


def _spline(priors: Sequence[Prior]) -> PairSpline:
    """Return the pair splines among the priors."""
    (spline,) = [prior for prior in priors if isinstance(prior, PairSpline)]
    return spline


def _configurations(sets: Sequence[Frames]) -> Frames:
    """Concatenate the Boltzmann-distributed frames of all sets with the beads and the box of the first one.

    The frames are thinned to an interval of `STRUCTURE_PS`.
    """
    first, parts = sets[0], []
    for frames in sets:
        same_beads = frames.mapping.bead_types == first.mapping.bead_types
        same_box = np.allclose(frames.boxes[0], first.boxes[0], atol=SAME_BOX_NM)
        if same_beads and same_box and not untestable(frames):
            thinned = frames.thinned(max(1, round(STRUCTURE_PS / frames.meta.interval)))
            parts.append(replace(thinned, meta=first.meta, labels=None, more={}))
    return concatenate(parts)


def _noise(fitted: Fitted, frames: Frames, platform: str) -> Float[np.ndarray, "beads"]:
    """Return the variance of the residual force on each bead, averaged over the beads of its type, (kJ/mol/nm)^2."""
    some = frames[np.linspace(0, len(frames) - 1, min(len(frames), NOISE_FRAMES)).astype(int)]
    left = np.square(some.forces - fitted.forces(some, platform), dtype=np.float64).mean(axis=(0, 2))
    types = frames.mapping.types
    return np.array([left[types == kind].mean() for kind in types])


def _remove_others(folder: Path, inputs: str) -> None:
    """Delete the steps in the folder if they belong to another fit or to other settings.

    Raises:
        ValueError: the file of the first step is damaged.
    """
    file = folder / "step_0.json"
    if file.exists():
        check_file(file, MEND)
        if read_json(file, MEND).get("inputs") != inputs:
            log.info("refine: %s belongs to another fit or to other settings: the refinement starts anew", file)
            shutil.rmtree(folder)


def _write_step(file: Path, before: Sequence[Prior], step: RefinementStep, inputs: str) -> None:
    """Write the priors after a step and the results of the step to its file."""
    priors = [step.prior if isinstance(prior, PairSpline) else prior for prior in before]
    found = {name: value for name, value in vars(step).items() if name != "prior"}
    write_checked(file, json_text({"priors": [prior.to_dict() for prior in priors], "found": found, "inputs": inputs}))


def _read_step(file: Path) -> tuple[tuple[Prior, ...], dict[str, float]]:
    """Read the priors after a step and the results of the step.

    Raises:
        ValueError: the file is damaged.
    """
    check_file(file, MEND)
    stored = Entries(read_json(file, MEND), str(file), MEND)
    found = stored.within("found")
    for name in ("chi2_per_dof", "dof", "largest_kT"):
        found.number(name)
    return tuple(priors_from_data(stored.rows("priors", least=1), str(file), MEND)), found.data
