"""Fits of many networks to one data set, on the same frames with the same priors, some of them side by side."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from joblib import Parallel, delayed
from omegaconf import DictConfig

import cgnnp
from cgnnp.analysis.angles import Adf
from cgnnp.analysis.rdf import Rdf
from cgnnp.commands.training import fit_plan
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames, concatenate, split_contiguous
from cgnnp.priors import prior_forces
from cgnnp.runtime.storage import json_text, read_json, write_checked, write_json
from cgnnp.simulation.potential_files import save_bundle
from cgnnp.statistics import Estimate, block_estimate
from cgnnp.training.data import ForceSet
from cgnnp.training.metrics import predict_forces
from cgnnp.training.metrics_table import read_metrics
from cgnnp.workflow.fitting import PRIORS, fit_model
from cgnnp.workflow.run_folder import start_logging

HELD_OUT = 0.1
FIGURES = "fit.json"
CHOICES = {"water": "mapping=water_cg", "ions": "preset=nacl"}
COMPILED = "nequip"
"""The architecture that trains fastest on a CPU; the others take a GPU where there is one."""

EFFICIENCY_VISITS = 100
"""Frames in an epoch of a fit to few, which are repeated or taken in turn: the best of many short epochs is kept, since fits
to few frames soon learn their noise."""


@dataclass(frozen=True)
class Job:
    """One fit: settings of `python -m cgnnp.train`, and how many of the training frames it gets (all without a number)."""

    system: str
    name: str
    settings: tuple[str, ...]
    n_frames: int | None = None

    @property
    def folder(self) -> str:
        """Its name as that of a folder."""
        return f"{self.system}-{self.name}".replace(", ", "-").replace(" ", "_")

    @property
    def label(self) -> str:
        """Its name without the seed."""
        return self.name.rsplit(", seed", 1)[0]

    @property
    def architecture(self) -> str:
        """Option of the group `model`."""
        return next((text.removeprefix("model=") for text in self.settings if text.startswith("model=")), COMPILED)


@dataclass(frozen=True, eq=False)
class Found:
    """One network of one system; errors are standard errors, `squares` those of every held-out frame, see `network_fits`."""

    job: Job
    r2: float
    r2_stderr: float
    gain: float
    gain_stderr: float
    n_parameters: int
    behind: float
    behind_stderr: float
    ms_per_step: float
    speed: float
    squares: np.ndarray


@dataclass(frozen=True)
class Structure:
    """What a run shows of pairs and of triples: g(r), angles in the first shell, tetrahedral order (of one-bead liquids)."""

    pairs: list[Rdf]
    angles: list[Adf]
    order: Any


def fit_all(jobs: Sequence[Job], data: dict[str, Path], work: Path, n_jobs: int) -> None:
    """Make all fits that are not there, `n_jobs` at a time, the longest first."""
    order = sorted(jobs, key=lambda job: job.architecture == COMPILED)
    Parallel(n_jobs=n_jobs)(delayed(fitted)(job, data[job.system], work) for job in order)


def fitted(job: Job, data: Path, work: Path) -> Path:
    """The folder of a finished fit, with an exported potential and `squares.npy`."""
    folder = work / job.folder
    if (folder / "squares.npy").exists():
        return folder
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    training, held_out = split_contiguous(open_frames(data), HELD_OUT)
    distinct = training if job.n_frames is None else spread(training, job.n_frames)
    visited = distinct if job.n_frames is None else repeated(distinct)
    both = concatenate([visited, held_out])
    plan = fit_plan(composed(job))
    on_cpu = {"accelerator": "cpu"} if job.architecture == COMPILED else {}
    plan = replace(
        plan,
        trainer=replace(plan.trainer, held_out_fraction=len(held_out) / len(both), **on_cpu),
        platform="CPU",
    )
    folder.mkdir(parents=True, exist_ok=True)
    start_logging(folder / "train.log")
    if not (folder / PRIORS).exists():  # of the distinct frames: those that are repeated tell no more
        write_checked(folder / PRIORS, json_text([one.to_dict() for one in plan.prior(distinct, platform="CPU")]))
    found = fit_model([both], plan, folder)
    save_bundle(folder / "potential", found.model.to("cpu"), found.priors, [both])
    write_json(folder / FIGURES, asdict(found.figures))
    np.save(folder / "squares.npy", squares(folder, held_out))
    shutil.rmtree(folder / "checkpoints")
    return folder


def composed(job: Job) -> DictConfig:
    """The configuration of a fit."""
    with initialize_config_module("cgnnp.conf", version_base=None):
        return compose("train", [CHOICES[job.system], *job.settings])


def repeated(frames: Frames) -> Frames:
    """So often that an epoch has a round number of frames."""
    return frames[np.resize(np.arange(len(frames)), max(EFFICIENCY_VISITS, len(frames)))]


def spread(frames: Frames, number: int) -> Frames:
    """So many frames, as far apart as there is room for."""
    return frames[np.linspace(0, len(frames) - 1, number).round().astype(int)]


def squares(folder: Path, held_out: Frames) -> np.ndarray:
    """Sums of |F - F_model|^2 and of |F|^2 over the beads of every held-out frame, (frames, 2)."""
    bundle = cgnnp.load(folder / "potential", self_check=False)
    data = ForceSet(held_out, prior_forces(list(bundle.priors), held_out, "CPU"))
    left = data.residual - predict_forces(bundle.model, data)
    return np.stack([np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (left, held_out.forces)], axis=1)


def paired(squares: np.ndarray, others: np.ndarray) -> Estimate:
    """What R2 is below that of another network, from the `squares` of both on the same frames."""
    pair = np.column_stack([squares[:, 0] - others[:, 0], squares[:, 1]])
    return block_estimate(pair, lambda mean: mean[0] / mean[1])


def against_nequip(job: Job, data: Path, work: Path, python: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """R2 of our fit, and what the `nequip` package makes of the same frames with the same settings of model and fit.

    `settings` are those of `nequip.model.NequIPGNNModel`; `python` has that package.
    """
    folder = fitted(job, data, work)
    target = work / f"{job.folder}-nequip.npz"
    training, held_out = split_contiguous(open_frames(data), HELD_OUT)
    priors = list(cgnnp.load(folder / "potential", self_check=False).priors)
    held_out_set = ForceSet(held_out, prior_forces(priors, held_out, "CPU"))
    if not target.exists():
        distinct = training if job.n_frames is None else spread(training, job.n_frames)
        sets = {"train": ForceSet(distinct, prior_forces(priors, distinct, "CPU")), "held_out": held_out_set}
        model = read_json(folder / "potential" / "model.json")
        trainer = composed(job).trainer
        shared = {
            "r_max": model["cutoff_nm"],
            "type_names": model["type_names"],
            "avg_num_neighbors": model["avg_num_neighbors"],
            "per_type_energy_scales": model["energy_scale"],
            "per_type_energy_shifts": 0.0,
        }
        fit = {name: trainer[name] for name in ("max_epochs", "batch_size", "learning_rate", "gradient_clip", "ema_decay")}
        arrays = {f"{name}_positions": part.frames.positions for name, part in sets.items()}
        arrays |= {f"{name}_residual": part.residual for name, part in sets.items()}
        source = work / f"{job.folder}-for-nequip.npz"
        described = json.dumps({"model": {**settings, **shared}, **fit})
        np.savez(source, settings=described, box=held_out.boxes[0], **arrays)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        script = Path(__file__).parent / "fit_nequip.py"
        subprocess.run([python, script, source, target], check=True, env=environment)
    with np.load(target) as file:
        theirs, seconds = file["forces"], file["seconds"]
    left = np.sum(np.square(held_out_set.residual - theirs, dtype=np.float64), axis=(1, 2))
    own = np.load(folder / "squares.npy")
    both = np.column_stack([left - own[:, 0], left, own[:, 1]])
    rows = [float(row["seconds"]) for row in read_metrics(folder / "metrics.csv")]
    return {
        "theirs": block_estimate(both, lambda mean: 1.0 - mean[1] / mean[2]),
        "ahead": block_estimate(both, lambda mean: mean[0] / mean[2]),
        "seconds": float(np.mean(seconds)),
        "own_seconds": float(np.mean(rows)),
    }


def figures_of(job: Job, work: Path) -> dict[str, Any]:
    """What a finished fit found."""
    return read_json(work / job.folder / FIGURES)
