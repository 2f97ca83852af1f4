"""The beads that a potential is simulated with: those it was exported with, or another number of them in another box."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from openmm import app, unit

from cgnnp.dynamics.lattice import per_side, simple_cubic
from cgnnp.mapping.mapping import Mapping
from cgnnp.priors.prior import first_sampled
from cgnnp.runtime.errors import SettingError
from cgnnp.runtime.representation import brief
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.units import AVOGADRO_PER_NM3


@brief
@dataclass(frozen=True)
class BeadSystem:
    """Beads in a periodic box with their starting positions.

    Args:
        mapping: mapping that defines the beads.
        box: box vectors as rows in nm.
        positions: starting positions in nm.
        scattered: whether the positions are random lattice sites rather than a frame of a simulation, so that the energy
            must be minimised before a run.
    """

    mapping: Mapping
    box: Float[np.ndarray, "3 3"]
    positions: Float[np.ndarray, "beads 3"]
    scattered: bool = False


@dataclass(frozen=True, kw_only=True)
class Composition:
    """Number of molecules in a cubic box, for a run with other beads than those that a potential was exported with.

    At most two of the three values may be given. With `n_molecules` alone, the density that the potential was exported with
    is kept. With `box_nm` or `concentration_M` alone, the number of molecules is kept.

    Args:
        n_molecules: number of molecules of each kind; in a salt, the number of cations, and of anions.
        box_nm: edge of the box.
        concentration_M: concentration of each kind of molecule in mol/L.

    Raises:
        SettingError: a value is not positive, or all three are given.

    >>> Composition(n_molecules=512, concentration_M=4.0).edge(64, 2.98)
    5.967...
    """

    n_molecules: int | None = None
    box_nm: float | None = None
    concentration_M: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        for name, value in given.items():
            if not value > 0:
                raise SettingError("system", f"{name}={value}: must be positive")
        if len(given) == 3:
            raise SettingError(
                "system",
                "n_molecules, box_nm and concentration_M are all given, but two of them determine the third: leave one null",
            )

    @property
    def is_own(self) -> bool:
        """Whether no value is given, so that the beads of the exported potential are used."""
        return self.n_molecules is None and self.box_nm is None and self.concentration_M is None

    @property
    def folder_name(self) -> str:
        """Name of the folder, beside the potential, for simulations of this composition."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return "_".join(["simulation", *(f"{name}_{value:g}" for name, value in given.items())])

    def number(self, own_number: int) -> int:
        """Number of molecules of each kind, for a potential that was exported with `own_number` of each."""
        if self.n_molecules is not None:
            return self.n_molecules
        if self.concentration_M is None or self.box_nm is None:
            return own_number
        return max(1, round(self.concentration_M * AVOGADRO_PER_NM3 * self.box_nm**3))

    def edge(self, own_number: int, own_edge: float) -> float:
        """Edge of the box in nm.

        Args:
            own_number: number of molecules of each kind that the potential was exported with.
            own_edge: edge of the box that the potential was exported with, nm.
        """
        if self.box_nm is not None:
            return self.box_nm
        number = self.number(own_number)
        density = own_number / own_edge**3 if self.concentration_M is None else self.concentration_M * AVOGADRO_PER_NM3
        return float((number / density) ** (1 / 3))


