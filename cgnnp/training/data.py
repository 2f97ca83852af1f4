"""Mapped frames as graphs with target forces."""

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
"""Bytes of forces that are added up at a time."""


@brief
@dataclass(frozen=True)
class ForceSet:
    """Frames with what the priors already explain of them.

    Args:
        frames: the frames.
        prior_forces: kJ/mol/nm.
        weights: how much each bead counts in the fit; all count alike without.
        energies: what is left of them for the network, kJ/mol, where they are fitted, see `with_energies`.
        virials: the same, kJ/mol.
    """

    frames: Frames
    prior_forces: Float[np.ndarray, "frames beads 3"]
    weights: Float[np.ndarray, "beads"] | None = None
    energies: Float[np.ndarray, "frames"] | None = None
    virials: Float[np.ndarray, "frames 3 3"] | None = None

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


def with_energies(
    sets: Sequence[ForceSet], prior_energies: Sequence[Float[np.ndarray, "_"]]
) -> tuple[list[ForceSet], dict[str, float]]:
    """The sets with the energies that are left for the network, and the energies of single beads that were taken off.

    A network is fitted to differences of energies: what depends on the numbers of beads of each type alone is subtracted,
    e = argmin sum_s N_s (<E>_s - sum_t n_st e_t)^2, with the mean <E>_s of what the priors leave of the N_s frames of set s.
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
    """Frames as a graph, with what a network is to find for them.

    Args:
        graph: of all frames.
        forces: (beads, 3), kJ/mol/nm.
        weights: (beads, 1), how much the squared deviation of each bead counts.
        energies: (frames,), float64, kJ/mol, where they are fitted.
        virials: (frames, 3, 3), float64, kJ/mol, where they are fitted.
    """

    graph: Graph
    forces: Tensor
    weights: Tensor
    energies: Tensor | None = None
    virials: Tensor | None = None

    @property
    def n_beads(self) -> Tensor:
        """Of each frame."""
        return torch.bincount(self.graph.frame_of, minlength=self.graph.n_frames)

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        parts: dict[str, Any] = {name: part.to(device) for name, part in vars(self).items() if part is not None}
        return replace(self, **parts)

    @classmethod
    def joined(cls, batches: Sequence["Batch"]) -> "Batch":
        """Several as one."""

        def of_all(name: str) -> Any:
            parts = [getattr(batch, name) for batch in batches]
            return None if parts[0] is None else torch.cat(parts)

        graph = join_graphs([batch.graph for batch in batches])
        return cls(graph, of_all("forces"), of_all("weights"), of_all("energies"), of_all("virials"))


class GraphData(Dataset):
    """One batch per frame, whose graph is built when it is asked for."""

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


def make_loader(sets: Sequence[ForceSet], model: Potential, batch_size: int, shuffle_seed: int | None = None) -> DataLoader:
    """Batches of frames of all the sets as a network takes them; in order of time without a seed.

    Raises:
        ValueError: a bead type that the network does not know.
    """
    data: ConcatDataset = ConcatDataset([GraphData(part, model) for part in sets])
    sampler = None if shuffle_seed is None else EpochShuffle(len(data), shuffle_seed)
    return DataLoader(data, batch_size=max(1, min(batch_size, len(data))), sampler=sampler, collate_fn=Batch.joined)


def average_neighbors(frames: Frames, cutoff: float, n_frames: int = 10) -> float:
    """Mean number of neighbours within the cutoff over a few frames; what sums in the network are normalised by."""
    counts = []
    for t in np.unique(np.linspace(0, len(frames) - 1, n_frames).astype(int)):
        positions, box = (torch.from_numpy(np.array(a[t], dtype=np.float64)) for a in (frames.positions, frames.boxes))
        receivers, _, _ = find_neighbors(positions, box, cutoff)
        counts.append(len(receivers) / len(positions))
    return max(1.0, float(np.mean(counts)))
