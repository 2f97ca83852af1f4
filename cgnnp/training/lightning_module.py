"""The fit as a Lightning module: loss, held-out metrics and optimizer. Lightning runs the loop over batches and epochs."""

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgnnp.evaluators.choice import evaluate
from cgnnp.models.potential import Potential
from cgnnp.models.registry import model_to_dict
from cgnnp.training.data import Batch

CHECKPOINT_VERSION = 2


class FitModule(pl.LightningModule):
    """A network with its loss on training frames and its R2 on held-out frames.

    Args:
        model: the network.
        loss: function that returns the loss of a network on a batch, see `cgnnp.training.loss`.
        total_square: mean square of a component of the mapped force in the held-out frames, (kJ/mol/nm)^2. R2 is computed
            relative to it.
        learning_rate: peak learning rate of Adam.
        total_steps: number of optimizer steps of the whole fit. The learning rate rises linearly over the first 2 % of them,
            and then falls to 1 % of its peak along a cosine.
    """

    def __init__(
        self,
        model: Potential,
        *,
        loss: Callable[[Potential, Batch], Tensor],
        total_square: float,
        learning_rate: float,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss, self.total_square = loss, total_square
        self.learning_rate, self.total_steps = learning_rate, max(1, total_steps)
        self._squares, self._count = 0.0, 0
        self._losses: list[Tensor] = []

    def on_train_epoch_start(self) -> None:
        """Discard the losses of the previous epoch."""
        self._losses = []

    def mean_loss(self) -> float:
        """Return the mean loss of the batches of this epoch so far.

        With the default weights of the loss terms, a network whose forces are zero has a loss of 1.
        """
        return float(torch.stack(self._losses).mean()) if self._losses else math.nan

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self.loss(self.model, batch)
        self._losses.append(loss.detach())
        self.log("loss", loss, batch_size=batch.graph.n_frames, prog_bar=True, on_step=True, on_epoch=False)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Set the sums over held-out frames to zero."""
        self._squares, self._count = 0.0, 0

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add the squared errors of the forces of one held-out batch."""
        _, forces = evaluate(self.model, batch.graph)
        self._squares += float(torch.sum((forces.detach() - batch.forces).to(torch.float64) ** 2))
        self._count += batch.forces.numel()

    def on_validation_epoch_end(self) -> None:
        """Log R2 of the total force and the root mean square error of a force component."""
        mean_square = self._squares / max(1, self._count)
        self.log("r2", 1.0 - mean_square / self.total_square, prog_bar=True, sync_dist=True)
        self.log("force_rmse", math.sqrt(mean_square), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Return Adam and the schedule of its learning rate: a warm-up and a cosine decay, updated after every batch."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        warm = max(1, self.total_steps // 50)

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            done = min(1.0, (step - warm) / max(1, self.total_steps - warm))
            return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch to a device; Lightning cannot do this itself, since batches are plain dataclasses."""
        return batch.to(device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the version and the description of the network to the checkpoint."""
        checkpoint["cgnnp"] = {"version": CHECKPOINT_VERSION, "model": model_to_dict(self.model)}
