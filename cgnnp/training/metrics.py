"""Quality of a fit: the explained variance R2 of the total mapped force on held-out frames, with block errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from cgnnp.evaluators.choice import evaluate
from cgnnp.models.potential import Potential
from cgnnp.runtime.representation import brief
from cgnnp.statistics import Estimate, stratified_estimate
from cgnnp.training.data import ForceSet, make_loader


@brief
@dataclass(frozen=True)
class FitQuality:
    """Quality of a fit on held-out frames.

    `r2_prior` is R2 of the priors alone, `r2_model` is R2 of priors and network together, and `gain` is the difference of
    the two with its paired error. R2 = 1 - <|F - F_model|^2> / <|F|^2>, with F the total mapped force. Most of the
    difference between R2 and 1 is thermal noise. `force_rms` is the root mean square of a component of F, and `force_rmse`
    that of F - F_model for priors and network, both in kJ/mol/nm.
    """

    r2_prior: Estimate
    r2_model: Estimate
    gain: Estimate
    force_rms: float
    force_rmse: float


def predict_forces(
    model: Potential, data: ForceSet, batch_size: int = 8, device: torch.device | None = None
) -> Float[np.ndarray, "frames beads 3"]:
    """Return the forces of the network alone, without those of the priors, on every frame, kJ/mol/nm."""
    loader = make_loader([data], model, batch_size)
    device = device or next(model.parameters()).device
    parts = [evaluate(model, batch.graph.to(device))[1].detach().cpu().numpy() for batch in loader]
    return np.concatenate(parts).reshape(data.frames.forces.shape)


def fit_quality(sets: Sequence[ForceSet], network_forces: Sequence[Float[np.ndarray, "_ _ 3"]]) -> FitQuality:
    """Return R2 of the priors and of the model, and the gain by the network, for the frames of all sets together.

    Args:
        sets: held-out frames with the forces of the priors.
        network_forces: forces of the network on the frames of each set, kJ/mol/nm.
    """
    squares = [
        np.stack([_squares(x) for x in (data.residual, data.residual - forces, data.frames.forces)], axis=1)
        for data, forces in zip(sets, network_forces, strict=True)
    ]
    _, left, total = np.sum([part.sum(axis=0) for part in squares], axis=0)
    n_components = sum(data.frames.forces.size for data in sets)
    return FitQuality(
        r2_prior=stratified_estimate([part[:, [0, 2]] for part in squares], lambda mean: 1.0 - mean[0] / mean[1]),
        r2_model=stratified_estimate([part[:, [1, 2]] for part in squares], lambda mean: 1.0 - mean[0] / mean[1]),
        gain=stratified_estimate(squares, lambda mean: (mean[0] - mean[1]) / mean[2]),
        force_rms=float(np.sqrt(total / n_components)),
        force_rmse=float(np.sqrt(left / n_components)),
    )


def _squares(forces: Float[np.ndarray, "frames beads 3"]) -> Float[np.ndarray, "frames"]:
    """Return the sum of the squared force components of every frame."""
    return np.sum(np.square(forces, dtype=np.float64), axis=(1, 2))
