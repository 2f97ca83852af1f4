"""Fit priors and network to mapped frames, and measure their quality on held-out frames."""

import dataclasses
import functools
import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from cgnnp.diagnostics.force_errors import ForceErrors, force_errors
from cgnnp.frames.array_files import array_file, read_array
from cgnnp.frames.array_table import check_arrays
from cgnnp.frames.bead_types import numbered
from cgnnp.frames.frames import MOST_IN_MEMORY, Frames
from cgnnp.models.potential import Potential, bead_energies
from cgnnp.models.registry import Architecture, model_to_dict
from cgnnp.models.weights import DESCRIPTION, WEIGHTS, are_finite, read_network, weights_as_bytes
from cgnnp.priors import Prior, PriorTerm, fit_priors, prior_digest, prior_forces, read_priors
from cgnnp.priors.evaluation import prior_energies, prior_forces_by_frame, prior_virials
from cgnnp.priors.prior import first_sampled
from cgnnp.report.summary import CheckFigures, FitFigures
from cgnnp.runtime.formatting import plus_minus
from cgnnp.runtime.platforms import available_cores
from cgnnp.runtime.representation import paragraph
from cgnnp.runtime.storage import check_file, data_digest, json_text, write_checked, write_file
from cgnnp.training.data import ForceSet, average_neighbors, make_loader, noise_weights, residual_square, with_energies
from cgnnp.training.metrics import fit_quality, predict_forces
from cgnnp.training.trainer import Trainer
from cgnnp.workflow.compatible_data import DataDescription
from cgnnp.workflow.plan import FitPlan
from cgnnp.workflow.quality import check_draws, doubt, log_quality, noise_rows, quality_rows, set_quality
from cgnnp.workflow.results import load_figures, save_figures

log = logging.getLogger("cgnnp")

STARTS_WITHIN = 1.0
"""Initial bead energies are scaled down to this fraction of the energy bound: beyond the bound a network learns nothing."""

PRIORS, INPUTS, ERRORS = "prior.json", "inputs.txt", "errors"

MEND = "delete the folder: the same command fits again"


