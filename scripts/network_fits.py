"""Fits of many networks to one data set, on the same frames with the same priors, some of them side by side."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from joblib import Parallel, delayed

import cgnnp
from cgnnp.configured import OF_STAGE
from cgnnp.dataset import open_frames
from cgnnp.files import read_json
from cgnnp.frames import Frames, concatenate, split_contiguous
from cgnnp.priors import prior_forces
from cgnnp.statistics import block_estimate
from cgnnp.training.data import ForceSet
from cgnnp.training.fit import FitSettings, read_metrics
from cgnnp.training.metrics import predict_forces
from cgnnp.workflow import stages
from cgnnp.workflow.run_folder import RunFolder, start_logging

HELD_OUT = 0.1
MAPPINGS = {"water": "water_cg", "ions": "ions_nacl"}
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
    tags: frozenset[str] = field(default_factory=frozenset)

    @property
    def folder(self) -> str:
        """Its name as that of a folder."""
        return f"{self.system}-{self.name}".replace(", ", "-").replace(" ", "_")

    @property
    def architecture(self) -> str:
        """Option of the group `model`."""
        return next((text.removeprefix("model=") for text in self.settings if text.startswith("model=")), COMPILED)


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
    with initialize_config_module("cgnnp.conf", version_base=None):
        config = compose("train", [f"mapping={MAPPINGS[job.system]}", *job.settings])
    training, held_out = split_contiguous(open_frames(data), HELD_OUT)
    distinct = training if job.n_frames is None else spread(training, job.n_frames)
    visited = distinct if job.n_frames is None else repeated(distinct)
    both = concatenate([visited, held_out])
    trainer = {key: value for key, value in config.trainer.items() if key not in OF_STAGE}
    if job.architecture == COMPILED:
        trainer["accelerator"] = "cpu"
    run, prior = RunFolder.create(folder, job.folder), instantiate(config.prior)
    start_logging(folder / "train.log")
    model, priors = stages.fit_stage(
        run,
        [both],
        lambda *_, **options: prior(distinct, **options),
        instantiate(config.model),
        FitSettings(**trainer),
        held_out_fraction=len(held_out) / len(both),
        platform="CPU",
    )
    stages.export_stage(run, model.to("cpu"), priors, [both])
    np.save(folder / "squares.npy", squares(folder, held_out))
    shutil.rmtree(folder / "checkpoints")
    return folder


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


def against_nequip(job: Job, data: Path, work: Path, python: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """R2 of our fit, and what the `nequip` package makes of the same frames with the same settings of model and fit.

    `settings` are those of `nequip.model.NequIPGNNModel`; `python` has that package.
    """
    folder = fitted(job, data, work)
    target = work / f"{job.folder}-nequip.npz"
    training, held_out = split_contiguous(open_frames(data), HELD_OUT)
    distinct = training if job.n_frames is None else spread(training, job.n_frames)
    priors = list(cgnnp.load(folder / "potential", self_check=False).priors)
    parts = {"train": distinct, "held_out": held_out}
    sets = {name: ForceSet(part, prior_forces(priors, part, "CPU")) for name, part in parts.items()}
    if not target.exists():
        model = read_json(folder / "potential" / "model.json")
        with initialize_config_module("cgnnp.conf", version_base=None):
            trainer = compose("train", [f"mapping={MAPPINGS[job.system]}", *job.settings]).trainer
        given = {name: float(model[name]) for name in ("avg_num_neighbors",)}
        shared = {
            "r_max": model["cutoff_nm"],
            "type_names": model["type_names"],
            "per_type_energy_scales": model["energy_scale"],
        }
        fit = {name: trainer[name] for name in ("max_epochs", "batch_size", "learning_rate", "gradient_clip", "ema_decay")}
        arrays = {f"{name}_{kind}": value for name, part in sets.items() for kind, value in _arrays(part).items()}
        source = work / f"{job.folder}-for-nequip.npz"
        described = json.dumps({"model": {**settings, **shared, **given, "per_type_energy_shifts": 0.0}, **fit})
        np.savez(source, settings=described, box=held_out.boxes[0], **arrays)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        script = Path(__file__).parent / "fit_nequip.py"
        subprocess.run([python, script, source, target], check=True, env=environment)
    with np.load(target) as file:
        theirs, seconds = file["forces"], file["seconds"]
    left = np.sum(np.square(sets["held_out"].residual - theirs, dtype=np.float64), axis=(1, 2))
    own = np.load(folder / "squares.npy")
    pair = np.column_stack([left - own[:, 0], left, own[:, 1]])
    rows = [float(row["seconds"]) for row in read_metrics(folder / "metrics.csv")]
    return {
        "theirs": block_estimate(pair, lambda mean: 1.0 - mean[1] / mean[2]),
        "ahead": block_estimate(pair, lambda mean: mean[0] / mean[2]),
        "seconds": float(np.mean(seconds)),
        "own_seconds": float(np.mean(rows)),
    }


def _arrays(data: ForceSet) -> dict[str, np.ndarray]:
    return {"positions": data.frames.positions, "residual": data.residual}


def summary(job: Job, work: Path) -> dict[str, Any]:
    """What a finished fit found."""
    return read_json(work / job.folder / "summary.json")
