"""Scans of two beads alone, against potentials that are known."""

from dataclasses import replace

import numpy as np
import pytest
from potentials import FIRST_NM, KT, WALL_KT, R, potential_of

from cgnnp.analysis.dimer import DimerScan, IsolatedDimer, isolated_dimer
from cgnnp.priors import PairSpline
from cgnnp.priors.pair_spline import PairTable


def well(r: np.ndarray, hole_at: float | None) -> IsolatedDimer:
    """A wall of 400 kT/nm up to 0.3 nm, then a well of 2 kT at 0.4 and one of 1 kT at 0.6 nm; perhaps a hole."""
    energy = np.where(r < 0.3, 400.0 * (0.3 - r), 0.0)
    for centre, depth in ((0.4, 2.0), (0.6, 1.0), *(() if hole_at is None else ((hole_at, 100.0),))):
        energy = energy - depth * np.exp(-(((r - centre) / 0.03) ** 2))
    return IsolatedDimer(DimerScan(("A", "B"), r, KT * energy, np.zeros_like(r), 0.0), 0.3, 300.0)


def test_wall_and_landmarks_of_a_pair():
    row = well(np.arange(0.1, 1.2, 0.0025), None).to_dict()
    assert row["wall_rise_kT"] == pytest.approx(400 * 0.05, abs=1e-3)
    assert row["lowest_inside_kT"] == pytest.approx(400 * 0.05, abs=1e-3)
    assert row["wall_monotonic"] is True
    assert row["contact_nm"] == pytest.approx(0.4, abs=1e-3)
    assert row["barrier_out_kT"] == pytest.approx(2.0, abs=0.01)
    assert row["separated_kT"] == pytest.approx(-1.0, abs=0.01)


def test_a_hole_is_found_and_is_no_contact():
    row = well(np.arange(0.1, 1.2, 0.0025), 0.2).to_dict()
    assert row["wall_monotonic"] is False
    assert row["lowest_inside_nm"] == pytest.approx(0.2, abs=0.01)
    assert row["lowest_inside_kT"] == pytest.approx(400 * 0.1 - 100, abs=3)
    assert row["contact_nm"] == pytest.approx(0.4, abs=1e-3)


def test_a_pair_without_a_first_sampled_distance_has_no_wall():
    row = replace(well(np.arange(0.1, 1.2, 0.0025), None), first_sampled=None).to_dict()
    assert (row["wall_rise_kT"], row["wall_monotonic"], row["lowest_inside_kT"]) == (None, None, None)
    assert row["contact_nm"] == pytest.approx(0.4, abs=1e-3)


def test_scans_are_of_priors_and_network_and_begin_inside_the_wall():
    """20 kT of spline over 0.05 nm, and of Coulomb the difference of q q / (4 pi eps0 eps_r r)."""
    found = isolated_dimer(potential_of(), ("Cl", "Na"))
    assert found.first_sampled == FIRST_NM
    assert (found.scan.r[0], found.scan.r[-1]) == pytest.approx((0.15, 1.2))
    coulomb = -138.935457644 / 72 * (1 / 0.25 - 1 / 0.3) / KT
    assert found.wall_rise == pytest.approx(WALL_KT + coulomb, abs=0.01)
    assert found.to_dict()["wall_monotonic"] is True


def test_scans_of_small_beads_begin_within_their_own_wall():
    table = PairTable(("Na", "Na"), 0.12, tuple(0.6 - R))
    assert isolated_dimer(potential_of(priors=(PairSpline((table,), 0.6),)), ("Na", "Na")).scan.r[0] == pytest.approx(0.02)
