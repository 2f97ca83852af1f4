"""Neighbour list for any periodic cell and any cutoff, in plain torch operations that TorchScript can compile.

The box is divided into cells. For each bead, all cells within the cutoff are searched, including their periodic images. The
same algorithm works for large boxes, with memory linear in the number of beads, for triclinic boxes, and for cutoffs larger
than half the box.
"""

import torch
from torch import Tensor


def wrap(positions: Tensor, box: Tensor) -> Tensor:
    """Wrap positions (beads, 3) into the box (3, 3), whose rows are the box vectors; the precision is unchanged."""
    fractional = positions @ torch.linalg.inv(box)
    return positions - torch.floor(fractional) @ box


def neighbor_list(positions: Tensor, box: Tensor, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """Find all ordered pairs closer than the cutoff, including pairs of a bead with its own periodic images.

    Args:
        positions: positions (beads, 3), which need not be in the box.
        box: box vectors (3, 3) as rows.
        cutoff: cutoff distance, in the unit of positions and box.

    Returns:
        The receivers (edges,), sorted, the senders (edges,), and the Cartesian shifts (edges, 3). The vector from receiver
        to sender is positions[senders] - positions[receivers] + shifts.
    """
    n_beads = positions.size(0)
    fractional = positions @ torch.linalg.inv(box)
    origin = torch.floor(fractional)
    fractional = fractional - origin

    # Number of cells along each axis. Cells are at least as wide as the cutoff, unless the whole box is narrower, and their
    # number is limited.
    areas = torch.linalg.norm(torch.linalg.cross(box.roll(-1, 0), box.roll(-2, 0)), dim=1)
    heights = torch.abs(torch.linalg.det(box)) / areas
    most = int(2.0 * float(n_beads) ** (1.0 / 3.0)) + 1
    n_cells = torch.floor(heights / cutoff).clamp(1.0, float(most)).to(torch.int64)
    reach = torch.ceil(cutoff * n_cells / heights - 1e-9).to(torch.int64)
    cells = torch.minimum((fractional * n_cells).to(torch.int64), n_cells - 1)

    strides = torch.stack([n_cells[1] * n_cells[2], n_cells[2], torch.ones_like(n_cells[2])])
    index = (cells * strides).sum(dim=1)
    counts = torch.bincount(index, minlength=int(n_cells.prod()))
    starts = torch.cumsum(counts, 0) - counts
    order = torch.argsort(index, stable=True)

    # Combine every bead with every cell (or periodic image of a cell) that may hold beads within the cutoff.
    spans = [torch.arange(-int(reach[k]), int(reach[k]) + 1, device=positions.device) for k in range(3)]
    offsets = torch.cartesian_prod(spans[0], spans[1], spans[2])
    neighbor_cells = cells[:, None, :] + offsets[None, :, :]
    images = torch.div(neighbor_cells, n_cells, rounding_mode="floor")
    home = ((neighbor_cells - images * n_cells) * strides).sum(dim=2).flatten()
    image_vectors = images.reshape(-1, 3).to(positions.dtype) @ box

    # All beads of these cells are candidates for neighbours.
    n_found = counts[home]
    slot = torch.repeat_interleave(n_found)
    first = torch.cumsum(n_found, 0) - n_found
    senders = order[(starts[home] - first)[slot] + torch.arange(slot.size(0), device=positions.device)]
    inside = fractional @ box
    from_receiver = image_vectors - inside.repeat_interleave(offsets.size(0), dim=0)
    vectors = inside[senders] + from_receiver[slot]
    squares = vectors[:, 0] ** 2 + vectors[:, 1] ** 2 + vectors[:, 2] ** 2
    # A bead is not its own neighbour, but its images are, and so is another bead at the same position.
    receivers = torch.div(slot, offsets.size(0), rounding_mode="floor")
    near = torch.nonzero((squares < cutoff * cutoff) & ((squares > 0) | (receivers != senders))).flatten()
    slot, senders, receivers = slot[near], senders[near], receivers[near]
    shifts = image_vectors[slot] + (origin @ box)[receivers] - (origin @ box)[senders]
    return receivers, senders, shifts


def edge_vectors(positions: Tensor, box: Tensor, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the vectors (edges, 3) from receiver to sender of all pairs within the cutoff, the receivers and the senders.

    Positions are wrapped into the box first. Everything is computed in the precision of the positions.
    """
    wrapped = wrap(positions, box)
    receivers, senders, shifts = neighbor_list(wrapped, box, cutoff)
    return wrapped[senders] - wrapped[receivers] + shifts, receivers, senders


def forces_on_beads(gradient: Tensor, receivers: Tensor, senders: Tensor, n_beads: int) -> Tensor:
    """Return the forces (beads, 3).

    `gradient` (edges, 3) is the derivative of the energy with respect to the vectors from receiver to sender.
    """
    zero = torch.zeros(n_beads, 3, dtype=gradient.dtype, device=gradient.device)
    return zero.index_add(0, receivers, gradient).index_add(0, senders, -gradient)


def summed_on_beads(values: Tensor, receivers: Tensor, n_beads: int) -> Tensor:
    """Sum values of edges (edges, ...) over the edges of each receiver. Return the sums (beads, ...)."""
    zero = torch.zeros([n_beads] + list(values.shape[1:]), dtype=values.dtype, device=values.device)  # noqa: RUF005 (TorchScript)
    return zero.index_add(0, receivers, values)
