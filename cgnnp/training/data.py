"""Mapped frames as graphs, with the forces that the network is fitted to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler

from cgnnp.diagnostics.noise_floor import force_variances
from cgnnp.evaluators.cpu.neighbors import find_graph, find_neighbors
from cgnnp.frames.frames import Frames
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Graph, Potential, join_graphs
from cgnnp.runtime.representation import brief

AT_A_TIME = 64 * 2**20
"""Residual forces are computed in parts of at most this many bytes."""


@brief
@dataclass(frozen=True)
class ForceSet:
    """Frames with the forces of the priors on them.

    Args:
        frames: the mapped frames.
        prior_forces: forces of the priors, kJ/mol/nm.
        weights: weight of each bead in the fit; None gives all beads the weight 1.
        energies: energies minus those of the priors and the constant energies per bead of `with_energies`, kJ/mol; None if
            they are not fitted.
        virials: virials minus those of the priors, kJ/mol; None if they are not fitted.
    """

    frames: Frames
    prior_forces: Float[np.ndarray, "frames beads 3"]
    weights: Float[np.ndarray, "beads"] | None = None
    energies: Float[np.ndarray, "frames"] | None = None
    virials: Float[np.ndarray, "frames 3 3"] | None = None

    def __post_init__(self) -> None:
        if self.prior_forces.shape != self.frames.forces.shape:
            raise ValueError(
                f"the prior forces have shape {self.prior_forces.shape}, but the forces of the frames have shape "
                f"{self.frames.forces.shape}: evaluate the priors on these frames"
            )

    @property
    def residual(self) -> Float[np.ndarray, "frames beads 3"]:
        """Residual forces of all frames, kJ/mol/nm: mapped forces minus those of the priors."""
        return self.frames.forces - self.prior_forces

    def residuals(self) -> Iterator[Float[np.ndarray, "frames beads 3"]]:
        """Yield the residual forces (kJ/mol/nm) of a few frames at a time, which saves memory."""
        step = max(1, AT_A_TIME // max(1, self.prior_forces[:1].nbytes))
        for start in range(0, len(self.frames), step):
            part = slice(start, start + step)
            yield np.asarray(self.frames.forces[part]) - self.prior_forces[part]

    @property
    def bead_weights(self) -> Float[np.ndarray, "beads"]:
        """Weight of each bead; all weights are 1 if none are given."""
        return np.ones(self.frames.mapping.n_beads) if self.weights is None else self.weights


def residual_square(sets: Sequence[ForceSet], *, weighted: bool = False) -> float:
    """Return the mean square of a component of the residual force, (kJ/mol/nm)^2.

    With `weighted`, each square is multiplied by the weight of its bead. The sum is divided by the number of components, not
    by the sum of the weights.
    """
    total = 0.0
    for data in sets:
        for residual in data.residuals():
            squares = np.square(residual, dtype=np.float64)
            total += float(np.sum(squares * data.bead_weights[:, None] if weighted else squares))
    return total / sum(data.prior_forces.size for data in sets)


def noise_weights(parts: list[Frames]) -> list[Float[np.ndarray, "_"]]:
    """Return the weights 1/sigma^2 of the beads of each data set, normalised to a mean of 1 over all beads of all frames.

    sigma^2 is the variance of the noise of a force component. It is pooled over the data set by bead type
    (`cgnnp.diagnostics.noise_floor.force_variances`), because a single averaged force has too few samples to
    estimate its own variance. With these weights, averaged and instantaneous forces can be fitted together.
    """
    raw = []
    for frames in parts:
        variances = force_variances(frames)
        raw.append(np.array([1.0 / variances[name] for name in frames.mapping.bead_types]))
    total = sum(len(frames) * weights.sum() for frames, weights in zip(parts, raw, strict=True))
    mean = total / sum(len(frames) * len(weights) for frames, weights in zip(parts, raw, strict=True))
    return [weights / mean for weights in raw]


def with_energies(
    sets: Sequence[ForceSet], prior_energies: Sequence[Float[np.ndarray, "_"]]
) -> tuple[list[ForceSet], dict[str, float]]:
    """Return the data sets with the energies that the network is fitted to, and the constants that were subtracted, by type.

    A network is fitted to differences of energies only. A constant energy e_t per bead of type t is therefore subtracted,
    with e = argmin sum_s N_s (<E>_s - sum_t n_st e_t)^2. Set s has N_s frames and n_st beads of type t, and <E>_s is the
    mean of its energies minus those of the priors.

    Args:
        sets: data sets whose frames have energies.
        prior_energies: energies of the priors for the frames of each set, kJ/mol.
    """
    names = list(dict.fromkeys(name for data in sets for name in data.frames.mapping.type_names))
    totals = [np.asarray(data.frames.energies, dtype=np.float64) for data in sets]
    left = [total - known for total, known in zip(totals, prior_energies, strict=True)]
    numbers = np.array([[data.frames.mapping.bead_types.count(name) for name in names] for data in sets], dtype=float)
    root = np.sqrt([len(data.frames) for data in sets])
    single, *_ = np.linalg.lstsq(numbers * root[:, None], root * [float(np.mean(one)) for one in left], rcond=None)
    found = [replace(data, energies=one - own @ single) for data, one, own in zip(sets, left, numbers, strict=True)]
    return found, dict(zip(names, single.tolist(), strict=True))


@brief
@dataclass(frozen=True)
class Batch:
    """Frames as one graph, with the forces, energies and virials that the network is fitted to.

    Args:
        graph: graph of all frames.
        forces: residual forces (beads, 3), kJ/mol/nm.
        weights: weights of the squared force deviations of the beads (beads, 1).
        energies: residual energies (frames,), float64, kJ/mol; None if they are not fitted.
        virials: residual virials (frames, 3, 3), float64, kJ/mol; None if they are not fitted.
    """

    graph: Graph
    forces: Tensor
    weights: Tensor
    energies: Tensor | None = None
    virials: Tensor | None = None

    @property
    def n_beads(self) -> Tensor:
        """Number of beads of each frame."""
        return torch.bincount(self.graph.frame_of, minlength=self.graph.n_frames)

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to another device."""
        parts: dict[str, Any] = {name: part.to(device) for name, part in vars(self).items() if part is not None}
        return replace(self, **parts)

    @classmethod
    def joined(cls, batches: Sequence["Batch"]) -> "Batch":
        """Concatenate several batches into one."""

        def of_all(name: str) -> Any:
            parts = [getattr(batch, name) for batch in batches]
            return None if parts[0] is None else torch.cat(parts)

        graph = join_graphs([batch.graph for batch in batches])
        return cls(graph, of_all("forces"), of_all("weights"), of_all("energies"), of_all("virials"))