@dataclass(frozen=True, repr=False)
class Fitted:
    """A fitted model: priors and network, the frames that they were fitted to, and their quality on held-out frames.

    Args:
        model: the network, which was fitted to the mapped forces minus those of the priors.
        priors: the priors, in the order in which they were fitted.
        sets: frames of all data sets, including the held-out frames.
        figures: R2 and other results of the fit; `r2_model` is the R2 of priors and network together.
        history: history of the fit, one row per epoch.
        checks: results of the tests of the data.
        errors: errors of the model on the held-out forces of the first data set; None if an earlier version made the fit.
    """

    model: Potential
    priors: tuple[Prior, ...]
    sets: tuple[Frames, ...]
    figures: FitFigures
    history: tuple[dict[str, float], ...] = ()
    checks: CheckFigures = field(default_factory=CheckFigures)
    errors: ForceErrors | None = None

    def __repr__(self) -> str:
        found = self.figures
        priors = " + ".join(type(prior).__name__ for prior in self.priors)
        lines = [
            f"Fitted: {type(self.model).__name__} with {found.n_parameters} parameters and "
            f"{priors or 'no prior'}, beads {', '.join(self.model.type_names)}",
            f"  {found.n_frames_train} frames fitted, {found.n_frames_validation} held out",
            f"  R2 {plus_minus(found.r2_model, found.r2_stderr, 4)}, of the priors alone "
            f"{plus_minus(found.r2_prior, found.r2_prior_stderr, 4)}{doubt(found.r2_reliable, found.n_frames_validation)}",
            f"  gain {plus_minus(found.r2_gain, found.r2_gain_stderr, 4)}",
            f"  R2_max {plus_minus(found.r2_max, found.r2_max_stderr, 4)}" if found.r2_max else "  R2_max not known",
        ]
        return paragraph(lines)

    def with_checks(self, checks: CheckFigures) -> "Fitted":
        """Return a copy with the results of the tests of the data."""
        return dataclasses.replace(self, checks=checks)

    def made_from(self, **more: Any) -> dict[str, Any]:
        """Return what the manifest of an exported potential records about its fit; `more` are further entries."""
        keys = ("r2_prior", "r2_model", "r2_stderr", "n_frames_train")
        return {"data_check": self.checks.data_check, **{key: getattr(self.figures, key) for key in keys}, **more}

    @property
    def digest(self) -> str:
        """Hash of the network, its weights and the priors."""
        weights = hashlib.sha256(weights_as_bytes(self.model)).hexdigest()
        return data_digest([model_to_dict(self.model), weights, prior_digest(self.priors)])

    def forces(self, frames: Frames, platform: str = "auto") -> Float[np.ndarray, "frames beads 3"]:
        """Return the forces of priors and network on any frames, kJ/mol/nm; `platform` is the OpenMM platform."""
        return total_forces(self.model, self.priors, frames, platform)

    def save(self, folder: str | Path, inputs: str = "") -> None:
        """Write priors, network and results to a folder, with `inputs`, the digest of everything that the fit depends on."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_checked(folder / PRIORS, json_text([prior.to_dict() for prior in self.priors]))
        write_checked(folder / DESCRIPTION, json_text(model_to_dict(self.model)))
        write_checked(folder / WEIGHTS, weights_as_bytes(self.model))
        if self.errors is not None:
            save_figures(folder / ERRORS, None, inputs, errors=self.errors)
        save_figures(folder, self.figures, inputs, history=self.history, checks=self.checks)

    @classmethod
    def load(cls, folder: str | Path, sets: Frames | Sequence[Frames], inputs: str | None = None) -> "Fitted | None":
        """Read a fit that `save` wrote; return None if `inputs` is given and the folder has no fit.

        Args:
            folder: folder of the fit.
            sets: the frames that the model was fitted to.
            inputs: digest of the inputs from which the fit must have been made; None accepts any.

        Raises:
            FileNotFoundError: `inputs` is None, and the folder has no fit.
            ValueError: the files are damaged, or the fit was made from other inputs.
        """
        folder = Path(folder)
        kinds: dict[str, Any] = {"history": tuple[dict[str, float], ...], "checks": CheckFigures}
        known = load_figures(folder, FitFigures, inputs, MEND, **kinds)
        if known is None and inputs is None:
            raise FileNotFoundError(f"{folder}: the folder has no saved fit: fit again, or name another folder")
        if known is None:
            return None
        figures, more = known
        sets = [sets] if isinstance(sets, Frames) else sets
        for name in (DESCRIPTION, WEIGHTS):
            check_file(folder / name, MEND)
        priors = tuple(read_priors(folder / PRIORS, MEND))
        parts = figures, more["history"], more["checks"], load_errors(folder, inputs)
        return cls(read_network(folder, MEND), priors, tuple(sets), *parts)


def load_errors(folder: Path, inputs: str | None = None) -> ForceErrors | None:
    """Return the errors of a saved fit on held-out forces; None if a version without them saved it or the inputs differ."""
    known = load_figures(folder / ERRORS, Any, inputs, MEND, anew=True, errors=ForceErrors)
    return None if known is None else known[1]["errors"]


def fit_model(sets: Sequence[Frames], plan: FitPlan, folder: Path, draws: Frames | None = None) -> Fitted:
    """Fit the priors, subtract their forces from the mapped forces, fit the network to the rest, and measure the quality.

    One model with the bead types of all data sets is fitted to all of them; the last frames of each are held out. Averaged
    forces are weighted by the noise of each bead type. A fit that was interrupted in the folder is continued.

    Args:
        sets: mapped frames of each data set.
        plan: priors, network and trainer.
        folder: folder for checkpoints and the table of metrics.
        draws: other frames with second draws, which tell how much of the variance of the forces is noise.

    Raises:
        ValueError: the data do not pass `FitPlan.check`, they cannot determine a prior, or the fit diverged.
    """
    labels = list(numbered(sets))
    types = plan.check([DataDescription.of_frames(one, label) for one, label in zip(sets, labels, strict=True)])
    if draws is not None:
        check_draws(draws, sets[0].meta)
    _begin(folder, sets, inputs_of(sets, plan))
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cores())
    if types.unsampled:
        unsampled = ", ".join(map("-".join, types.unsampled))
        log.warning("fit: no data set has pairs %s: the potential will refuse systems with such pairs", unsampled)
    training, held_out = zip(*map(plan.trainer.split, sets, labels), strict=True)
    weights = noise_weights(list(training)) if any(frames.labels is not None for frames in sets) else None
    priors = _fitted_priors(folder, training, plan.prior, weights, plan.platform)
    training_sets, held_out_sets = (
        _force_sets(folder, priors, parts, name, weights, plan.platform)
        for name, parts in (("training", training), ("validation", held_out))
    )
    training_sets = _with_targets(training_sets, priors, plan.trainer.targets)
    new = new_model(plan.network, training_sets, types.names, priors, plan.trainer)
    trained = plan.trainer.fit(new, training_sets, held_out_sets, folder)
    if not are_finite(trained.model):
        raise ValueError(f"{folder}: the fit diverged, weights are not finite: use a lower learning_rate in a new folder")
    figures, errors = _measured(trained.model, priors, sets, held_out_sets, plan.platform, draws)
    figures = dataclasses.replace(figures, n_frames_train=sum(map(len, training)), seed=getattr(plan.trainer, "seed", None))
    return Fitted(trained.model, tuple(priors), tuple(sets), figures, trained.history, errors=errors)


def inputs_of(sets: Sequence[Frames], plan: FitPlan, draws: Frames | None = None) -> str:
    """Return a hash of everything that a fit depends on: frames and settings."""
    frames = [*sets, *([] if draws is None else [draws])]
    return data_digest([[one.content_digest for one in frames], plan.settings])


def _begin(folder: Path, sets: Sequence[Frames], inputs: str) -> None:
    """Prepare the folder for a new fit, or for one that continues from its checkpoints, with these inputs.

    Raises:
        ValueError: the folder has a fit to other frames or with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "checkpoints" / INPUTS
    if file.exists() and file.read_text().strip() != inputs:
        sources = ", ".join(source for frames in sets for source in frames.sources)
        raise ValueError(
            f"{folder}: the folder has a fit with other settings, or to other frames than those now in {sources}: choose "
            "another folder, or restore the data"
        )
    file.parent.mkdir(exist_ok=True)
    write_file(file, f"{inputs}\n")


