"""The tests that need no dynamics: the self-check of the files, and the isolated dimers."""

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
    """Test that the potential reproduces the energies and forces that are stored with it.

    The files were compared with their checksums when the potential was loaded.
    """
    found = self_check_deviation(subject.bundle)
    met = found < SELF_CHECK_TOLERANCE
    reason = "" if met else "the stored energies and forces are not reproduced: export the potential again"
    target = f"< {SELF_CHECK_TOLERANCE:g}"
    return (CheckRow("self-check: relative deviation", found, None, "", target, verdict_of(met), reason),)


def dimers(subject: Subject) -> tuple[IsolatedDimer, ...]:
    """Return an isolated dimer of every kind of pair: the pairs of the beads in the potential, and those of its priors."""
    bundle = subject.bundle
    known = {*first_sampled(bundle.priors), *map(frozenset, PairKinds(bundle.mapping).names)}
    pairs = itertools.combinations_with_replacement(bundle.manifest["bead_masses_Da"], 2)
    return tuple(isolated_dimer(bundle, pair) for pair in pairs if frozenset(pair) in known)


def dimer_rows(found: tuple[IsolatedDimer, ...]) -> tuple[CheckRow, ...]:
    """Return a row for each dimer: the rise of its wall within 0.05 nm below the first sampled distance."""
    return tuple(dimer_row(dimer) for dimer in found)


def dimer_row(found: IsolatedDimer) -> CheckRow:
    """Return the row of one dimer. It agrees if the wall rises by more than 5 kT and there is no hole inside."""
    entry = found.to_dict()
    name, unit, target = f"dimer wall {entry['pair']}, rise within 0.05 nm", "kT", f"> {HOLE_KT:g} kT"
    rise, hole = found.wall_rise, has_hole(entry)
    if rise is None or hole is None:
        return untested(name, unit, target, NO_EDGE)
    met = rise > HOLE_KT and not hole
    where = f"{entry['lowest_inside_kT']:.1f} kT at {entry['lowest_inside_nm']:.3f} nm"
    edge = f"the first sampled distance, {entry['first_sampled_nm']:.3f} nm"
    reason = "" if met else f"there is a hole below {edge}: the energy is {where}, beads may collapse"
    return CheckRow(name, rise, None, unit, target, verdict_of(met), reason)
