"""What the networks share: settings, clamps where nothing was sampled, radial functions, bounded energies."""

import copy
import inspect
from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from cgnnp.mapping.topology import PAIR_CLASSES
from cgnnp.models.clamps import clamped
from cgnnp.models.convolution import PARITIES, Block, feature_blocks, layer_blocks
from cgnnp.models.potential import Potential
from cgnnp.models.radial import BesselBasis, RadialSpline
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


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What every network is told; those of an architecture add theirs.

    Args:
        type_names: bead types.
        cutoff_nm: neighbours within this distance are seen, of each bead or in each layer.
        inner_cutoff_nm: first sampled distance of each pair of types, a symmetric matrix; below it the network is constant
            along the pair, so that the prior's wall stands (`cgnnp.models.clamps`). Zeros for none.
        inner_width_nm: above that distance, over which it becomes so.
        inner_cutoff_by_class_nm: such matrices for classes of pairs of one molecule (1-2, 1-3, 1-4, same molecule); those
            that are not named have `inner_cutoff_nm`, which is that of pairs of two molecules.
        knots: of the splines that stand for the radial networks; 0 evaluates the networks on every edge, which is slower.
        avg_num_neighbors: normalises sums over neighbours.
        energy_scale: kJ/mol; multiplies the readout.
        energy_bound_kJ_mol: no bead's energy e leaves (-B, B): it is e / sqrt(1 + (e/B)^2). Without one, an environment
            denser than any sampled may have any energy, and beads collapse into it.
        seed: of the initial weights.

    Raises:
        ValueError: a number out of range, or an inner cutoff matrix of the wrong shape.
    """

    type_names: list[str]
    cutoff_nm: float = 0.5
    inner_cutoff_nm: list[list[float]] | None = None
    inner_width_nm: float = 0.02
    inner_cutoff_by_class_nm: dict[str, list[list[float]]] | None = None
    knots: int = 256
    avg_num_neighbors: float = 10.0
    energy_scale: float = 1.0
    energy_bound_kJ_mol: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "type_names", list(self.type_names))
        own = vars(self)
        check_positive("model", **{name: own[name] for name in POSITIVE if not isinstance(own.get(name), list | None)})
        if self.energy_bound_kJ_mol is not None:
            check_positive("model", energy_bound_kJ_mol=self.energy_bound_kJ_mol)
        if not 0 <= (degree := getattr(self, "l_max", 0)) <= HIGHEST_DEGREE:
            raise SettingError("model", f"l_max={degree}: must be 0 to {HIGHEST_DEGREE}")
        if self.knots < 10 and (self.knots != 0 or not self.splines_are_optional):
            without = ", or 0 for no splines" if self.splines_are_optional else " (it consists of splines)"
            raise SettingError("model", f"knots={self.knots}: must be 10 or more{without}")
        shape = len(self.type_names), len(self.type_names)
        by_class = self.inner_cutoff_by_class_nm or {}
        if unknown := sorted({*by_class} - {*PAIR_CLASSES[1:]}):
            known = ", ".join(PAIR_CLASSES[1:])
            raise SettingError(
                "model", f"inner_cutoff_by_class_nm: {unknown[0]!r} is no class of pairs: give some of {known}"
            )
        for matrix in (self.inner_cutoff_nm, *by_class.values()):
            if matrix is not None and (found := tuple(torch.tensor(matrix).shape)) != shape:
                raise ValueError(f"inner_cutoff_nm has shape {found}, expected {shape}")

    @property
    def splines_are_optional(self) -> bool:
        """Whether there are networks that the splines stand for."""
        return True

    @property
    def first_sampled(self) -> Tensor:
        """First sampled distances, nm: (types, types), or (classes, types, types) where classes have their own."""
        n_types, by_class = len(self.type_names), self.inner_cutoff_by_class_nm
        others = torch.zeros(n_types, n_types) if self.inner_cutoff_nm is None else torch.tensor(self.inner_cutoff_nm)
        if not by_class:
            return others
        return torch.stack([torch.tensor(by_class[name]) if name in by_class else others for name in PAIR_CLASSES])


@dataclass(frozen=True, kw_only=True)
class RadialSettings(NetworkSettings):
    """Settings of networks whose radial functions are perceptrons of a basis.

    Args:
        radial_basis: number of Bessel functions.
        radial_hidden: width of the perceptrons.
        others: as `NetworkSettings`.
    """

    radial_basis: int = 8
    radial_hidden: int = 32


Own = TypeVar("Own", bound=NetworkSettings)


class Network(Potential, Generic[Own]):
    """A network of radial functions with clamps and bounded energies.

    An architecture names its settings, a dataclass, as `Settings`, and makes its modules in `build`. It is constructed with
    the settings as keywords.

    Raises:
        ValueError: see the settings.
    """

    Settings: type[Own]
    inner: Tensor

    def __init_subclass__(cls) -> None:
        cls.__signature__ = inspect.signature(cls.Settings)  # type: ignore[attr-defined]  # what notebooks show

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        own = self._settings = self.Settings(**copy.deepcopy(settings))
        self.cutoff, self.inner_width = float(own.cutoff_nm), float(own.inner_width_nm)
        self.type_names: tuple[str, ...] = tuple(own.type_names)
        self.energy_bound = 0.0 if own.energy_bound_kJ_mol is None else float(own.energy_bound_kJ_mol)
        self.energy_scale = float(own.energy_scale)
        self.register_buffer("inner", own.first_sampled.to(torch.get_default_dtype()))
        if isinstance(own, RadialSettings):
            self.bessel = BesselBasis(own.radial_basis, self.cutoff)
        self.spline = RadialSpline(own.knots, self.cutoff) if own.knots > 0 else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own.seed)
            self.build(own)

    @abstractmethod
    def build(self, settings: Own) -> None:
        """Make the modules; the random numbers of this moment are those of `seed`."""

    def config(self) -> dict[str, object]:
        """The settings as keyword arguments."""
        return asdict(self._settings)

    @property
    def clamps_by_class(self) -> bool:
        """Whether pairs of one molecule have clamps of their own."""
        return self.inner.dim() == 3

    def clamped(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor, classes: Tensor | None) -> Tensor:
        """The vectors (edges, 3) that `forward` is given: none shorter than was sampled, see `cgnnp.models.clamps`."""
        if self.inner.dim() == 2:
            edge = self.inner[types[receivers], types[senders]]
        elif classes is None:
            edge = self.inner[0][types[receivers], types[senders]]
        else:
            edge = self.inner[classes, types[receivers], types[senders]]
        return clamped(vectors, edge, self.inner_width)

    def radial(self, lengths: Tensor, receivers: Tensor) -> RadialInput:
        """What radial functions are of: the basis on the knots and where each length is, or the basis on the edges."""
        if self.spline is not None:
            index, weights = self.spline.locate(lengths)
            return self.bessel(self.spline.abscissas(lengths)), index, weights
        return self.bessel(lengths), receivers, lengths

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
