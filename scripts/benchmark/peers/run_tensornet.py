"""The worker of TensorNet (package torchmd-net).

`eager`: plain torch operations. `warp`: the package's kernels in NVIDIA's warp, which it takes where it finds warp.
`compiled`: torch.compile of the plain ones. TensorNet makes a neighbour list itself; here it is handed the edges.
"""

import numpy as np
import torch
from protocol import (
    Case,
    Frame,
    Prepared,
    compare,
    first_call,
    n_parameters,
    serve,
    training_step,
)
from torchmdnet.models import tensornet
from torchmdnet.models.model import create_model


class GivenEdges(torch.nn.Module):
    """In place of the package's neighbour search: vectors and lengths of the edges that are given, self loops first."""

    def __init__(self, frames: list[Frame]) -> None:
        super().__init__()
        starts = np.cumsum([0, *[len(frame.types) for frame in frames]])
        loops = np.arange(starts[-1])
        centers = [frame.centers + start for frame, start in zip(frames, starts, strict=False)]
        neighbors = [frame.neighbors + start for frame, start in zip(frames, starts, strict=False)]
        index = np.stack([np.concatenate([loops, *centers]), np.concatenate([loops, *neighbors])])
        order = np.argsort(index[0], kind="stable")
        shifts = np.concatenate([np.zeros((len(loops), 3)), *[frame.shifts @ frame.box for frame in frames]])
        self.register_buffer("index", torch.from_numpy(index[:, order].copy()))
        self.register_buffer("shifts", torch.from_numpy(shifts[order]).float())
        self.register_buffer("loop", self.index[0] == self.index[1])

    def forward(self, pos: torch.Tensor, batch: torch.Tensor, box: torch.Tensor | None = None) -> tuple:
        """Indices (2, edges), lengths (edges,), vectors (edges, 3); a bead is its own neighbour at no distance."""
        vectors = pos[self.index[0]] - pos[self.index[1]] - self.shifts
        squares = (vectors * vectors).sum(1)
        lengths = torch.sqrt(torch.where(self.loop, torch.ones_like(squares), squares))
        return self.index, torch.where(self.loop, torch.zeros_like(lengths), lengths), vectors


def prepare(case: Case) -> Prepared:
    if case.mode != "warp":
        take_plain_operations()
    frames = case.frames()
    targets = torch.from_numpy(np.concatenate([frame.targets for frame in frames]))
    training = case.task == "train"
    positions = torch.from_numpy(np.concatenate([frame.positions for frame in frames])).float()
    types = torch.from_numpy(np.concatenate([frame.types for frame in frames])) + 1
    batch = torch.from_numpy(np.repeat(np.arange(len(frames)), [len(frame.types) for frame in frames]))

    def call_of(model: torch.nn.Module, derive: torch.nn.Module):
        def forces() -> torch.Tensor:
            return derive(types, positions.clone(), batch, num_systems=len(frames))[1]

        if training:
            return training_step(model, forces, targets)
        return forces

    slow = build(case, frames)
    facts = {"edges": sum(len(frame.centers) for frame in frames), "n_parameters": n_parameters(slow)}
    slow.train(training).requires_grad_(training)
    slow_call = call_of(slow, slow)
    if case.mode != "compiled":
        return Prepared(slow_call, **facts)
    fast = build(case, frames)
    fast.train(training).requires_grad_(training)
    fast_call = call_of(fast, torch.compile(fast))
    seconds = first_call(case, f"tensornet_{case.task}", fast_call)
    off = compare(fast, fast_call, slow, slow_call) if case.check else None
    return Prepared(fast_call, **facts, compile_s=seconds, difference=off)


def take_plain_operations() -> None:
    """What the package does itself where it finds no warp."""
    tensornet.OPT = False
    for name in ("compose_tensor", "decompose_tensor", "tensor_matmul_o3", "tensor_matmul_so3"):
        setattr(tensornet, name, getattr(tensornet, f"_{name}"))


def build(case: Case, frames: list[Frame]) -> torch.nn.Module:
    """`layers` passes of messages: the embedding is the first. The radial widths are the package's own."""
    torch.manual_seed(0)
    model = create_model(
        {
            "model": "tensornet",
            "precision": 32,
            "embedding_dimension": case.channels,
            "num_layers": case.layers - 1,
            "num_rbf": case.n_basis,
            "rbf_type": "expnorm",
            "trainable_rbf": False,
            "activation": "silu",
            "cutoff_lower": 0.0,
            "cutoff_upper": case.cutoff_nm,
            "max_z": len(case.type_names) + 1,
            "max_num_neighbors": 200,
            "equivariance_invariance_group": "O(3)",
            "prior_model": None,
            "atom_filter": -1,
            "derivative": True,
            "output_model": "Scalar",
            "reduce_op": "sum",
        }
    )
    model.representation_model.distance = GivenEdges(frames)
    return model


if __name__ == "__main__":
    serve(prepare)
