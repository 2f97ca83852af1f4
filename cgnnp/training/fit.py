"""Fit a network to residual mean forces: trainer, checkpoints, resume, early stop, metrics."""

import csv
import functools
import logging
import pickle
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar, WeightAveraging
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from cgnnp.models.potential import Potential
from cgnnp.models.registry import model_from_dict
from cgnnp.signatures import check_positive
from cgnnp.training.data import ForceSet, make_loader
from cgnnp.training.module import CHECKPOINT_VERSION, ForceMatching

log = logging.getLogger("cgnnp")
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # not which devices it has not found

METRICS = ("epoch", "loss", "force_rmse_kJ_mol_nm", "r2", "r2_prior", "learning_rate", "seconds")


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a network is fitted."""

    max_epochs: int = 6
    batch_size: int = 4
    learning_rate: float = 0.01
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    patience: int = 6
    accelerator: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("trainer.", max_epochs=self.max_epochs, batch_size=self.batch_size)
        check_positive("trainer.", learning_rate=self.learning_rate, patience=self.patience)
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"trainer.ema_decay={self.ema_decay}: must be in [0, 1)")
        if self.gradient_clip < 0:
            raise ValueError(f"trainer.gradient_clip={self.gradient_clip}: must not be negative (0 turns it off)")


def fit(
    model: Potential,
    training: list[ForceSet],
    validation: list[ForceSet],
    settings: FitSettings,
    directory: Path,
) -> Potential:
    """Fit, and return the network with the averaged weights of the best epoch.

    `directory` receives metrics.csv and checkpoints/best.ckpt, last.ckpt; a last.ckpt that is there is continued from,
    with the result of an uninterrupted run.
    """
    make = functools.partial(make_loader, type_names=model.type_names, cutoff=model.cutoff, dtype=model.precision())
    train_loader = make(training, batch_size=settings.batch_size, shuffle_seed=settings.seed)
    validation_loader = make(validation, batch_size=settings.batch_size)
    total_square = _mean_square([part.frames.forces for part in validation])
    residual_square = _mean_square([part.residual for part in training])
    module = ForceMatching(
        model,
        residual_square=residual_square,
        total_square=total_square,
        learning_rate=settings.learning_rate,
        total_steps=settings.max_epochs * len(train_loader),
    )
    checkpoints = directory / "checkpoints"
    best = ModelCheckpoint(
        checkpoints,
        "best",
        monitor="r2",
        mode="max",
        save_last=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
    r2_prior = 1.0 - _mean_square([part.residual for part in validation]) / total_square
    last = checkpoints / "last.ckpt"
    resume = last if last.exists() else None
    if resume:
        read_checkpoint(resume)
        log.info("fit: continuing from %s", resume)
    trainer = _trainer(settings, [best, MetricsTable(directory / "metrics.csv", r2_prior)])
    with warnings.catch_warnings():
        # Advice on loader workers and on small data sets, which graphs built in the loop make moot.
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(module, train_loader, validation_loader, ckpt_path=resume, weights_only=True)
    return load_checkpoint(checkpoints / "best.ckpt")


def check_accelerator(settings: FitSettings) -> None:
    """Refuse an accelerator that is not here, before the work that leads up to the fit.

    Raises:
        ValueError: with Lightning's reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pl.Trainer(
                accelerator=settings.accelerator,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
    except (ValueError, MisconfigurationException, RuntimeError) as error:
        raise ValueError(f"trainer.accelerator={settings.accelerator}: {error}") from error


def _trainer(settings: FitSettings, callbacks: list[Any]) -> pl.Trainer:
    callbacks = [
        *callbacks,
        EarlyStopping("r2", mode="max", patience=settings.patience, min_delta=1e-4),
    ]
    if settings.ema_decay > 0:
        average = functools.partial(exponential_average, settings.ema_decay)
        callbacks.append(WeightAveraging(use_buffers=False, avg_fn=average))
    in_terminal = sys.stderr.isatty()
    if in_terminal:
        callbacks.append(TQDMProgressBar(leave=True))
    return pl.Trainer(
        max_epochs=settings.max_epochs,
        accelerator=settings.accelerator,
        devices=1,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=in_terminal,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,
    )


def exponential_average(decay: float, average: torch.Tensor, current: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """One step of the moving average of weights, over fewer steps at the start: short fits must forget their beginning."""
    weight = torch.clamp((1.0 + number) / (10.0 + number), max=decay)
    return average + (1.0 - weight) * (current - average)


class MetricsTable(pl.Callback):
    """Writes one row per epoch to metrics.csv and one line to the log."""

    def __init__(self, path: Path, r2_prior: float) -> None:
        self.path, self.r2_prior = path, r2_prior
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the row."""
        metrics = trainer.callback_metrics
        values = (
            trainer.current_epoch,
            pl_module.mean_loss(),
            float(metrics["force_rmse"]),
            float(metrics["r2"]),
            self.r2_prior,
            trainer.optimizers[0].param_groups[0]["lr"],
            time.perf_counter() - self._started,
        )
        # A resumed fit may repeat an epoch; its row replaces the one that is there, and later ones.
        kept = [{**row, "epoch": int(row["epoch"])} for row in read_metrics(self.path) if row["epoch"] < values[0]]
        temporary = self.path.with_suffix(".part")
        with temporary.open("w", newline="") as file:
            csv.writer(file).writerows([METRICS, *(tuple(row.values()) for row in kept), values])
        temporary.replace(self.path)
        log.info(
            "fit: epoch %d of %d, R2 %.4f (prior alone %.4f), force RMSE %.2f kJ/mol/nm, %.0f s",
            values[0] + 1,
            trainer.max_epochs,
            values[3],
            values[4],
            values[2],
            values[6],
        )


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Rows of metrics.csv; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as data; code in the file is never run.

    Raises:
        ValueError: truncated, not one of ours, or written by a newer version.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: truncated, or not a checkpoint of plain weights: delete it and fit again") from error
    ours = checkpoint.get("cgnnp") if isinstance(checkpoint, dict) else None
    if not isinstance(ours, dict):
        raise ValueError(f"{path}: a checkpoint, but not one that cgnnp wrote (no 'cgnnp' entry)")
    if not {"version", "model"} <= set(ours):
        raise ValueError(f"{path}: its 'cgnnp' entry is not complete: delete it and fit again")
    if ours["version"] > CHECKPOINT_VERSION:
        raise ValueError(
            f"{path}: checkpoint version {ours['version']}, this cgnnp reads up to {CHECKPOINT_VERSION}: upgrade cgnnp"
        )
    return checkpoint


def load_checkpoint(path: Path) -> Potential:
    """The network of a checkpoint, with its averaged weights.

    Raises:
        ValueError: see `read_checkpoint`; also weights that do not fit the network.
    """
    checkpoint = read_checkpoint(path)
    model = model_from_dict(checkpoint["cgnnp"]["model"], str(path))
    weights = {key.removeprefix("model."): value for key, value in checkpoint["state_dict"].items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the network it describes ({error})") from error
    return model.eval()


def _mean_square(arrays: list[np.ndarray]) -> float:
    total = sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays)
    return total / sum(array.size for array in arrays)
