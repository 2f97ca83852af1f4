"""Fit a network to residual mean forces: trainer, resume, early stop, metrics."""

import contextlib
import csv
import functools
import io
import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar, WeightAveraging
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from cgnnp.evaluators.choice import threads_for
from cgnnp.frames.frames import Frames
from cgnnp.models.potential import Potential
from cgnnp.models.registry import DTYPES
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import check_positive
from cgnnp.runtime.storage import remove_checked, write_file
from cgnnp.training.checkpoints import (
    MovableCheckpoint,
    WholeCheckpointIO,
    early_stopping,
    load_checkpoint,
    read_checkpoint,
    stopping_state,
)
from cgnnp.training.data import ForceSet, make_loader, residual_square
from cgnnp.training.module import ForceMatching

log = logging.getLogger("cgnnp")
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # not which devices it has not found

METRICS = ("epoch", "loss", "force_rmse_kJ_mol_nm", "r2", "r2_prior", "learning_rate", "seconds")
BEST, LAST = "best.ckpt", "last.ckpt"


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a network is fitted.

    Args:
        max_epochs, batch_size: at most so many passes over the frames, so many of them a step.
        learning_rate: of Adam, after warm-up and before cosine decay.
        ema_decay: of the moving average of weights, per step; 0 turns it off.
        gradient_clip: norm of gradients; 0 turns it off.
        patience: epochs without a better R2 after which the fit stops.
        held_out_fraction: of the frames of each data set, the last ones, which are not fitted.
        type_weights: of squared errors in the loss, by bead type; those that are not named have 1.
        dtype: precision of the weights, float32 or float64.
        accelerator: Lightning's name for where to compute.
        seed: of the order of frames.

    Raises:
        ValueError: a setting out of range.
    """

    max_epochs: int = 6
    batch_size: int = 4
    learning_rate: float = 0.01
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    patience: int = 3
    held_out_fraction: float = 0.1
    type_weights: dict[str, float] | None = None
    dtype: str = "float32"
    accelerator: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("trainer", max_epochs=self.max_epochs, batch_size=self.batch_size)
        check_positive("trainer", learning_rate=self.learning_rate, patience=self.patience)
        if not 0 <= self.ema_decay < 1:
            raise SettingError("trainer", f"ema_decay={self.ema_decay}: must be in [0, 1)")
        if self.gradient_clip < 0:
            raise SettingError("trainer", f"gradient_clip={self.gradient_clip}: must not be negative (0 turns it off)")
        if not 0 < self.held_out_fraction < 1:
            raise SettingError("trainer", f"held_out_fraction={self.held_out_fraction}: must be a number between 0 and 1")
        if self.dtype not in DTYPES:
            raise SettingError("trainer", f"dtype={self.dtype}: choose one of {', '.join(DTYPES)}")
        for name, weight in (self.type_weights or {}).items():
            if not (math.isfinite(weight) and weight > 0):
                raise SettingError(
                    "trainer", f"type_weights.{name}={weight}: must be positive and finite (types not named have 1)"
                )

    def n_held_out(self, n_frames: int, label: str) -> int:
        """How many of so many frames are held out; errors call the data set by its label.

        Raises:
            ValueError: fewer than two, or all of them.
        """
        number = round(n_frames * self.held_out_fraction)
        if not 2 <= number < n_frames:
            raise SettingError(
                "trainer",
                f"held_out_fraction={self.held_out_fraction:g} of the {n_frames} frames of {label} leaves no frames "
                "to fit, or fewer than the two that an error of R2 needs: use more frames",
            )
        return number

    def split(self, frames: Frames, label: str) -> tuple[Frames, Frames]:
        """Training frames and the last ones, which are held out together since neighbouring frames are correlated."""
        edge = len(frames) - self.n_held_out(len(frames), label)
        return frames[:edge], frames[edge:]

    def check_types(self, type_names: Sequence[str]) -> None:
        """Refuse weights of bead types that there are not.

        Raises:
            ValueError: names one, and the types that there are.
        """
        for name in self.type_weights or {}:
            if name not in type_names:
                raise SettingError(
                    "trainer",
                    f"type_weights.{name}: there are no beads of this type in the data, only "
                    f"{', '.join(type_names)}: name one of these, or leave it out",
                )


def fit(
    model: Potential,
    training: list[ForceSet],
    validation: list[ForceSet],
    settings: FitSettings,
    directory: Path,
) -> Potential:
    """Fit, and return the network with the averaged weights of the best epoch.

    `directory` receives metrics.csv and checkpoints/best.ckpt, last.ckpt. A last.ckpt that is there is continued from
    (anew where its best.ckpt is missing), also after the directory was moved. On a CPU the result is that of a fit that
    was never interrupted, to the last bit with the same number of threads; on a GPU to rounding. A fit that had ended
    is not repeated. Where R2 is no longer finite after a good epoch, that epoch's network is returned with a warning.

    Raises:
        ValueError: R2 or the weights are not finite from the first epoch on, or a checkpoint that is there is damaged.
    """
    checkpoints = directory / "checkpoints"
    resume = _continued_from(checkpoints)
    if resume is not None and stopping_state(read_checkpoint(resume)).get("stopping_reason"):
        log.info("fit: had stopped early, reading %s", checkpoints / BEST)
    else:
        _run(model, training, validation, settings, directory, resume)
    return _best_network(checkpoints)


def _continued_from(checkpoints: Path) -> Path | None:
    """The last checkpoint if there is one, with its best one: a continued fit would not write that again."""
    best, last = checkpoints / BEST, checkpoints / LAST
    if not last.exists():
        return None
    if not best.exists():
        log.info("fit: %s is missing: not continuing from %s, fitting anew", best, last)
        remove_checked(last)
        return None
    for path in (best, last):
        read_checkpoint(path)
    return last


def _run(
    model: Potential,
    training: list[ForceSet],
    validation: list[ForceSet],
    settings: FitSettings,
    directory: Path,
    resume: Path | None,
) -> None:
    """Train to the last epoch, or until R2 does not improve, and write all the files of a fit."""
    if resume is not None:
        log.info("fit: continuing from %s", resume)
    read_metrics(directory / "metrics.csv")  # a damaged one is refused before the first epoch, not after it
    make = functools.partial(make_loader, type_names=model.type_names, cutoff=model.cutoff, dtype=model.precision())
    train_loader = make(training, batch_size=settings.batch_size, shuffle_seed=settings.seed)
    validation_loader = make(validation, batch_size=settings.batch_size)
    forces = [np.square(part.frames.forces, dtype=np.float64) for part in validation]
    total_square = sum(float(np.sum(square)) for square in forces) / sum(square.size for square in forces)
    module = ForceMatching(
        model,
        residual_square=residual_square(training, weighted=True),
        total_square=total_square,
        learning_rate=settings.learning_rate,
        total_steps=settings.max_epochs * len(train_loader),
    )
    r2_prior = 1.0 - residual_square(validation) / total_square
    table = MetricsTable(directory / "metrics.csv", r2_prior)
    trainer = _trainer(settings, [table, *_checkpoint_callbacks(directory / "checkpoints")])
    on_cpu = trainer.strategy.root_device.type == "cpu"
    with warnings.catch_warnings(), threads_for(model) if on_cpu else contextlib.nullcontext():
        # Advice on loader workers and on small data sets, which graphs built in the loop make moot.
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(module, train_loader, validation_loader, ckpt_path=resume, weights_only=True)


def _checkpoint_callbacks(checkpoints: Path) -> list[MovableCheckpoint]:
    """Keep the best epoch, then every last one (`save_last` of the first would write only the best epochs)."""
    make = functools.partial(MovableCheckpoint, checkpoints, enable_version_counter=False, auto_insert_metric_name=False)
    return [make(Path(BEST).stem, monitor="r2", mode="max"), make(Path(LAST).stem)]


def _best_network(checkpoints: Path) -> Potential:
    """What a fit that has ended returns.

    Raises:
        ValueError: it diverged before it had a finite R2 and finite weights.
    """
    best, last = checkpoints / BEST, checkpoints / LAST
    model, best_epoch = load_checkpoint(best), read_checkpoint(best)["epoch"]
    state = stopping_state(read_checkpoint(last))
    diverged = state.get("stopping_reason") == EarlyStoppingReason.NON_FINITE_METRIC.value
    finite = all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
    if not finite or (diverged and state["stopped_epoch"] <= best_epoch):
        raise ValueError(
            f"{best}: R2 or the weights are not finite, the fit diverged in epoch {best_epoch + 1}: "
            "lower learning_rate, in a new run_dir"
        )
    if diverged:
        log.warning(
            "fit: diverged in epoch %d (R2 is not finite), epoch %d is kept: "
            "a lower learning_rate, in a new run_dir, would do better",
            state["stopped_epoch"] + 1,
            best_epoch + 1,
        )
    return model


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
        raise SettingError("trainer", f"accelerator={settings.accelerator}: {error}") from error


def _trainer(settings: FitSettings, callbacks: list[Any]) -> pl.Trainer:
    callbacks = [*callbacks, early_stopping(settings.patience)]
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
        plugins=[WholeCheckpointIO()],
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
        text = io.StringIO(newline="")
        csv.writer(text).writerows([METRICS, *(tuple(row.values()) for row in kept), values])
        write_file(self.path, text.getvalue())
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
    """Rows of metrics.csv; none where there is no file.

    Raises:
        ValueError: it was cut short or changed.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        if (
            not text.endswith("\n")
            or any(len(row) != len(table[0]) for row in table)
            or not {"epoch", "r2"} <= set(table[0])
        ):
            raise ValueError("a row or its heading is not complete")
        return [{key: float(value) for key, value in zip(table[0], row, strict=True)} for row in table[1:]]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: cut short or changed ({error}): delete it, the run goes on without those rows") from error
