"""Memory layout of a compiled NequIP network: the array `theta` of all weights, and the work arrays of the beads."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cgnnp.evaluators.cpu.couplings import Path, path_factor
from cgnnp.models.convolution import n_components
from cgnnp.models.nequip import NequIP
from cgnnp.models.radial import RadialSpline


def spline_of(model: NequIP) -> RadialSpline:
    """Return the radial spline of a model.

    Raises:
        ValueError: the model has no spline.
    """
    if model.spline is None:
        raise ValueError("only networks with splines (knots > 0) can be compiled")
    return model.spline


def pack(model: NequIP) -> Tensor:
    """Return `theta`, the differentiable array of all weights in the order of `Layout`.

    Each weight is multiplied by its normalisation constant, and radial networks are replaced by the coefficients of their
    splines.
    """
    spline, interactions = spline_of(model), list[Any](model.interactions)
    pieces: list[Tensor] = [model.embedding]
    on_knots = model.bessel(spline.abscissas(model.embedding))
    for interaction in interactions:
        for linear in (*interaction.before, *interaction.after, *interaction.self_connection):
            pieces.append(linear.weight * linear.weight.size(1) ** -0.5)
        factors = [interaction.convolution.scale * path_factor(path.path) for path in interaction.convolution.paths]
        columns = on_knots.new_tensor(factors).repeat_interleave(model.embedding.size(1))
        pieces.append(spline.coefficients(interaction.radial.network(on_knots) * columns))
    pieces.append(model.readout * (model.energy_scale * model.readout.size(0) ** -0.5))
    return torch.cat([piece.flatten() for piece in pieces])


@dataclass(frozen=True)
class Matrix:
    """Position of several consecutive matrices (n_in, n_out) in theta. The first one begins at index `offset`.

    The number of matrices is `blocks`: there is one for each path or for each bead type.
    """

    degree: int
    blocks: int
    n_in: int
    n_out: int
    offset: int

    def at(self, block: int) -> int:
        """Return the index in theta at which one of the matrices begins."""
        return self.offset + block * self.n_in * self.n_out


class LayerLayout:
    """Positions of the matrices and splines of one interaction in theta, and the sizes of its work arrays.

    `sizes` is the number of components per bead of each work array: x holds the features before the layer, m the inputs of
    the convolution, s its outputs, and y the input of the gate. A component has one value for each channel.
    """

    def __init__(self, interaction: Any, knots: int, channels: int, offset: int) -> None:
        def matrices(linears: Any, by_type: bool) -> list[Matrix]:
            nonlocal offset
            found = []
            for degree, linear in enumerate(linears):
                n_types, n_in, n_out = linear.weight.shape
                blocks = n_types if by_type else n_in // channels
                found.append(Matrix(degree, blocks, n_in * n_types // blocks, n_out, offset))
                offset += linear.weight.numel()
            return found

        self.before = matrices(interaction.before, False)
        self.after = matrices(interaction.after, False)
        self.self_connection = matrices(interaction.self_connection, True)
        self.paths: list[Path] = [path.path for path in interaction.convolution.paths]
        self.spline = offset
        self.end = offset + (knots + 3) * len(self.paths) * channels
        self.l_in, self.l_out = len(self.before) - 1, len(self.after) - 1
        self.sizes = {
            "x": n_components(self.l_in),
            "m": n_components(self.l_in),
            "s": interaction.convolution.n_out,
            "y": self.l_out + n_components(self.l_out),
        }

    def place_in_y(self, matrix: Matrix) -> int:
        """Return the index of the first component of array y to which the output of a matrix is written.

        Array y is the input of the gate. It begins with the scalars and the gate scalars; higher degrees follow.
        """
        return 0 if matrix.degree == 0 else self.l_out + matrix.degree**2

    def paths_into(self, degree: int) -> list[int]:
        """Return, for each path whose output has the given degree, the index of its first component in array s."""
        starts, start = [], 0
        for path in self.paths:
            if path[2] == degree:
                starts.append(start)
            start += 2 * path[2] + 1
        return starts


class Layout:
    """Positions of all weights in theta, and of all arrays of beads in the work arrays."""

    def __init__(self, model: NequIP) -> None:
        self.n_types, self.channels = model.embedding.shape
        self.l_max, self.knots, self.energy_bound = model.l_max, spline_of(model).knots, model.energy_bound
        offset = self.n_types * self.channels
        self.layers: list[LayerLayout] = []
        for interaction in model.interactions:
            self.layers.append(LayerLayout(interaction, self.knots, self.channels, offset))
            offset = self.layers[-1].end
        self.readout, self.theta_size = offset, offset + self.channels
        self.starts: dict[str, int] = {}
        self.bead_size = 0
        sizes = {f"{name}{k}": size for k, layer in enumerate(self.layers) for name, size in layer.sizes.items()}
        for name, size in {**sizes, f"x{len(self.layers)}": 1}.items():
            self.starts[name] = self.bead_size
            self.bead_size += size * self.channels