def _measured(
    model: Potential,
    priors: Sequence[Prior],
    sets: Sequence[Frames],
    held_out: Sequence[ForceSet],
    platform: str,
    draws: Frames | None,
) -> tuple[FitFigures, ForceErrors]:
    """Measure the quality of the model on the held-out frames, and its errors on those of the first set; log both."""
    network = [predict_forces(model, part) for part in held_out]
    quality = fit_quality(held_out, network)
    by_set = [fit_quality([part], [forces]) for part, forces in zip(held_out, network, strict=True)]
    total = held_out[0].prior_forces + network[0]
    forces_on = functools.partial(total_forces, model, priors, platform=platform)
    noise = noise_rows(sets[0], held_out[0].frames, total, by_set[0].r2_model, draws, forces_on)
    log_quality(quality, sum(len(part.frames) for part in held_out))
    _log_noise(noise)
    figures = FitFigures(
        n_frames_validation=sum(len(part.frames) for part in held_out),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        quality_rows=[set_quality(found) for found in by_set] if len(sets) > 1 else [],
        **quality_rows(quality),
        **noise,
    )
    return figures, force_errors(held_out[0].frames, total)


def _log_noise(noise: dict[str, Any]) -> None:
    """Log R2_max and the noise-free error, which come from second draws, if they are known."""
    if noise["r2_max"] is not None:
        shares = [noise[key] or 0.0 for key in ("r2_over_r2_max", "r2_over_r2_max_stderr")]
        log.info("fit: R2_max %.4f(%.4f), R2/R2_max %.2f(%.2f)", noise["r2_max"], noise["r2_max_stderr"], *shares)
    if noise["pmf_error_kJ_mol_nm"] is not None:
        log.info(
            "fit: noise-free error of the mean force %.2f(%.2f) kJ/mol/nm, squared %.3f(%.3f) of its variance, %d frames",
            *(noise["pmf_error_kJ_mol_nm"], noise["pmf_error_stderr_kJ_mol_nm"], noise["pmf_error_relative"]),
            *(noise["pmf_error_relative_stderr"], noise["n_second_draws"]),
        )


def total_forces(
    model: Potential, priors: Sequence[Prior], frames: Frames, platform: str
) -> Float[np.ndarray, "frames beads 3"]:
    """Return the forces of priors and network, kJ/mol/nm."""
    data = ForceSet(frames, prior_forces(priors, frames, platform))
    return data.prior_forces + predict_forces(model, data)


def new_model(
    network: Architecture,
    sets: Sequence[ForceSet],
    type_names: Sequence[str],
    priors: Sequence[Prior],
    trainer: Trainer,
) -> Potential:
    """Create a network with initial weights for these data.

    The data determine the scale of energies, the mean number of neighbours and the first sampled distances of pairs. If the
    network has a bound on the energies of beads, the scale is lowered until the initial energies are within the bound.

    Args:
        network: the kind of network and its settings.
        sets: training frames with the forces of the priors.
        type_names: names of all bead types.
        priors: the fitted priors, which know the first sampled distances.
        trainer: the trainer, which determines the precision.
    """
    names = list(type_names)
    first = first_sampled(priors)
    residual = float(np.sqrt(residual_square(sets)))
    scale = 0.1 * residual  # energy, kJ/mol, of the typical residual force over 0.1 nm
    cutoff = network.create(names).cutoff
    known = {
        "inner_cutoff_nm": [[first.get(frozenset((a, b)), 0.0) for b in names] for a in names],
        "avg_num_neighbors": float(np.mean([average_neighbors(data.frames, cutoff) for data in sets])),
    }
    model = network.create(names, trainer.dtype, **known, energy_scale=scale)
    if model.energy_bound > 0:
        unbounded = dataclasses.replace(network, settings={**network.settings, "energy_bound_kJ_mol": None})
        free = unbounded.create(names, trainer.dtype, **known, energy_scale=scale)
        largest = max(_largest_energy(free, data) for data in sets)
        if largest > STARTS_WITHIN * model.energy_bound:
            scale *= STARTS_WITHIN * model.energy_bound / largest
            model = network.create(names, trainer.dtype, **known, energy_scale=scale)
    return model


