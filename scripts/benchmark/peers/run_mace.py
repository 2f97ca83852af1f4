"""The worker of MACE (package mace-torch): correlation order 2, radial perceptrons with one hidden layer.

The mode `eager` is the model as built, with e3nn's own code generation. The mode `compiled` is torch.compile of the model
that `mace.tools.compile.prepare` makes, as in MACE's calculator, where energies are summed in float64.
"""

from typing import Any

import mace  # noqa: F401 (before e3nn: it lets torch read e3nn's constants)
import numpy as np
import torch
from e3nn import o3
from mace.modules import RealAgnosticResidualInteractionBlock, ScaleShiftMACE
from mace.tools.compile import prepare as prepare_for_compile
from protocol import Case, Frame, Network, serve

CORRELATION = 2


def network(case: Case, frames: list[Frame], mode: str) -> Network:
    """Return the MACE network of a case in a mode; weights are the same in both modes."""
    torch.set_default_dtype(torch.float32)
    data, training = data_of(frames, len(case.type_names)), case.task == "train"
    made = build(case)
    model: Any = made
    if mode == "compiled":
        model = prepare_for_compile(build)(case)
        model.load_state_dict(made.state_dict(), strict=False)
    model.requires_grad_(training)
    run = torch.compile(model) if mode == "compiled" else model
    return Network(model, lambda: run(dict(data), training=training)["forces"], data["edge_index"].shape[1])


def build(case: Case) -> ScaleShiftMACE:
    """Return a network with features of natural parity and the same number of channels for each degree."""
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
    """Return the frames as one batch in MACE's format; its edges point from neighbours (senders) to centers (receivers)."""
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
    serve(network)
