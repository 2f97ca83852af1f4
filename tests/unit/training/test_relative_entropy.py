"""Refinement by structure on pairs of beads whose distances are drawn exactly from a known potential."""

from dataclasses import replace

import numpy as np
import pytest
from systems import charged_mapping

from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.priors.pair_spline import PairSpline, PairTable
from cgnnp.training.relative_entropy import PairCorrection, RefinementSettings, independent_frames, refinement_step
from cgnnp.units import thermal_energy

BOX, CUTOFF, FIRST = 2.4, 1.0, 0.3
KT = thermal_energy(300.0)
R = np.linspace(0.0, CUTOFF, 1001)
MAPPING = charged_mapping({"A": 1, "B": 1}, {"A": 0.0, "B": 0.0})
META = FramesMeta(MAPPING, temperature=300.0, interval=1.0, ensemble="NVT")


def spline(energy):
    return PairSpline((PairTable(("A", "B"), FIRST, tuple(energy)),), CUTOFF)


def well(depth):
    """A smooth well, zero with its slope at the cutoff, constant in the wall."""
    shape = np.where(R > FIRST, np.sin(np.pi * (R - FIRST) / (CUTOFF - FIRST)) ** 2, 0.0)
    return -depth * KT * shape


def drawn(energy, n, seed):
    """Frames of two beads within a cutoff sphere and beyond the wall, with probability exp(-u(r)/kT) of the table."""
    rng, kept = np.random.default_rng(seed), []
    while sum(map(len, kept)) < n:
        vectors = rng.uniform(-BOX / 2, BOX / 2, (4 * n, 3))
        r = np.linalg.norm(vectors, axis=1)
        u = np.where(r < CUTOFF, np.interp(r, R, energy), 0.0)
        accepted = (r > FIRST) & (r < BOX / 2) & (rng.uniform(size=4 * n) < np.exp(-(u - min(energy.min(), 0.0)) / KT))
        kept.append(vectors[accepted])
    b = np.concatenate(kept)[:n]
    positions = np.stack([np.zeros_like(b), b], axis=1)
    return Frames(positions, np.zeros_like(positions), np.tile(BOX * np.eye(3), (n, 1, 1)), META)


def test_steps_lead_to_the_potential_that_the_data_were_drawn_from():
    target, data = well(1.0), drawn(well(1.0), 8000, 0)
    prior = spline(np.zeros_like(R))
    chi2 = []
    for k in range(3):
        model = drawn(np.array(prior.tables[0].energy), 8000, k + 1)
        step = refinement_step(prior, data, model, [], spacing_nm=0.1)
        prior = step.prior
        chi2.append(step.chi2_per_dof)
    found = np.array(prior.tables[0].energy)
    seen = R > FIRST + 0.1
    assert np.abs(found - target)[seen].max() < 0.3 * KT
    assert chi2[0] > 5.0
    assert chi2[2] < 3.0
    assert step.independent_data == pytest.approx(8000, rel=0.3)


def test_forces_hold_back_what_configurations_would_change():
    data, model = drawn(well(1.0), 1000, 0), drawn(np.zeros_like(R), 1000, 1)
    free, held, firm = (
        refinement_step(spline(np.zeros_like(R)), data, model, forces, spacing_nm=0.1).largest_kT
        for forces in ([], [(data, np.full(2, 4e3))], [(data, np.full(2, 1e-2))])
    )
    assert free > held > firm
    assert firm < 1e-2 * free


def test_the_correction_leaves_the_wall_and_vanishes_at_the_cutoff():
    correction = PairCorrection(spline(np.zeros_like(R)), 0.05)
    changed = np.array(correction.applied(np.ones(sum(correction.sizes))).tables[0].energy)
    np.testing.assert_allclose(changed[R <= FIRST], changed[0])
    at = np.searchsorted(R, FIRST)
    assert abs(changed[at + 1] - changed[at]) < 0.05 * np.abs(np.diff(changed)).max()
    np.testing.assert_allclose(changed[-1], 0.0, atol=1e-12)
    assert abs(changed[-2]) < 1e-6 * np.abs(changed).max()


def test_sums_and_force_information_are_those_of_the_potential():
    frames = drawn(np.zeros_like(R), 60, 3)
    correction = PairCorrection(spline(np.zeros_like(R)), 0.05)
    r = np.linalg.norm(frames.positions[:, 1] - frames.positions[:, 0], axis=1)
    inside = r < CUTOFF
    coefficients = np.random.default_rng(0).normal(size=sum(correction.sizes))
    np.testing.assert_allclose(
        (correction.sums(frames) @ coefficients)[inside], correction.energies(r[inside])[0] @ coefficients, atol=0.02
    )
    step = 1e-5
    force = (correction.energies(r - step)[0] - correction.energies(r + step)[0]) @ coefficients / (2 * step)
    information = coefficients @ correction.force_information(frames, np.array([2.0, 4.0])) @ coefficients
    assert information == pytest.approx(np.sum(force[inside] ** 2) * (1 / 2 + 1 / 4), rel=1e-4)


def test_tables_may_come_in_any_order():
    mapping = charged_mapping({"A": 2, "B": 2}, {"A": 0.0, "B": 0.0})
    positions = np.random.default_rng(5).uniform(0, BOX, (8, 4, 3))
    boxes = np.tile(BOX * np.eye(3), (8, 1, 1))
    frames = Frames(positions, np.zeros_like(positions), boxes, replace(META, mapping=mapping))
    pairs = [("A", "A"), ("A", "B"), ("B", "B")]
    tables = [PairTable(pair, first, tuple(np.zeros_like(R))) for pair, first in zip(pairs, (0.25, 0.3, 0.4), strict=True)]
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        correction = PairCorrection(PairSpline(tuple(tables[k] for k in order), CUTOFF), 0.1)
        ends = np.cumsum([0, *correction.sizes])
        parts = {k: np.arange(ends[place], ends[place + 1]) for place, k in enumerate(order)}
        columns = np.concatenate([parts[k] for k in range(3)])
        information = correction.force_information(frames, np.array([1.0, 2.0, 3.0, 4.0]))
        found.append((correction.sums(frames)[:, columns], information[np.ix_(columns, columns)]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert np.abs(found[0][0]).max() > 0.0


def test_correlated_frames_count_less():
    rng = np.random.default_rng(0)
    assert independent_frames(np.repeat(rng.normal(size=(2000, 3)), 10, axis=0)) == pytest.approx(2000, rel=0.4)


def test_too_few_frames_and_settings_out_of_range_are_refused():
    few = drawn(np.zeros_like(R), 10, 0)
    with pytest.raises(ValueError, match=r"refinement: there are 10 frames from the data, .* set refinement=none"):
        refinement_step(spline(np.zeros_like(R)), few, few, [])
    with pytest.raises(ValueError, match=r"steps=-1: must not be negative"):
        RefinementSettings(steps=-1)
    with pytest.raises(ValueError, match=r"length_ps"):
        RefinementSettings(steps=1, length_ps=0.0)


def test_frames_with_other_pairs_are_refused():
    mapping = charged_mapping({"A": 2, "B": 1}, {"A": 0.0, "B": 0.0})
    positions = np.random.default_rng(0).uniform(0, BOX, (50, 3, 3))
    frames = Frames(
        positions, np.zeros_like(positions), np.tile(BOX * np.eye(3), (50, 1, 1)), replace(META, mapping=mapping)
    )
    with pytest.raises(ValueError, match="are A-A, A-B, but the pair splines describe A-B, and both must be the same"):
        refinement_step(spline(np.zeros_like(R)), frames, frames, [])
