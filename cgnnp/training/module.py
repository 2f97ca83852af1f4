"""The force-matching step: the loss and its metrics; the loop around it is Lightning's."""

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgnnp.evaluators.choice import evaluate
from cgnnp.models.potential import Graph, Potential
from cgnnp.models.registry import model_to_dict

CHECKPOINT_VERSION = 2


class ForceMatching(pl.LightningModule):
    """Weighted mean-square difference of network forces and residual mapped forces, in units of the residual's own.

    loss = < w_I |F_network - F_residual|^2 > / < w_I |F_residual|^2 >, w_I the weight of each bead; R2 has no weights.

    Args:
        model: the network.
        residual_square: weighted mean square of a component of the residual force on the training frames.
        total_square: the same of the total mapped force on the validation frames, for R2.
        learning_rate: of Adam, at its peak.
        total_steps: optimizer steps of the whole fit: linear warm-up over 2 %, then a cosine down to 1 %.
    """

    def __init__(
        self,
        model: Potential,
        *,
        residual_square: float,
        total_square: float,
        learning_rate: float,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.residual_square, self.total_square = residual_square, total_square
        self.learning_rate, self.total_steps = learning_rate, max(1, total_steps)
        self._squares, self._count = 0.0, 0
        self._losses: list[Tensor] = []

    def on_train_epoch_start(self) -> None:
        """Forget the losses of the epoch before."""
        self._losses = []

    def mean_loss(self) -> float:
        """Mean loss of the batches of this epoch so far: 1 is the loss of a network without forces."""
        return float(torch.stack(self._losses).mean()) if self._losses else math.nan

    def training_step(self, batch: tuple[Graph, Tensor, Tensor], batch_index: int) -> Tensor:
        """The loss of one batch."""
        graph, target, weights = batch
        _, forces = evaluate(self.model, graph, create_graph=True)
        loss = torch.mean(weights * (forces - target) ** 2) / self.residual_square
        self._losses.append(loss.detach())
        self.log("loss", loss, batch_size=graph.n_frames, prog_bar=True, on_step=True, on_epoch=False)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self._squares, self._count = 0.0, 0

    def validation_step(self, batch: tuple[Graph, Tensor, Tensor], batch_index: int) -> None:
        """Sum squared errors."""
        graph, target, _ = batch
        _, forces = evaluate(self.model, graph)
        self._squares += float(torch.sum((forces.detach() - target).to(torch.float64) ** 2))
        self._count += target.numel()

    def on_validation_epoch_end(self) -> None:
        """Log R2 of the total force and the root mean square error per component."""
        mean_square = self._squares / max(1, self._count)
        self.log("r2", 1.0 - mean_square / self.total_square, prog_bar=True, sync_dist=True)
        self.log("force_rmse", math.sqrt(mean_square), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam with warm-up and cosine decay, stepped every batch."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        warm = max(1, self.total_steps // 50)

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            done = min(1.0, (step - warm) / max(1, self.total_steps - warm))
            return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(
        self, batch: tuple[Graph, Tensor, Tensor], device: torch.device, dataloader_idx: int
    ) -> tuple[Graph, Tensor, Tensor]:
        """Graphs are plain dataclasses, which Lightning does not know how to move."""
        graph, target, weights = batch
        return graph.to(device), target.to(device), weights.to(device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the network as data beside its weights."""
        checkpoint["cgnnp"] = {"version": CHECKPOINT_VERSION, "model": model_to_dict(self.model)}
