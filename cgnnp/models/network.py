"""What the networks share: settings, lengths that are held where nothing was sampled, radial functions, bounded energies."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cgnnp.models.convolution import PARITIES, Block, feature_blocks, layer_blocks
from cgnnp.models.potential import Potential
from cgnnp.models.radial import BesselBasis, RadialSpline, held_below
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.settings import check_positive

HIGHEST_DEGREE = 11
"""Of the coupling coefficients that e3nn has."""

POSITIVE = (
    "cutoff_nm",
    "inner_width_nm",
    "radial_basis",
    "radial_hidden",
    "layers",
    "avg_num_neighbors",
    "features",
    "hidden",
)

RadialInput = tuple[Tensor, Tensor, Tensor]
"""The arguments of `cgnnp.models.radial.RadialFunctions`."""


class Network(Potential):
    """A network of radial functions, of lengths that are constant below the first sampled ones, with bounded energies.

    Settings are those of the subclass's constructor, among them

    Args:
        type_names: bead types.
        cutoff_nm: neighbours within this distance are seen, of each bead or in each layer.
        inner_cutoff_nm: first sampled distance of each pair of types, a symmetric matrix; below it the network's radial
            functions are constant, so that the prior's wall stands. Zeros for none.
        inner_width_nm: above that distance, over which they become so.
        radial_basis: number of Bessel functions.
        knots: of the splines that stand for the radial networks; 0 evaluates the networks on every edge, which is slower.
        avg_num_neighbors: normalises sums over neighbours.
        energy_scale: kJ/mol; multiplies the readout.
        energy_bound_kJ_mol: no bead's energy e leaves (-B, B): it is e / sqrt(1 + (e/B)^2). Without one, an environment
            denser than any sampled may have any energy, and beads collapse into it.

    Raises:
        ValueError: a number out of range, or an inner cutoff matrix of the wrong shape.
    """

    inner: Tensor
    needs_splines = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        own = {key: value for key, value in settings.items() if key not in ("self", "__class__")}
        self._config: dict[str, object] = copy.deepcopy({**own, "type_names": list(own["type_names"])})
        check_positive("model", **{name: own[name] for name in POSITIVE if not isinstance(own.get(name), list | None)})
        bound = own["energy_bound_kJ_mol"]
        if bound is not None:
            check_positive("model", energy_bound_kJ_mol=bound)
        if not 0 <= own.get("l_max", 0) <= HIGHEST_DEGREE:
            raise SettingError("model", f"l_max={own['l_max']}: must be 0 to {HIGHEST_DEGREE}")
        knots = own["knots"]
        if knots < 10 and (knots != 0 or self.needs_splines):
            without = " (it consists of splines)" if self.needs_splines else ", or 0 for no splines"
            raise SettingError("model", f"knots={knots}: must be 10 or more{without}")
        n_types, matrix = len(own["type_names"]), own["inner_cutoff_nm"]
        inner = torch.zeros(n_types, n_types) if matrix is None else torch.tensor(matrix)
        if inner.shape != (n_types, n_types):
            raise ValueError(f"inner_cutoff_nm has shape {tuple(inner.shape)}, expected {(n_types, n_types)}")
        self.cutoff, self.inner_width = float(own["cutoff_nm"]), float(own["inner_width_nm"])
        self.type_names: tuple[str, ...] = tuple(own["type_names"])
        self.energy_bound = 0.0 if bound is None else float(bound)
        self.energy_scale = float(own["energy_scale"])
        self.register_buffer("inner", inner.to(torch.get_default_dtype()))
        if "radial_basis" in own:
            self.bessel = BesselBasis(own["radial_basis"], self.cutoff)
        self.spline = RadialSpline(knots, self.cutoff) if knots > 0 else None

    def config(self) -> dict[str, object]:
        """The constructor's keyword arguments."""
        return copy.deepcopy(self._config)

    def held(self, lengths: Tensor, receivers: Tensor, senders: Tensor, types: Tensor) -> Tensor:
        """Lengths (edges,) as the network sees them."""
        return held_below(lengths, self.inner[types[receivers], types[senders]], self.inner_width)

    def radial(self, held: Tensor, receivers: Tensor) -> RadialInput:
        """What radial functions are of: the basis on the knots and where each length is, or the basis on the edges."""
        if self.spline is not None:
            index, weights = self.spline.locate(held)
            return self.bessel(self.spline.abscissas(held)), index, weights
        return self.bessel(held), receivers, held

    def bounded(self, energies: Tensor) -> Tensor:
        """Energies (beads,) within the bound."""
        if self.energy_bound > 0:
            return energies / torch.sqrt(1 + (energies / self.energy_bound) ** 2)
        return energies


def checked_blocks(parity: str, l_max: int, layers: int, first_l: int) -> list[list[Block]]:
    """Blocks of the features before, between and after so many layers; the first have degrees up to `first_l`.

    Raises:
        ValueError: an unknown parity, or one that so few layers or degrees have no use for.
    """
    if parity not in PARITIES:
        raise SettingError("model", f"parity={parity}: choose one of {', '.join(PARITIES)}")
    if parity == "none" and l_max == 0:
        raise SettingError(
            "model",
            "parity=none: with l_max=0 all features are scalars, and parity forbids them nothing: take l_max >= 1, or "
            "parity=natural",
        )
    natural, allowed = feature_blocks(l_max, "natural"), feature_blocks(l_max, parity)
    first = [block for block in allowed if block[0] <= first_l and (parity == "none" or block in natural)]
    blocks = layer_blocks(first, l_max, allowed, layers)
    if parity == "both" and all(block in natural for part in blocks for block in part):
        # Vectors (there already, or made by a product), cross products, vectors again, scalars.
        needed = f"{3 if first_l else 4} layers or more" if l_max else "l_max >= 1 and enough layers"
        raise SettingError(
            "model",
            f"parity=both: with l_max={l_max} and layers={layers} no features of the other parity are of use "
            f"(products of vectors make them, and further products make vectors of them again): take {needed}, or "
            "parity=natural",
        )
    return blocks
