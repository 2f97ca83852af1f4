"""The table metrics.csv, which has one row per epoch of a fit."""

import csv
import io
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from cgnnp.runtime.storage import write_file

log = logging.getLogger("cgnnp")


class MetricsTable(pl.Callback):
    """Writes one row to metrics.csv and one line to the log after every epoch."""

    def __init__(self, path: Path, r2_prior: float) -> None:
        self.path, self.r2_prior = path, r2_prior
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start to measure the time of the epoch."""
        self._started = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the row of the epoch, and its line in the log."""
        metrics = trainer.callback_metrics
        now = {
            "epoch": trainer.current_epoch,
            "loss": pl_module.mean_loss(),
            "force_rmse_kJ_mol_nm": float(metrics["force_rmse"]),
            "r2": float(metrics["r2"]),
            "r2_prior": self.r2_prior,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": time.perf_counter() - self._started,
        }
        # A resumed fit may repeat an epoch. The new row replaces the old one and all rows of later epochs.
        write_metrics(self.path, [*(row for row in read_metrics(self.path) if row["epoch"] < now["epoch"]), now])
        log.info(
            "fit: epoch %d of %d, R2 %.4f (prior alone %.4f), force RMSE %.2f kJ/mol/nm, %.0f s",
            *(now["epoch"] + 1, trainer.max_epochs, now["r2"], now["r2_prior"], now["force_rmse_kJ_mol_nm"], now["seconds"]),
        )


def write_metrics(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the rows as CSV. All rows must have the same keys, among them `epoch` (from 0) and `r2` (of held-out frames)."""
    text = io.StringIO(newline="")
    table = [{**row, "epoch": int(row["epoch"])} for row in rows]
    csv.writer(text).writerows([tuple(rows[0]), *(tuple(row.values()) for row in table)])
    write_file(path, text.getvalue())


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the rows of metrics.csv; an empty list if there is no file.

    Raises:
        ValueError: the file was truncated or changed.
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
            raise ValueError("a row or the heading is not complete")
        return [{key: float(value) for key, value in zip(table[0], row, strict=True)} for row in table[1:]]
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path}: the file was truncated or changed ({error}): delete it; the run then continues without its rows"
        ) from error
