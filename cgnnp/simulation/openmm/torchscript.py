"""The self-contained TorchScript module that is saved as `model.pt` and that TorchForce runs.

Torch has deprecated TorchScript, and only this file depends on it. Replace this file when openmm-torch stops using it.
"""

import copy
import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from cgnnp.models.clamps import PairClasses, edge_classes
from cgnnp.models.neighbors import edge_vectors, forces_on_beads
from cgnnp.models.potential import Potential
from cgnnp.runtime.storage import write_file


class ForceModule(nn.Module):
    """Torch module that computes energy and forces from positions and box: neighbour list, network and differentiation.

    The neighbour list is computed in the precision of the positions. Only the vectors between neighbours are rounded to the
    precision of the network.

    Args:
        model: the network.
        types: index of the bead type of every bead.
        pair_classes: pairs of beads within molecules, which have clamps of their own; None if there are none.
    """

    types: Tensor
    precision: Tensor
    keys: Tensor
    kinds: Tensor

    def __init__(self, model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> None:
        super().__init__()
        self.model = model
        self.cutoff = model.cutoff
        self.register_buffer("types", types.to(torch.int64))
        none = torch.empty(0, dtype=torch.int64)
        keys, kinds = (none, none) if pair_classes is None or not model.clamps_by_class else pair_classes
        self.register_buffer("keys", keys)
        self.register_buffer("kinds", kinds)
        self.register_buffer("precision", torch.zeros(0, dtype=model.precision()))

    def forward(self, positions: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the energy (kJ/mol, float64 scalar) and the forces (beads, 3), kJ/mol/nm. Positions and box are in nm."""
        box = box.to(positions.dtype)
        if not bool(torch.isfinite(positions).all()):
            # NaN lets the simulation report that it blew up; the neighbour list would raise an obscure error instead.
            return torch.full([], float("nan"), dtype=torch.float64, device=positions.device), torch.full_like(
                positions, float("nan")
            )
        vectors, receivers, senders = edge_vectors(positions.detach(), box, self.cutoff)
        classes: Tensor | None = None
        if self.keys.size(0) > 0:
            classes = edge_classes(self.keys, self.kinds, receivers, senders, vectors, box, positions.size(0))
        vectors = vectors.to(self.precision.dtype).requires_grad_(True)
        seen = self.model.clamped(vectors, receivers, senders, self.types, classes)
        energies = self.model(seen, receivers, senders, self.types)
        gradient = torch.autograd.grad([energies.sum()], [vectors])[0]
        if gradient is None:
            raise RuntimeError("the energy does not depend on the positions")
        forces = forces_on_beads(gradient, receivers, senders, positions.size(0))
        return energies.to(torch.float64).sum(), forces.to(positions.dtype)


def compile_module(model: Potential, types: Tensor, pair_classes: PairClasses | None = None) -> torch.jit.ScriptModule:
    """Compile a network to a TorchScript module for fixed beads.

    Args:
        model: the network, which is copied.
        types: index of the bead type of every bead (beads,).
        pair_classes: pairs of beads within molecules, which have clamps of their own; None if there are none.
    """
    module = ForceModule(copy.deepcopy(model), types, pair_classes).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return torch.jit.script(module)


def save_module(module: torch.jit.ScriptModule, path: Path) -> None:
    """Write a TorchScript module to a file, such as `model.pt`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.jit.save(module, content := io.BytesIO())
    write_file(path, content.getvalue())
