"""The worker of MACE (package mace-torch): correlation order 2, radial perceptrons with one hidden layer.

`eager`: as built, with e3nn's own code generation. `compiled`: torch.compile of the model that `mace.tools.compile.prepare`
makes, as MACE's calculator does; its energies are float64 sums.
"""

from typing import Any

import mace  # noqa: F401 (before e3nn: it lets torch read e3nn's constants)
import numpy as np
import torch
from e3nn import o3
from mace.modules import RealAgnosticResidualInteractionBlock, ScaleShiftMACE
from mace.tools.compile import prepare as prepare_for_compile
from protocol import (
    Call,
    Case,
    Frame,
    Prepared,
    compare,
    serve,
    training_step,
)

CORRELATION = 2


def prepare(case: Case) -> Prepared:
    frames = case.frames()
    torch.set_default_dtype(torch.float32)
    data = data_of(frames, len(case.type_names))
    targets = torch.from_numpy(np.concatenate([frame.targets for frame in frames]))
    training = case.task == "train"
    slow = build(case)
    edges = data["edge_index"].shape[1]

    def call_of(model: Any) -> Call:
        def forces() -> torch.Tensor:
            return model(dict(data), training=training)["forces"]

        if training:
            return training_step(model, forces, targets)
        return forces

    if not training:
        slow.requires_grad_(False)
    slow_call = call_of(slow)
    if case.mode == "eager":
        return Prepared(slow_call, edges)
    fast = prepare_for_compile(build)(case)
    fast.load_state_dict(slow.state_dict(), strict=False)
    fast.requires_grad_(training)
    fast_call = call_of(torch.compile(fast))
    off = compare(fast, fast_call, slow, slow_call) if case.check else None
    return Prepared(fast_call, edges, difference=off)


def build(case: Case) -> ScaleShiftMACE:
    """Features of natural parity, as many channels of each degree."""
    torch.manual_seed(0)
    hidden = o3.Irreps([(case.channels, (degree, (-1) ** degree)) for degree in range(case.l_max + 1)])
    return ScaleShiftMACE(
        r_max=case.cutoff_nm,
        num_bessel=case.n_basis,
        num_polynomial_cutoff=6,
        max_ell=case.l_max,
        interaction_cls=RealAgnosticResidualInteractionBlock,
        interaction_cls_first=RealAgnosticResidualInteractionBlock,
        num_interactions=case.layers,
        num_elements=len(case.type_names),
        hidden_irreps=hidden,
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(case.type_names)),
        avg_num_neighbors=case.avg_neighbors,
        atomic_numbers=list(range(1, len(case.type_names) + 1)),
        correlation=CORRELATION,
        gate=torch.nn.functional.silu,
        radial_MLP=[case.radial_width],
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )


def data_of(frames: list[Frame], n_types: int) -> dict[str, torch.Tensor]:
    """The batch as MACE's dictionary: edges from senders (the neighbours) to receivers (the centers)."""
    sizes = [len(frame.types) for frame in frames]
    starts = np.cumsum([0, *sizes])
    receivers = np.concatenate([frame.centers + start for frame, start in zip(frames, starts, strict=False)])
    senders = np.concatenate([frame.neighbors + start for frame, start in zip(frames, starts, strict=False)])
    unit_shifts = -np.concatenate([frame.shifts for frame in frames])
    shifts = -np.concatenate([frame.shifts @ frame.box for frame in frames])
    types = np.concatenate([frame.types for frame in frames])
    return {
        "positions": torch.from_numpy(np.concatenate([frame.positions for frame in frames])).float(),
        "cell": torch.from_numpy(np.concatenate([frame.box for frame in frames])).float(),
        "edge_index": torch.from_numpy(np.stack([senders, receivers])),
        "shifts": torch.from_numpy(shifts).float(),
        "unit_shifts": torch.from_numpy(unit_shifts).float(),
        "node_attrs": torch.nn.functional.one_hot(torch.from_numpy(types), n_types).float(),
        "batch": torch.from_numpy(np.repeat(np.arange(len(frames)), sizes)),
        "ptr": torch.from_numpy(starts),
    }


if __name__ == "__main__":
    serve(prepare)
