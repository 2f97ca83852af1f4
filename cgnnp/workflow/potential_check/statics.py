"""What needs no dynamics: the self-check of the files, and isolated dimers."""

import itertools

from cgnnp.analysis.dimer import IsolatedDimer, isolated_dimer
from cgnnp.analysis.observables.dimers import HOLE_KT, has_hole
from cgnnp.frames.pairs import PairKinds
from cgnnp.priors.prior import first_sampled
from cgnnp.simulation.potential_files import SELF_CHECK_TOLERANCE, self_check_deviation
from cgnnp.workflow.potential_check.rows import CheckRow, untested, verdict_of
from cgnnp.workflow.potential_check.stress import NO_EDGE
from cgnnp.workflow.potential_check.subject import Subject


def self_check_rows(subject: Subject) -> tuple[CheckRow, ...]:
    """Energies and forces of the stored frames come out again; the files were compared with their checksums before."""
    found = self_check_deviation(subject.bundle)
    met = found < SELF_CHECK_TOLERANCE
    reason = "" if met else "energies and forces of the stored frames do not come out again: export the potential again"
    target = f"< {SELF_CHECK_TOLERANCE:g}"
    return (CheckRow("self-check: relative deviation", found, None, "", target, verdict_of(met), reason),)


def dimers(subject: Subject) -> tuple[IsolatedDimer, ...]:
    """An isolated dimer of every kind of pair: those of the potential's own beads, and those that its priors know."""
    bundle = subject.bundle
    known = {*first_sampled(bundle.priors), *map(frozenset, PairKinds(bundle.mapping).names)}
    pairs = itertools.combinations_with_replacement(bundle.manifest["bead_masses_Da"], 2)
    return tuple(isolated_dimer(bundle, pair) for pair in pairs if frozenset(pair) in known)


def dimer_rows(found: tuple[IsolatedDimer, ...]) -> tuple[CheckRow, ...]:
    """How much the wall of every kind of pair has risen 0.05 nm inside of the first sampled distance."""
    return tuple(dimer_row(dimer) for dimer in found)


def dimer_row(found: IsolatedDimer) -> CheckRow:
    """One wall: no hole inside, and at least 5 kT high."""
    entry = found.to_dict()
    name, unit, target = f"dimer wall {entry['pair']}, 0.05 nm inside", "kT", f"> {HOLE_KT:g}"
    rise, hole = found.wall_rise, has_hole(entry)
    if rise is None or hole is None:
        return untested(name, unit, target, NO_EDGE)
    met = rise > HOLE_KT and not hole
    where = f"{entry['lowest_inside_kT']:.1f} kT at {entry['lowest_inside_nm']:.3f} nm"
    reason = "" if met else f"a hole inside of {entry['first_sampled_nm']:.3f} nm: the energy is {where}, beads may collapse"
    return CheckRow(name, rise, None, unit, target, verdict_of(met), reason)