def own_beads(bundle: PotentialBundle) -> BeadSystem:
    """Read the beads, their box and their positions from the folder of an exported potential.

    Raises:
        ValueError: the potential was not saved, or its topology.cif is damaged or does not match its manifest.
    """
    if bundle.directory is None:
        raise ValueError(
            "this potential has not been written to a folder yet, from which its beads could be read: save it first"
        )
    path = bundle.directory / "topology.cif"
    try:
        with path.open() as text:
            file = app.PDBxFile(text)
        box = np.array(file.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
        positions = np.asarray(file.getPositions(asNumpy=True).value_in_unit(unit.nanometer), dtype=np.float64)
        names = [atom.name for atom in file.topology.atoms()]
    except Exception as error:  # OpenMM's reader raises many kinds of exceptions for damaged files
        raise ValueError(f"{path}: cannot be read ({error!r}): export the potential again") from error
    if names != list(bundle.mapping.bead_types) or not np.isfinite(positions).all():
        raise ValueError(
            f"{path}: its beads are not those of manifest.json, or their positions are not finite: export the potential "
            "again"
        )
    return BeadSystem(bundle.mapping, box, positions)


def other_beads(bundle: PotentialBundle, composition: Composition, seed: int = 0) -> BeadSystem:
    """Place the beads of another composition on random sites of a simple cubic lattice.

    If the composition is empty, the beads of the exported potential are returned.

    Args:
        bundle: potential on disk.
        composition: number of molecules and box.
        seed: seed of the random choice of sites.

    Raises:
        ValueError: the potential was exported with different numbers of its kinds of molecules, the box is too small for the
            cutoff of the prior, or so many beads do not fit into the box.
    """
    own = own_beads(bundle)
    if composition.is_own:
        return own
    numbers = {block.name: block.n_copies for block in own.mapping.blocks}
    if len(set(numbers.values())) > 1:
        listed = ", ".join(f"{count} {name}" for name, count in numbers.items())
        raise ValueError(
            f"the potential was exported with {listed}, but the settings system.* can only be used if there are as many "
            "molecules of every kind, as in a 1:1 salt: leave them null"
        )
    own_edge = float(abs(np.linalg.det(own.box)) ** (1 / 3))
    number = composition.number(own.mapping.blocks[0].n_copies)
    edge = composition.edge(own.mapping.blocks[0].n_copies, own_edge)
    _check_edge(bundle, composition, number, edge)
    mapping = own.mapping.of_beads(number)
    box = edge * np.eye(3)
    return BeadSystem(mapping, box, _scattered(mapping.n_beads, edge, _closest(bundle), seed), scattered=True)


def _check_edge(bundle: PotentialBundle, composition: Composition, number: int, edge: float) -> None:
    """Refuse a box whose edge (nm) is less than twice the cutoff of the prior, and say what is large enough."""
    least = 2 * bundle.largest_cutoff
    if edge >= least:
        return
    density = number / edge**3
    if composition.box_nm is not None:
        name, remedy = "box_nm", f"use an edge of at least {least:g} nm"
    elif composition.n_molecules is not None:
        kinds = " of each kind" if len(bundle.mapping.blocks) > 1 else ""
        name, remedy = (
            "n_molecules",
            f"use at least {math.ceil(density * least**3 - 1e-9)} molecules{kinds}, or a larger box",
        )
    else:
        name, remedy = "concentration_M", f"use n_molecules of at least {math.ceil(density * least**3 - 1e-9)} with it"
    raise SettingError(
        "system",
        f"{name}={getattr(composition, name):g}: the box would have an edge of {edge:.4g} nm, but it must be at least "
        f"{least:g} nm, twice the cutoff of the prior, which is part of the potential: {remedy}",
    )


def _closest(bundle: PotentialBundle) -> float:
    """Smallest first sampled distance among all pairs of bead types, nm; 0 if the priors know none."""
    return min(first_sampled(bundle.priors).values(), default=0.0)


def _scattered(n_beads: int, edge: float, closest: float, seed: int) -> Float[np.ndarray, "beads 3"]:
    """Choose random sites of a simple cubic lattice that fills the box.

    Raises:
        ValueError: neighbouring sites are closer than any two beads in the data, which is the distance `closest` (nm).
    """
    side = per_side(n_beads)
    if edge / side < closest:
        raise ValueError(
            f"{n_beads} beads do not fit a box of {edge:.3f} nm: they would start {edge / side:.3f} nm apart, but come "
            f"no closer than {closest:.3f} nm in the data: raise box_nm or lower n_molecules"
        )
    sites = simple_cubic(side**3, edge)
    return np.random.default_rng(seed).permutation(sites)[:n_beads]
