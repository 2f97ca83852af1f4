"""Stress runs, which can reveal holes in a potential: hot, dense, dilute, from a lattice, and with eight times the beads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cgnnp.analysis.dimer import isolated_dimer
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.frames.boxes import smallest_height
from cgnnp.frames.frames import Frames
from cgnnp.frames.pairs import PairKinds, near_pairs
from cgnnp.priors.prior import Prior, first_sampled
from cgnnp.priors.wall import WALL_DEPTH
from cgnnp.simulation.beads import BeadSystem, Composition, other_beads
from cgnnp.simulation.short_run import Sampled
from cgnnp.workflow.potential_check.rows import CheckRow, failed, untested, verdict_of
from cgnnp.workflow.potential_check.subject import Subject

HOT = 1.5
MORE, LESS = 1.2, 0.5
"""Densities of the dense and of the dilute run, divided by the density in the box of the potential."""
LARGER = 8.0
SHARE_OF_LARGE = 0.25
"""Length of the run with eight times the beads, divided by the length of the other runs."""

LOOKED_FOR_NM = 0.6
"""Only pairs closer than this (nm) are searched for the closest approach."""

NO_EDGE = "the priors do not record a first sampled distance"


@dataclass(frozen=True)
class Stress:
    """One stress run.

    Args:
        label: name of the run in its rows.
        beads: function that returns the beads to simulate; it raises ValueError if such a system cannot be made of them.
        heat: temperature of the run, divided by that of the potential.
        share: length of the run, divided by the length in the settings.
    """

    label: str
    beads: Callable[[Subject], BeadSystem]
    heat: float = 1.0
    share: float = 1.0


def own(subject: Subject) -> BeadSystem:
    """Return the beads with which the potential was exported."""
    return subject.beads


def denser(subject: Subject) -> BeadSystem:
    """Return a fifth more beads in a cubic box of the same volume."""
    return _composed(subject, number=MORE)


def diluted(subject: Subject) -> BeadSystem:
    """Return the same number of beads in twice the volume."""
    return _composed(subject, volume=1 / LESS)


def larger(subject: Subject) -> BeadSystem:
    """Return eight times as many beads in eight times the volume."""
    return _composed(subject, number=LARGER, volume=LARGER)


def on_a_lattice(subject: Subject) -> BeadSystem:
    """Return beads on a lattice: for a 1:1 salt of single ions a rock-salt crystal in the middle of the box, else cubic."""
    return rock_salt(subject) or _composed(subject)


STRESS = {
    "hot": Stress("hot, 1.5 times the temperature", own, heat=HOT),
    "dense": Stress("dense, 1.2 times the density", denser),
    "dilute": Stress("dilute, half the density", diluted),
    "lattice": Stress("from a lattice", on_a_lattice),
    "large": Stress("8 times the beads", larger, share=SHARE_OF_LARGE),
}


def stress_rows(name: str, subject: Subject) -> tuple[CheckRow, ...]:
    """Simulate one stress run, and return its two rows: the closest approach of beads, and the kinetic temperature.

    The closest approach is given as the pair distance minus the first sampled distance.
    """
    stress = STRESS[name]
    thermostat = stress.heat * subject.bundle.temperature
    nearest = f"{stress.label}: closest pair minus first sampled distance", "nm", f"> {-WALL_DEPTH:g} nm"
    kinetic = f"{stress.label}: kinetic temperature", "K", f"within 3 % or 4 standard errors of {thermostat:g} K"
    try:
        beads = stress.beads(subject)
    except ValueError as error:
        return untested(*nearest, str(error)), untested(*kinetic, str(error))
    try:
        run = subject.run(beads, heat=stress.heat, place=1 + list(STRESS).index(name))
        found = run.sample(stress.share * subject.settings.length_ps, f"check: {stress.label}")
    except SimulationFailed as error:
        return failed(*nearest, error), failed(*kinetic, error)
    return _nearest_row(subject, found, *nearest), _kinetic_row(found, *kinetic)


def _nearest_row(subject: Subject, found: Sampled, name: str, unit: str, target: str) -> CheckRow:
    priors = subject.bundle.priors
    depths = depths_in_walls(found.frames, priors)
    if not depths:
        reason = f"no pair came closer than {LOOKED_FOR_NM:g} nm" if first_sampled(priors) else NO_EDGE
        return untested(name, unit, target, reason)
    pair = min(depths, key=lambda one: depths[one])
    deep = depths[pair] <= -WALL_DEPTH
    where = depths[pair] + first_sampled(priors)[frozenset(pair)]
    reason = f"a {'-'.join(pair)} pair came as close as {where:.3f} nm" if deep else ""
    return CheckRow(name, depths[pair], None, unit, target, verdict_of(not deep), reason)


def depths_in_walls(frames: Frames, priors: Sequence[Prior]) -> dict[tuple[str, str], float]:
    """Return the smallest distance in the frames minus the first sampled distance, nm, for every kind of pair.

    The difference is negative if two beads were within the wall.
    """
    edges = first_sampled(priors)
    found = closest_approach(frames)
    return {pair: float(r - edges[frozenset(pair)]) for pair, r in found.items() if frozenset(pair) in edges}


def _kinetic_row(found: Sampled, name: str, unit: str, target: str) -> CheckRow:
    wrong = found.kinetic.is_suspect()
    reason = "the run deviates from the temperature of its thermostat" if wrong else ""
    return CheckRow(name, found.kinetic.value, found.kinetic.stderr, unit, target, verdict_of(not wrong), reason)


def closest_approach(frames: Frames) -> dict[tuple[str, str], float]:
    """Return the smallest distance of every kind of pair in all frames, nm. Pairs beyond 0.6 nm are left out."""
    kinds, closest = PairKinds(frames.mapping), dict[tuple[str, str], float]()
    excluded = frames.mapping.topology.exclusions
    for positions, box in zip(frames.positions, frames.boxes, strict=True):
        pairs = near_pairs(positions, box, min(LOOKED_FOR_NM, smallest_height(box) / 2), excluded)
        kind = kinds.of(pairs)
        for k, name in enumerate(kinds.names):
            if (kind == k).any():
                closest[name] = min(closest.get(name, np.inf), float(pairs.distances[kind == k].min()))
    return closest


def rock_salt(subject: Subject) -> BeadSystem | None:
    """Return a piece of rock salt with its ions at contact distance.

    Return None if the beads are not a 1:1 salt of single ions, the dimer has no contact minimum, or the box is too small.
    """
    beads = subject.beads
    mapping, names = beads.mapping, beads.mapping.type_names
    half, charges = mapping.n_beads // 2, mapping.charges
    if len(names) != 2 or not mapping.is_charged or np.count_nonzero(mapping.types == 0) != half or mapping.n_beads % 2:
        return None
    if not np.isclose(charges[mapping.types == 0][0], -charges[mapping.types == 1][0]):
        return None
    contact = isolated_dimer(subject.bundle, (names[0], names[1])).landmarks.contact
    if contact is None:
        return None
    sites = rock_salt_sites(half)
    if (np.ptp(sites, axis=0).max() + 1) * contact[0] > float(np.diag(beads.box).min()):
        return None
    positions = np.empty((mapping.n_beads, 3))
    for kind in (0, 1):
        positions[mapping.types == kind] = contact[0] * sites[kind * half : (kind + 1) * half]
    return BeadSystem(mapping, beads.box, positions + beads.box.sum(axis=0) / 2, scattered=True)


def rock_salt_sites(half: int) -> Float[np.ndarray, "sites 3"]:
    """Return the lattice sites nearest to the centre of a rock-salt crystal, in units of the nearest-neighbour distance.

    There are `half` sites for each kind of ion.

    >>> np.abs(rock_salt_sites(1)[1] - rock_salt_sites(1)[0])
    array([0., 0., 1.])
    """
    side = 2 * int(np.ceil(half ** (1 / 3))) + 2
    sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = sites[np.argsort(np.abs(sites - (side - 1) / 2).max(axis=1), kind="stable")]
    odd = sites.sum(axis=1) % 2
    chosen = np.concatenate([sites[odd == 0][:half], sites[odd == 1][:half]]).astype(np.float64)
    return chosen - (side - 1) / 2


def _composed(subject: Subject, *, number: float = 1.0, volume: float = 1.0) -> BeadSystem:
    """Return beads on a lattice in a cubic box. `number` and `volume` are multiples of those of the potential."""
    own_number = subject.beads.mapping.blocks[0].n_copies
    edge = float((volume * abs(np.linalg.det(subject.beads.box))) ** (1 / 3))
    composition = Composition(n_molecules=max(1, round(number * own_number)), box_nm=edge)
    return other_beads(subject.bundle, composition, subject.settings.seed)
