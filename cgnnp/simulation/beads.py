"""Which beads a potential is run with: those it was exported with, or any other number of them in any other box."""

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
    """Beads in a box (rows are its vectors, nm), with starting positions in nm; `scattered` ones are of no simulation."""

    mapping: Mapping
    box: Float[np.ndarray, "3 3"]
    positions: Float[np.ndarray, "beads 3"]
    scattered: bool = False


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A number of molecules of every kind and a cubic box; what is None stays as it was, at the same density.

    Args:
        n_pairs: molecules of every kind: ion pairs of a salt.
        box_nm: edge of the box.
        concentration_M: mol/L of every kind, in place of one of the two.

    Raises:
        ValueError: a number that is not positive, or all three.

    >>> Composition(n_pairs=512, concentration_M=4.0).edge(64, 2.98)
    5.967...
    """

    n_pairs: int | None = None
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
                "n_pairs, box_nm and concentration_M are given: two of them determine the third, leave one null",
            )

    @property
    def is_own(self) -> bool:
        """Whether nothing is asked for."""
        return self.n_pairs is None and self.box_nm is None and self.concentration_M is None

    @property
    def folder_name(self) -> str:
        """Where beads of this composition are simulated, beside the potential."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return "_".join(["simulation", *(f"{name}_{value:g}" for name, value in given.items())])

    def number(self, own_number: int) -> int:
        """Molecules of every kind, of a potential that has `own_number`."""
        if self.n_pairs is not None:
            return self.n_pairs
        if self.concentration_M is None or self.box_nm is None:
            return own_number
        return max(1, round(self.concentration_M * AVOGADRO_PER_NM3 * self.box_nm**3))

    def edge(self, own_number: int, own_edge: float) -> float:
        """Edge of the box in nm, of a potential that has `own_number` molecules of every kind in one of `own_edge`."""
        if self.box_nm is not None:
            return self.box_nm
        number = self.number(own_number)
        density = own_number / own_edge**3 if self.concentration_M is None else self.concentration_M * AVOGADRO_PER_NM3
        return float((number / density) ** (1 / 3))


def own_beads(bundle: PotentialBundle) -> BeadSystem:
    """The beads and the configuration that a bundle on disk was exported with.

    Raises:
        ValueError: it is not on disk, or its topology.cif is not what was written.
    """
    if bundle.directory is None:
        raise ValueError("this potential has no files yet: save it first")
    path = bundle.directory / "topology.cif"
    try:
        with path.open() as text:
            file = app.PDBxFile(text)
        box = np.array(file.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
        positions = np.asarray(file.getPositions(asNumpy=True).value_in_unit(unit.nanometer), dtype=np.float64)
        names = [atom.name for atom in file.topology.atoms()]
    except Exception as error:  # whatever OpenMM's reader stumbles on
        raise ValueError(f"{path}: cannot be read ({error!r}): export the potential again") from error
    if names != list(bundle.mapping.bead_types) or not np.isfinite(positions).all():
        raise ValueError(f"{path}: its beads are not those of manifest.json: export the potential again")
    return BeadSystem(bundle.mapping, box, positions)


def other_beads(bundle: PotentialBundle, composition: Composition, seed: int = 0) -> BeadSystem:
    """As many beads as asked for, scattered over the sites of a cubic lattice at random.

    Raises:
        ValueError: the potential has different numbers of its molecules, or so many beads do not fit the box.
    """
    own = own_beads(bundle)
    if composition.is_own:
        return own
    numbers = {block.name: block.n_copies for block in own.mapping.blocks}
    if len(set(numbers.values())) > 1:
        listed = ", ".join(f"{count} {name}" for name, count in numbers.items())
        raise ValueError(f"the potential has {listed}: system.* is for as many molecules of every kind, as of a 1:1 salt")
    own_edge = float(abs(np.linalg.det(own.box)) ** (1 / 3))
    number = composition.number(own.mapping.blocks[0].n_copies)
    edge = composition.edge(own.mapping.blocks[0].n_copies, own_edge)
    mapping = own.mapping.of_beads(number)
    box = edge * np.eye(3)
    return BeadSystem(mapping, box, _scattered(mapping.n_beads, edge, _closest(bundle), seed), scattered=True)


def _closest(bundle: PotentialBundle) -> float:
    """The first sampled distance of the pair of bead types that come closest, nm; 0 where none is known."""
    return min(first_sampled(bundle.priors).values(), default=0.0)


def _scattered(n_beads: int, edge: float, closest: float, seed: int) -> Float[np.ndarray, "beads 3"]:
    """Random sites of a simple cubic lattice that fills the box.

    Raises:
        ValueError: the sites are closer than beads ever come.
    """
    side = per_side(n_beads)
    if edge / side < closest:
        raise ValueError(
            f"{n_beads} beads do not fit a box of {edge:.3f} nm: they would start {edge / side:.3f} nm apart, and come "
            f"no closer than {closest:.3f} nm in the data: raise box_nm or lower n_pairs"
        )
    sites = simple_cubic(side**3, edge)
    return np.random.default_rng(seed).permutation(sites)[:n_beads]
