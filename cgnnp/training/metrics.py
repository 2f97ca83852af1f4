"""What is reported of a fit: explained variance of the total mapped force, with block errors."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from cgnnp.models.potential import Potential
from cgnnp.native.forces import energies_and_forces
from cgnnp.statistics import Estimate, block_estimate, explained_variance
from cgnnp.training.data import ForceSet, make_loader


@dataclass(frozen=True)
class FitQuality:
    """R2 of prior and of prior + network on held-out frames, and their difference with its paired error.

    R2 = 1 - <|F - F_model|^2> / <|F|^2> with F the total mapped force: most of what is missing from one is thermal noise.
    """

    r2_prior: Estimate
    r2_model: Estimate
    gain: Estimate
    force_rms: float
    force_rmse: float


def predict_forces(
    model: Potential, data: ForceSet, batch_size: int = 8, device: torch.device | None = None
) -> Float[np.ndarray, "frames beads 3"]:
    """The network's forces on every frame (without the priors'), kJ/mol/nm."""
    loader = make_loader([data], model.type_names, model.cutoff, model.precision(), batch_size)
    device = device or next(model.parameters()).device
    parts = [energies_and_forces(model, graph.to(device))[1].detach().cpu().numpy() for graph, _, _ in loader]
    return np.concatenate(parts).reshape(data.frames.forces.shape)


def fit_quality(data: ForceSet, network_forces: Float[np.ndarray, "frames beads 3"]) -> FitQuality:
    """Explained variances of the prior alone and of the model, and the paired gain."""
    total, residual = data.frames.forces, data.residual
    left = residual - network_forces
    squares = np.stack([np.sum(np.square(x, dtype=np.float64), axis=(1, 2)) for x in (residual, left, total)], axis=1)
    return FitQuality(
        r2_prior=explained_variance(residual, total),
        r2_model=explained_variance(left, total),
        gain=block_estimate(squares, lambda mean: (mean[0] - mean[1]) / mean[2]),
        force_rms=float(np.sqrt(np.mean(np.square(total, dtype=np.float64)))),
        force_rmse=float(np.sqrt(np.mean(np.square(left, dtype=np.float64)))),
    )