def _largest_energy(model: Potential, data: ForceSet) -> float:
    """Return the largest absolute energy of a bead in the first frame, kJ/mol."""
    batch = next(iter(make_loader([data], model, 1)))
    with torch.no_grad():
        return float(bead_energies(model, batch.graph).abs().max())


def _fitted_priors(
    folder: Path, training: Sequence[Frames], terms: Sequence[PriorTerm], weights: list[np.ndarray] | None, platform: str
) -> list[Prior]:
    """Return the priors from the file in the folder; if there is none, fit them and write it."""
    file = folder / PRIORS
    if not file.exists():
        priors = fit_priors(terms, training, weights, platform)
        if not first_sampled(priors):
            log.warning(
                "fit: no prior has walls, so nothing keeps beads apart below the first sampled distances: add pairs to the "
                "priors (with prior.pairs.walls_only=true if only the walls are wanted)"
            )
        write_checked(file, json_text([prior.to_dict() for prior in priors]))
    return read_priors(file, "delete it: the same command fits the priors again")


def _force_sets(
    folder: Path,
    priors: Sequence[Prior],
    parts: Sequence[Frames],
    name: str,
    weights: list[np.ndarray] | None,
    platform: str,
) -> list[ForceSet]:
    """Combine frames with the forces of the priors on them; `name` (training or validation) is a part of the file names."""
    forces = [_stored_prior_forces(folder, priors, part, f"{name}_{k}", platform) for k, part in enumerate(parts)]
    return [
        ForceSet(part, known, None if weights is None else weights[k])
        for k, (part, known) in enumerate(zip(parts, forces, strict=True))
    ]


def _with_targets(sets: list[ForceSet], priors: Sequence[Prior], targets: Sequence[str]) -> list[ForceSet]:
    """Add energies, virials or both to the sets, as `targets` says. The contributions of the priors are subtracted."""
    if "energies" in targets:
        sets, single = with_energies(sets, [prior_energies(priors, data.frames) for data in sets])
        words = ", ".join(f"{name} {energy:.6g}" for name, energy in single.items())
        log.info("fit: these energies of single beads are subtracted before energies are fitted: %s kJ/mol", words)
    if "virials" in targets:
        left = [np.asarray(data.frames.virials) - prior_virials(priors, data.frames) for data in sets]
        sets = [dataclasses.replace(data, virials=virials) for data, virials in zip(sets, left, strict=True)]
    return sets


def _stored_prior_forces(folder: Path, priors: Sequence[Prior], frames: Frames, name: str, platform: str) -> np.ndarray:
    """Return the forces of the priors on the frames, kJ/mol/nm.

    OpenMM computes the forces once. They are kept beside the checkpoints, in a file with the hash of the priors in its name.
    """
    file = folder / "checkpoints" / f"prior_forces_{name}_{prior_digest(priors)}.npy"
    if file.exists():
        try:
            return _read_prior_forces(file, frames)
        except ValueError as error:  # a damaged file is written again
            log.info("fit: the forces of the priors are computed again: %s", error)
    file.parent.mkdir(exist_ok=True)
    rows = prior_forces_by_frame(priors, frames, platform)
    write_checked(file, array_file(frames.forces.shape, frames.forces.dtype, rows))
    return _read_prior_forces(file, frames)


def _read_prior_forces(file: Path, frames: Frames) -> np.ndarray:
    """Read the stored forces of the priors on these frames.

    Raises:
        ValueError: the file is damaged or belongs to other frames, or an earlier version wrote it without a checksum.
    """
    check_file(file, "damaged", unknown=False)
    stored = read_array(file, "damaged")
    check_arrays({"positions": frames.positions, "forces": stored}, frames.mapping.n_beads, str(file), judged=True)
    return stored if stored.nbytes > MOST_IN_MEMORY else np.array(stored)
