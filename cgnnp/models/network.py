"""Common base of all networks: settings, clamps below the sampled distances, radial functions, and bounded energies."""

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
"""Highest degree for which e3nn has coupling coefficients."""

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
"""Settings that must be positive."""

RadialInput = tuple[Tensor, Tensor, Tensor]
"""The arguments of `cgnnp.models.radial.RadialFunctions.forward`."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Settings of every network. The settings of an architecture add further ones.

    Args:
        type_names: names of the bead types.
        cutoff_nm: distance up to which beads are neighbours. In networks with message passing this is the cutoff of each
            layer.
        inner_cutoff_nm: first sampled distance of each pair of bead types, as a symmetric matrix. Below it the network
            exerts no force along the pair, so that only the wall of the prior acts (`cgnnp.models.clamps`). Zeros mean no
            clamp.
        inner_width_nm: width of the range above the first sampled distance in which the clamp gradually sets in.
        inner_cutoff_by_class_nm: matrices like `inner_cutoff_nm` for classes of pairs within one molecule (1-2, 1-3, 1-4,
            same molecule), by the name of the class. Classes without a matrix, and pairs of different molecules, use
            `inner_cutoff_nm`.
        knots: number of knots of the splines that replace the radial networks; 0 evaluates the radial networks on every
            edge, which is slower.
        avg_num_neighbors: average number of neighbours of a bead; sums over neighbours are normalised by it.
        energy_scale: factor that multiplies the energies, kJ/mol.
        energy_bound_kJ_mol: bound B of the energy of each bead: an energy e is replaced by e / sqrt(1 + (e/B)^2). Without a
            bound, environments denser than all sampled ones may have very low energies, and beads may collapse.
        seed: random seed of the initial weights.

    Raises:
        ValueError: a number is out of range, or a matrix of inner cutoffs has the wrong shape.
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
            without = ", or 0 for no splines" if self.splines_are_optional else " (this network consists of splines)"
            raise SettingError("model", f"knots={self.knots}: must be 10 or more{without}")
        shape = len(self.type_names), len(self.type_names)
        by_class = self.inner_cutoff_by_class_nm or {}
        if unknown := sorted({*by_class} - {*PAIR_CLASSES[1:]}):
            known = ", ".join(PAIR_CLASSES[1:])
            raise SettingError(
                "model", f"inner_cutoff_by_class_nm: {unknown[0]!r} is not a class of pairs: the classes are {known}"
            )
        for matrix in (self.inner_cutoff_nm, *by_class.values()):
            if matrix is not None and (found := tuple(torch.tensor(matrix).shape)) != shape:
                raise ValueError(
                    f"inner_cutoff_nm has shape {found}, expected {shape}: give one row and one column per bead type"
                )

    @property
    def splines_are_optional(self) -> bool:
        """Whether the network also works without splines, by evaluating its radial networks directly."""
        return True

    @property
    def first_sampled(self) -> Tensor:
        """First sampled distances, nm, of shape (types, types).

        If some classes of pairs have their own distances, the shape is (classes, types, types).
        """
        n_types, by_class = len(self.type_names), self.inner_cutoff_by_class_nm
        others = torch.zeros(n_types, n_types) if self.inner_cutoff_nm is None else torch.tensor(self.inner_cutoff_nm)
        if not by_class:
            return others
        return torch.stack([torch.tensor(by_class[name]) if name in by_class else others for name in PAIR_CLASSES])


@dataclass(frozen=True, kw_only=True)
class RadialSettings(NetworkSettings):
    """Settings of networks whose radial functions are perceptrons of Bessel functions.

    Args:
        radial_basis: number of Bessel functions.
        radial_hidden: hidden width of the perceptrons.
        others: see `NetworkSettings`.
    """

    radial_basis: int = 8
    radial_hidden: int = 32


Own = TypeVar("Own", bound=NetworkSettings)


class Network(Potential, Generic[Own]):
    """Base class of all architectures, with radial functions, clamps and bounded energies.

    A subclass sets `Settings` to the dataclass of its settings, and makes its modules in `build`. Its constructor takes the
    settings as keyword arguments.

    Raises:
        ValueError: a setting is out of range; see the class of the settings.
    """

    Settings: type[Own]
    inner: Tensor

    def __init_subclass__(cls) -> None:
        cls.__signature__ = inspect.signature(cls.Settings)  # type: ignore[attr-defined]  # shown by notebooks

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
        """Make the modules. The random generator of torch was seeded with `seed` before this call."""

    def config(self) -> dict[str, object]:
        """Return the settings as keyword arguments."""
        return asdict(self._settings)

    @property
    def clamps_by_class(self) -> bool:
        """Whether pairs within one molecule have their own clamps."""
        return self.inner.dim() == 3

    def clamped(self, vectors: Tensor, receivers: Tensor, senders: Tensor, types: Tensor, classes: Tensor | None) -> Tensor:
        """Return the vectors (edges, 3) to be passed to `forward`, clamped as `cgnnp.models.clamps` describes."""
        if self.inner.dim() == 2:
            edge = self.inner[types[receivers], types[senders]]
        elif classes is None:
            edge = self.inner[0][types[receivers], types[senders]]
        else:
            edge = self.inner[classes, types[receivers], types[senders]]
        return clamped(vectors, edge, self.inner_width)

    def radial(self, lengths: Tensor, receivers: Tensor) -> RadialInput:
        """Return the arguments of `RadialFunctions.forward`.

        With splines these are the Bessel functions on the knots, and the result of `RadialSpline.locate` for the lengths.
        Without splines they are the Bessel functions on the edges, and two tensors that are not used.
        """
        if self.spline is not None:
            index, weights = self.spline.locate(lengths)
            return self.bessel(self.spline.abscissas(lengths)), index, weights
        return self.bessel(lengths), receivers, lengths

    def bounded(self, energies: Tensor) -> Tensor:
        """Apply the energy bound, if there is one, to energies (beads,)."""
        if self.energy_bound > 0:
            return energies / torch.sqrt(1 + (energies / self.energy_bound) ** 2)
        return energies


def checked_blocks(parity: str, l_max: int, layers: int, first_l: int) -> list[list[Block]]:
    """Return the feature blocks before the first layer, between layers, and after the last layer.

    Features before the first layer have degrees up to `first_l`. A parity that cannot affect the energy is refused.

    Raises:
        ValueError: the parity is unknown, or has no effect with so few layers or so low an l_max.
    """
    if parity not in PARITIES:
        raise SettingError("model", f"parity={parity}: choose one of {', '.join(PARITIES)}")
    if parity == "none" and l_max == 0:
        raise SettingError(
            "model",
            "parity=none: with l_max=0 all features are scalars, so that parity has no effect: take l_max >= 1, or "
            "parity=natural",
        )
    natural, allowed = feature_blocks(l_max, "natural"), feature_blocks(l_max, parity)
    first = [block for block in allowed if block[0] <= first_l and (parity == "none" or block in natural)]
    blocks = layer_blocks(first, l_max, allowed, layers)
    if parity == "both" and all(block in natural for part in blocks for block in part):
        # Features of unnatural parity affect the energy only after a sequence of layers that make vectors (unless the first
        # features include vectors), cross products of vectors, vectors again, and scalars.
        needed = f"{3 if first_l else 4} layers or more" if l_max else "l_max >= 1 and enough layers"
        raise SettingError(
            "model",
            f"parity=both: with l_max={l_max} and layers={layers} cross products of features cannot affect the energy (one "
            f"layer must make them from vectors, and a later one must turn them into vectors again): take {needed}, or "
            "parity=natural",
        )
    return blocks
