"""Mapped frames as graphs with target forces."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler

from cgnnp.diagnostics.noise_floor import force_variances
from cgnnp.evaluators.cpu.neighbors import find_graph, find_neighbors
from cgnnp.frames.frames import Frames
from cgnnp.models.clamps import PairClasses
from cgnnp.models.potential import Graph, join_graphs
from cgnnp.runtime.representation import brief

AT_A_TIME = 64 * 2**20
"""Bytes of forces that are added up at a time."""


@brief
@dataclass(frozen=True)
class ForceSet:
    """Frames with the forces that the priors already explain, kJ/mol/nm, and how much each bead counts in the fit.

    Without weights all beads count alike.
    """

    frames: Frames
    prior_forces: Float[np.ndarray, "frames beads 3"]
    weights: Float[np.ndarray, "beads"] | None = None

    def __post_init__(self) -> None:
        if self.prior_forces.shape != self.frames.forces.shape:
            raise ValueError(
                f"prior forces have shape {self.prior_forces.shape}, the frames' forces {self.frames.forces.shape}"
            )

    @property
    def residual(self) -> Float[np.ndarray, "frames beads 3"]:
        """What is left for the network, of all frames at once."""
        return self.frames.forces - self.prior_forces

    def residuals(self) -> Iterator[Float[np.ndarray, "frames beads 3"]]:
        """What is left for the network, some frames at a time."""
        step = max(1, AT_A_TIME // max(1, self.prior_forces[:1].nbytes))
        for start in range(0, len(self.frames), step):
            part = slice(start, start + step)
            yield np.asarray(self.frames.forces[part]) - self.prior_forces[part]

    @property
    def bead_weights(self) -> Float[np.ndarray, "beads"]:
        """The weights, 1 where none are given."""
        return np.ones(self.frames.mapping.n_beads) if self.weights is None else self.weights


def residual_square(sets: Sequence[ForceSet], *, weighted: bool = False) -> float:
    """Mean square of a component of what is left for the network; with weights their sum counts as its number."""
    total = 0.0
    for data in sets:
        for residual in data.residuals():
            squares = np.square(residual, dtype=np.float64)
            total += float(np.sum(squares * data.bead_weights[:, None] if weighted else squares))
    return total / sum(data.prior_forces.size for data in sets)


def noise_weights(parts: list[Frames]) -> list[Float[np.ndarray, "_"]]:
    """Weights 1/sigma^2 of the beads of several data sets, normalised to a mean of 1 over all beads of all frames.

    sigma^2 is the noise of a component of the force, pooled over a set by bead type
    (`cgnnp.diagnostics.noise_floor.force_variances`): a single label's own few forces are too few to weight it. Averaged and
    instantaneous forces can be fitted together.
    """
    raw = []
    for frames in parts:
        variances = force_variances(frames)
        raw.append(np.array([1.0 / variances[name] for name in frames.mapping.bead_types]))
    total = sum(len(frames) * weights.sum() for frames, weights in zip(parts, raw, strict=True))
    mean = total / sum(len(frames) * len(weights) for frames, weights in zip(parts, raw, strict=True))
    return [weights / mean for weights in raw]


def typed_weights(
    parts: Sequence[Frames], weights: Sequence[Float[np.ndarray, "_"]] | None, by_type: Mapping[str, float]
) -> list[Float[np.ndarray, "_"]] | None:
    """Weights of the beads of several data sets, times those of their types; types that are not named have 1.

    None where there are neither.
    """
    if not by_type:
        return None if weights is None else list(weights)
    own = [np.ones(frames.mapping.n_beads) for frames in parts] if weights is None else weights
    factors = [np.array([by_type.get(name, 1.0) for name in frames.mapping.bead_types]) for frames in parts]
    return [weight * factor for weight, factor in zip(own, factors, strict=True)]


class GraphData(Dataset):
    """One item per frame: its graph, built when asked for, the residual forces (beads, 3), and the weights (beads, 1)."""

    def __init__(self, data: ForceSet, type_names: tuple[str, ...], cutoff: float, dtype: torch.dtype) -> None:
        unknown = set(data.frames.mapping.type_names) - set(type_names)
        if unknown:
            raise ValueError(
                f"the data of mapping '{data.frames.mapping.name}' have beads of type {', '.join(sorted(unknown))}, but the "
                f"network knows only {', '.join(type_names)}: take a network that was fitted to data with all these types, "
                "or a mapping that makes beads of the types it knows"
            )
        self.frames, self.cutoff, self.dtype = data.frames, cutoff, dtype
        self.prior_forces = data.prior_forces
        self.weights = torch.from_numpy(data.bead_weights[:, None]).to(dtype)
        self.types = torch.tensor([type_names.index(name) for name in data.frames.mapping.bead_types])
        self.pair_classes = PairClasses.of(data.frames.mapping.topology)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Graph, Tensor, Tensor]:
        positions = torch.from_numpy(self.frames.positions[index].astype(np.float64))
        box = torch.from_numpy(np.array(self.frames.boxes[index], dtype=np.float64))
        graph = find_graph(positions, box, self.types, self.cutoff, self.dtype, self.pair_classes)
        residual = np.asarray(self.frames.forces[index]) - self.prior_forces[index]
        return graph, torch.from_numpy(np.array(residual)).to(self.dtype), self.weights


class EpochShuffle(Sampler):
    """Shuffles by seed and epoch alone, so that a resumed run sees the same order as an uninterrupted one."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**64)
        return iter(torch.randperm(self.size, generator=generator).tolist())


def collate(items: list[tuple[Graph, Tensor, Tensor]]) -> tuple[Graph, Tensor, Tensor]:
    """One graph, one array of target forces and one of weights."""
    graphs, targets, weights = zip(*items, strict=True)
    return join_graphs(list(graphs)), torch.cat(targets), torch.cat(weights)


def make_loader(
    sets: list[ForceSet],
    type_names: tuple[str, ...],
    cutoff: float,
    dtype: torch.dtype,
    batch_size: int,
    shuffle_seed: int | None = None,
) -> DataLoader:
    """Batches of frames of all the sets; in order of time without a seed."""
    data: ConcatDataset = ConcatDataset([GraphData(part, type_names, cutoff, dtype) for part in sets])
    sampler = None if shuffle_seed is None else EpochShuffle(len(data), shuffle_seed)
    return DataLoader(data, batch_size=max(1, min(batch_size, len(data))), sampler=sampler, collate_fn=collate)


def average_neighbors(frames: Frames, cutoff: float, n_frames: int = 10) -> float:
    """Mean number of neighbours within the cutoff over a few frames; what sums in the network are normalised by."""
    counts = []
    for t in np.unique(np.linspace(0, len(frames) - 1, n_frames).astype(int)):
        positions, box = (torch.from_numpy(np.array(a[t], dtype=np.float64)) for a in (frames.positions, frames.boxes))
        receivers, _, _ = find_neighbors(positions, box, cutoff)
        counts.append(len(receivers) / len(positions))
    return max(1.0, float(np.mean(counts)))
