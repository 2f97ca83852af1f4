"""Force matching: fit a network by least squares to the part of the mapped forces that the priors do not explain."""

import contextlib
import functools
import logging
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import TQDMProgressBar, WeightAveraging
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from cgnnp.evaluators.choice import threads_for
from cgnnp.models.potential import Potential
from cgnnp.models.weights import are_finite
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import check_positive
from cgnnp.runtime.storage import remove_checked
from cgnnp.training.checkpoints import (
    MovableCheckpoint,
    WholeCheckpointIO,
    early_stopping,
    load_checkpoint,
    read_checkpoint,
    stopping_state,
)
from cgnnp.training.data import ForceSet, make_loader, residual_square
from cgnnp.training.lightning_module import FitModule
from cgnnp.training.loss import Loss
from cgnnp.training.metrics_table import MetricsTable, read_metrics
from cgnnp.training.trainer import Trained, Trainer

log = logging.getLogger("cgnnp")
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # suppresses the list of devices

BEST, LAST = "best.ckpt", "last.ckpt"


@dataclass(frozen=True, kw_only=True)
class ForceMatching(Trainer):
    """Force matching with Adam, a warm-up and cosine decay of the learning rate, averaged weights (EMA) and early stopping.

    Args:
        max_epochs: largest number of passes over the training frames.
        batch_size: number of frames in an optimizer step.
        learning_rate: peak learning rate of Adam, reached after the warm-up.
        ema_decay: decay per step of the exponential moving average of the weights; 0 turns the average off.
        gradient_clip: largest norm of the gradient; 0 turns clipping off.
        patience: number of epochs without a better R2 after which the fit stops.
        loss: weights of the terms of the loss: forces, energies, virials (`cgnnp.training.loss`).
        type_weights: weights of the squared deviations of forces, by bead type; types that are not named have weight 1.
        accelerator: Lightning's name of the device: auto, cpu, gpu, ...

    Raises:
        ValueError: a setting is out of range.
    """

    max_epochs: int = 6
    batch_size: int = 4
    learning_rate: float = 0.01
    ema_decay: float = 0.99
    gradient_clip: float = 1.0
    patience: int = 3
    loss: dict[str, float] = field(default_factory=lambda: {"forces": 1.0, "energies": 0.0, "virials": 0.0})
    type_weights: dict[str, float] | None = None
    accelerator: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("trainer", max_epochs=self.max_epochs, batch_size=self.batch_size)
        check_positive("trainer", learning_rate=self.learning_rate, patience=self.patience)
        if not 0 <= self.ema_decay < 1:
            raise SettingError("trainer", f"ema_decay={self.ema_decay}: must be at least 0 and less than 1")
        if self.gradient_clip < 0:
            raise SettingError("trainer", f"gradient_clip={self.gradient_clip}: must not be negative (0 turns it off)")
        if "energies" in self.objective.terms and self.batch_size == 1:
            raise SettingError(
                "trainer",
                "batch_size=1: must be 2 or more, since energies are fitted as differences between the frames of a batch",
            )

    @property
    def objective(self) -> Loss:
        """The loss function, made from the settings `loss` and `type_weights`."""
        return Loss(self.loss, self.type_weights or {})

    @property
    def targets(self) -> tuple[str, ...]:
        """See `Trainer.targets`."""
        return self.objective.terms

    def check_machine(self) -> None:
        """Raise an error if this machine does not have the accelerator.

        Raises:
            ValueError: the accelerator is not available; the message gives Lightning's reason.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pl.Trainer(
                    accelerator=self.accelerator,
                    devices=1,
                    logger=False,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                )
        except (ValueError, MisconfigurationException, RuntimeError) as error:
            raise SettingError("trainer", f"accelerator={self.accelerator}: {error}") from error

    def check_types(self, type_names: Sequence[str]) -> None:
        """See `Loss.check_types`."""
        self.objective.check_types(type_names)

    def fit(self, model: Potential, training: Sequence[ForceSet], held_out: Sequence[ForceSet], folder: Path) -> Trained:
        """Fit a network, and return it with the averaged weights of the best epoch. For the arguments see `Trainer.fit`.

        The fit writes metrics.csv, checkpoints/best.ckpt and checkpoints/last.ckpt to the folder. If the folder has both
        checkpoints, the fit continues from last.ckpt, even if the folder was moved; otherwise the fit starts anew. A
        continued fit gives the same result as an uninterrupted one: to the last bit on a CPU with the same number of
        threads, and to rounding errors on a GPU. A fit that has ended is not repeated. If R2 is no longer finite after some
        epochs, the network of the best epoch is returned, with a warning.

        Raises:
            ValueError: R2 or the weights are not finite from the first epoch on, or a checkpoint in the folder is damaged.
        """
        checkpoints = folder / "checkpoints"
        resume = _continued_from(checkpoints)
        if resume is not None and stopping_state(read_checkpoint(resume)).get("stopping_reason"):
            log.info("fit: the fit had already stopped early, reading %s", checkpoints / BEST)
        else:
            self._run(model, training, held_out, folder, resume)
        return Trained(_best_network(checkpoints), tuple(read_metrics(folder / "metrics.csv")))

    def _run(
        self,
        model: Potential,
        training: Sequence[ForceSet],
        held_out: Sequence[ForceSet],
        folder: Path,
        resume: Path | None,
    ) -> None:
        """Train until the last epoch or until early stopping, and write all files of the fit."""
        if resume is not None:
            log.info("fit: continuing from %s", resume)
        if "virials" in self.targets:
            log.info("fit: virials are fitted, and the fast evaluators cannot compute them: expect a slower fit")
        read_metrics(folder / "metrics.csv")  # raises an error for a damaged file before the first epoch, not after it
        weighted = self.objective.weighted(training)
        train_loader = make_loader(weighted, model, self.batch_size, shuffle_seed=self.seed)
        held_out_loader = make_loader(held_out, model, self.batch_size)
        forces = [np.square(part.frames.forces, dtype=np.float64) for part in held_out]
        total_square = sum(float(np.sum(square)) for square in forces) / sum(square.size for square in forces)
        module = FitModule(
            model,
            loss=self.objective.of(weighted),
            total_square=total_square,
            learning_rate=self.learning_rate,
            total_steps=self.max_epochs * len(train_loader),
        )
        table = MetricsTable(folder / "metrics.csv", r2_prior=1.0 - residual_square(held_out) / total_square)
        trainer = self._trainer([table, *_checkpoint_callbacks(folder / "checkpoints")])
        own_threads = trainer.strategy.root_device.type == "cpu" and "virials" not in self.targets
        with warnings.catch_warnings(), threads_for(model) if own_threads else contextlib.nullcontext():
            # Lightning advises more loader workers and larger data sets. Neither helps: this process builds the graphs.
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            trainer.fit(module, train_loader, held_out_loader, ckpt_path=resume, weights_only=True)

    def _trainer(self, callbacks: list[Any]) -> pl.Trainer:
        callbacks = [*callbacks, early_stopping(self.patience)]
        if self.ema_decay > 0:
            average = functools.partial(exponential_average, self.ema_decay)
            callbacks.append(WeightAveraging(use_buffers=False, avg_fn=average))
        in_terminal = sys.stderr.isatty()
        if in_terminal:
            callbacks.append(TQDMProgressBar(leave=True))
        return pl.Trainer(
            max_epochs=self.max_epochs,
            accelerator=self.accelerator,
            devices=1,
            gradient_clip_val=self.gradient_clip,
            callbacks=callbacks,
            plugins=[WholeCheckpointIO()],
            logger=False,
            enable_progress_bar=in_terminal,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            inference_mode=False,
        )


def _continued_from(checkpoints: Path) -> Path | None:
    """Return the path of the last checkpoint; None if the fit has to start anew.

    The fit also starts anew if the best checkpoint is missing, since a continued fit might not write it again.
    """
    best, last = checkpoints / BEST, checkpoints / LAST
    if not last.exists():
        return None
    if not best.exists():
        log.info("fit: %s is missing, so the fit cannot continue from %s and starts anew", best, last)
        remove_checked(last)
        return None
    for path in (best, last):
        read_checkpoint(path)
    return last


def _checkpoint_callbacks(checkpoints: Path) -> list[MovableCheckpoint]:
    """Return the callbacks that keep the checkpoints of the best epoch and of the last one.

    Two callbacks are needed: the option `save_last` of a callback that keeps the best epoch saves the last epoch only if it
    is the best one.
    """
    make = functools.partial(MovableCheckpoint, checkpoints, enable_version_counter=False, auto_insert_metric_name=False)
    return [make(Path(BEST).stem, monitor="r2", mode="max"), make(Path(LAST).stem)]


def _best_network(checkpoints: Path) -> Potential:
    """Return the network of the best epoch, after the fit has ended.

    Raises:
        ValueError: the fit diverged before any epoch had a finite R2 and finite weights.
    """
    best, last = checkpoints / BEST, checkpoints / LAST
    model, best_epoch = load_checkpoint(best), read_checkpoint(best)["epoch"]
    state = stopping_state(read_checkpoint(last))
    diverged = state.get("stopping_reason") == EarlyStoppingReason.NON_FINITE_METRIC.value
    if not are_finite(model) or (diverged and state["stopped_epoch"] <= best_epoch):
        raise ValueError(
            f"{best}: the fit diverged in epoch {best_epoch + 1}, where R2 or the weights are not finite: "
            "lower learning_rate and fit in a new run_dir"
        )
    if diverged:
        log.warning(
            "fit: the fit diverged in epoch %d (R2 is not finite), so the network of epoch %d is kept: "
            "for a better fit lower learning_rate and fit in a new run_dir",
            state["stopped_epoch"] + 1,
            best_epoch + 1,
        )
    return model


def exponential_average(decay: float, average: torch.Tensor, current: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """Return the moving average of the weights after one more step.

    At the start of a fit the average is over fewer steps, so that short fits forget their initial weights.

    Args:
        decay: decay of the average per step after the start of the fit.
        average: the average so far.
        current: the weights after this step.
        number: number of steps that are in the average so far.
    """
    weight = torch.clamp((1.0 + number) / (10.0 + number), max=decay)
    return average + (1.0 - weight) * (current - average)
