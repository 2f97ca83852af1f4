"""The stage between fit and export that a run may have: its model is simulated, and the pair splines are refined."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cgnnp.dynamics import LangevinProtocol
from cgnnp.entries import Entries
from cgnnp.files import check_file, json_text, read_json, write_checked
from cgnnp.frames import Frames, concatenate, split_contiguous
from cgnnp.models.potential import Potential
from cgnnp.pair_fields import untestable
from cgnnp.priors import PairSpline, Prior, prior_forces, priors_from_data
from cgnnp.priors.refinement import RefinementSettings, RefinementStep, check_frames, check_kinds, refinement_step
from cgnnp.simulation.bundle import save_bundle
from cgnnp.simulation.judgement import judge_structure
from cgnnp.simulation.run import SimulationSettings, open_replicas, simulate
from cgnnp.training.data import ForceSet
from cgnnp.training.metrics import fit_quality, predict_forces
from cgnnp.workflow.run_folder import RunFolder
from cgnnp.workflow.stages import starting_positions, total_forces

log = logging.getLogger("cgnnp")

STRUCTURE_PS = 0.4
"""Frames that are closer tell the distribution of pairs nothing new."""

SAME_BOX_NM = 1e-3
"""Boxes in files are rounded by as much."""

NOISE_FRAMES = 200
"""Frames that the noise of the forces is measured on."""


def refine_stage(
    run: RunFolder,
    model: Potential,
    priors: list[Prior],
    sets: Sequence[Frames],
    settings: RefinementSettings,
    simulation: tuple[SimulationSettings, LangevinProtocol],
    *,
    held_out_fraction: float,
    platform: str = "auto",
) -> list[Prior]:
    """Simulate and refine as often as asked for; what is finished is not done again.

    The configurations are those of the first data set and of others that are Boltzmann-distributed, of the same beads in the
    same box, at whose temperature the model is simulated whatever the settings say; the forces are those of all. Held-out
    frames take no part: R2 on them is measured anew with the refined priors.

    Raises:
        ValueError: too few frames, or a data set with other kinds of pairs than the first.
        SimulationFailed: the model blew up.
    """
    if reason := untestable(sets[0]):
        raise ValueError(f"refinement.steps={settings.steps}: {reason}: take refinement=none")
    folder = run.path / "refinement"
    protocol = replace(simulation[1], temperature_K=sets[0].temperature)
    training, held_out = zip(*(split_contiguous(frames, held_out_fraction) for frames in sets), strict=True)
    check_frames(_configurations(training), _spline(priors), "the data")
    for k, part in enumerate(training):
        check_kinds(part, _spline(priors), f"data set {k + 1}")
    rows = []
    with run.stage("refine"):
        for k in range(settings.steps):
            file = folder / f"step_{k}.json"
            if not file.exists():
                length = replace(simulation[0], length_ps=settings.length_ps)
                directory = folder / f"simulation_{k}"
                potential, starts = folder / f"potential_{k}", starting_positions(sets[0])
                save_bundle(potential, model, priors, sets[0], {}, others=sets[1:])
                coarse = open_replicas(simulate(potential, directory, length, protocol, starts))
                judge_structure(coarse, "refine")
                step = _step(model, priors, training, coarse, settings, platform)
                priors = [step.prior if isinstance(prior, PairSpline) else prior for prior in priors]
                write_checked(file, json_text({"priors": [prior.to_dict() for prior in priors], "found": _found(step)}))
            priors, found = _read_step(file)
            rows.append(found)
            log.info(
                "refine: step %d of %d: pairs were off by chi2/dof %.2f of %d functions, the pair potentials changed by up "
                "to %.2f kT",
                *(k + 1, settings.steps, rows[-1]["chi2_per_dof"], rows[-1]["dof"], rows[-1]["largest_kT"]),
            )
        if not run.finished("refine"):
            test_sets = [ForceSet(part, prior_forces(priors, part, platform)) for part in held_out]
            quality = fit_quality(test_sets, [predict_forces(model, part) for part in test_sets]).r2_model
            log.info("refine: R2 of priors and network %.4f(%.4f)", quality.value, quality.stderr)
            run.update(refinement=rows, r2_refined=quality.value, r2_refined_stderr=quality.stderr)
            run.mark_finished("refine")
    return priors


def _step(
    model: Potential,
    priors: list[Prior],
    training: Sequence[Frames],
    coarse: Frames,
    settings: RefinementSettings,
    platform: str,
) -> RefinementStep:
    """One step from a simulation of the model."""
    forces = [(frames, _noise(model, priors, frames, platform)) for frames in training]
    return refinement_step(_spline(priors), _configurations(training), coarse, forces, settings.knot_spacing_nm)


def _spline(priors: list[Prior]) -> PairSpline:
    """The pair splines among the priors."""
    (spline,) = [prior for prior in priors if isinstance(prior, PairSpline)]
    return spline


def _configurations(sets: Sequence[Frames]) -> Frames:
    """Boltzmann-distributed frames of the first set's system, set after set, no closer than they tell anything new."""
    first, parts = sets[0], []
    for frames in sets:
        same_beads = frames.mapping.bead_types == first.mapping.bead_types
        same_box = np.allclose(frames.boxes[0], first.boxes[0], atol=SAME_BOX_NM)
        if same_beads and same_box and not untestable(frames):
            thinned = frames.thinned(max(1, round(STRUCTURE_PS / frames.meta.interval)))
            parts.append(replace(thinned, meta=first.meta, labels=None))
    return concatenate(parts)


def _noise(model: Potential, priors: list[Prior], frames: Frames, platform: str) -> Float[np.ndarray, "beads"]:
    """Variance of what the model leaves of the force on each bead, that of its type, (kJ/mol/nm)^2."""
    some = frames[np.linspace(0, len(frames) - 1, min(len(frames), NOISE_FRAMES)).astype(int)]
    left = np.square(some.forces - total_forces(model, priors, some, platform), dtype=np.float64).mean(axis=(0, 2))
    types = frames.mapping.types
    return np.array([left[types == kind].mean() for kind in types])


def _read_step(file: Path) -> tuple[list[Prior], dict[str, float]]:
    """The priors that a step ended with, and what was found.

    Raises:
        ValueError: damaged.
    """
    mend = "delete it and those of later steps, they are made again"
    check_file(file, mend)
    stored = Entries(read_json(file, mend), str(file), mend)
    found = stored.within("found")
    for name in ("chi2_per_dof", "dof", "largest_kT"):
        found.number(name)
    return priors_from_data(stored.rows("priors", least=1), str(file), mend), found.data


def _found(step: RefinementStep) -> dict[str, float]:
    """What is reported of a step."""
    return {name: value for name, value in vars(step).items() if name != "prior"}