class GraphData(Dataset):
    """The frames of a data set, each as a `Batch` of one frame. The graph of a frame is built when the frame is accessed."""

    def __init__(self, data: ForceSet, model: Potential) -> None:
        topology = data.frames.mapping.topology
        self.data, self.cutoff, self.dtype = data, model.cutoff, model.precision()
        self.types = model.types_of(topology)
        self.weights = torch.from_numpy(data.bead_weights[:, None]).to(self.dtype)
        self.pair_classes = PairClasses.of(topology) if model.clamps_by_class else None

    def __len__(self) -> int:
        return len(self.data.frames)

    def __getitem__(self, index: int) -> Batch:
        frames = self.data.frames
        positions = torch.from_numpy(frames.positions[index].astype(np.float64))
        box = torch.from_numpy(np.array(frames.boxes[index], dtype=np.float64))
        graph = find_graph(positions, box, self.types, self.cutoff, self.dtype, self.pair_classes)
        residual = np.asarray(frames.forces[index]) - self.data.prior_forces[index]
        energies, virials = (
            None if array is None else torch.from_numpy(array[index : index + 1])
            for array in (self.data.energies, self.data.virials)
        )
        return Batch(graph, torch.from_numpy(np.array(residual)).to(self.dtype), self.weights, energies, virials)


class EpochShuffle(Sampler):
    """Shuffles the frames in an order that depends on seed and epoch alone.

    A resumed fit thus sees the frames in the same order as an uninterrupted one.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**64)
        return iter(torch.randperm(self.size, generator=generator).tolist())


def make_loader(sets: Sequence[ForceSet], model: Potential, batch_size: int, shuffle_seed: int | None = None) -> DataLoader:
    """Return a loader of batches from all data sets.

    Args:
        sets: the data sets.
        model: the network, which determines cutoff, bead types and precision.
        batch_size: number of frames in a batch.
        shuffle_seed: seed of the shuffling; None keeps the frames in order.

    Raises:
        ValueError: the network does not know a bead type of the data.
    """
    data: ConcatDataset = ConcatDataset([GraphData(part, model) for part in sets])
    sampler = None if shuffle_seed is None else EpochShuffle(len(data), shuffle_seed)
    return DataLoader(data, batch_size=max(1, min(batch_size, len(data))), sampler=sampler, collate_fn=Batch.joined)


def average_neighbors(frames: Frames, cutoff: float, n_frames: int = 10) -> float:
    """Return the mean number of neighbours of a bead within the cutoff (nm), estimated from `n_frames` frames; at least 1.

    The network normalises its sums over neighbours by this number.
    """
    counts = []
    for t in np.unique(np.linspace(0, len(frames) - 1, n_frames).astype(int)):
        positions, box = (torch.from_numpy(np.array(a[t], dtype=np.float64)) for a in (frames.positions, frames.boxes))
        receivers, _, _ = find_neighbors(positions, box, cutoff)
        counts.append(len(receivers) / len(positions))
    return max(1.0, float(np.mean(counts)))
