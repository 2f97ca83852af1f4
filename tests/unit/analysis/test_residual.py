"""Two curves of one system are the same; those of two systems are told apart, with the size, the place and the doubt."""

import json
from dataclasses import replace

import numpy as np
import pytest
from systems import hard_gas, soft_spheres

from cgnnp.analysis.agreement import CLEAR, CLOSE, LIKELY, MATTERS, NOISE_FACTOR, Agreement
from cgnnp.analysis.observables.rdf import rdf_residual
from cgnnp.analysis.rdf import Rdf, deviation_noise, rdf
from cgnnp.analysis.residual import Residual, Shares, deviation, expected_deviation, hat_functions, residual
from cgnnp.analysis.shrunk_hotelling import ShrunkHotelling

R = np.arange(0.001, 0.9, 0.002)
LIQUID = (R > 0.25) * (1 + 1.8 * np.exp(-(((R - 0.28) / 0.02) ** 2)) - 0.15 * np.cos((R - 0.34) / 0.035) * np.exp(-4 * R))


def noisy(g: np.ndarray, sigma: float, seed: int, n_blocks: int = 40, reliable: bool = True) -> Rdf:
    """A curve of Gaussian blocks, whose mean has the standard error sigma / sqrt(n_blocks) / r, as that of an ideal gas."""
    noise = np.random.default_rng(seed).normal(0.0, sigma, (n_blocks, len(R))) * 0.3 / R * (g > 0)
    blocks = g + noise
    mean, half = blocks.mean(axis=0), n_blocks // 2
    stderr = blocks.std(axis=0, ddof=1) / np.sqrt(n_blocks)
    halves = (blocks[:half].mean(axis=0), blocks[half:].mean(axis=0))
    return Rdf(("W", "W"), R, mean, stderr, halves, 0.5, reliable, blocks)


def model(size: float) -> np.ndarray:
    """A g(r) with a first peak that is lower and a second shell that is weaker."""
    return LIQUID * (1 - size * np.sin(2 * np.pi * (R - 0.25) / 0.25))


def test_runs_of_one_system_agree_as_often_as_they_should():
    """30 pairs of independent soft-sphere runs of 60 frames: p is uniform, mean and lowest tenth within 4 sigma.

    Measured with 300 pairs of 100 frames: p < 0.01 in 0.7 % (ideal gas) of them, p < 0.05 in 5.3 %.
    """
    spheres = soft_spheres(30 * 2 * 60, {"A": 8}, seed=5)
    runs = [rdf(spheres[k : k + 60])[0] for k in range(0, len(spheres), 60)]
    found = [rdf_residual(*pair) for pair in zip(runs[::2], runs[1::2], strict=True)]
    p = np.array([one.test.p_value for one in found])
    assert p.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * len(p)))
    assert np.mean(p <= 0.1) <= 0.1 + 4 * np.sqrt(0.09 / len(p))
    assert not {one.agreement for one in found} & {Agreement.CLOSE, Agreement.DISAGREES}
    assert np.mean([one.whole.share_beyond_2 for one in found]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([one.whole.share_beyond_3 for one in found]) < 0.01
    excess = [one.deviation / one.noise for one in found]
    assert np.mean(excess) == pytest.approx(1.0, abs=0.05)


def test_the_expected_deviation_is_that_of_two_halves():
    """E|x| = sqrt(2 / pi) sigma of both; half of D between the halves is the same figure, with more noise."""
    first, second = (rdf(hard_gas(400, 12, 1.0, diameter=0.25, seed=seed))[0] for seed in (1, 2))
    expected = expected_deviation(first, second)
    assert np.hypot(deviation_noise(first), deviation_noise(second)) == pytest.approx(expected, rel=0.15)
    assert deviation(first.g, second.g) == pytest.approx(expected, rel=0.15)


def test_equal_curves_agree_within_errors():
    found = rdf_residual(noisy(LIQUID, 0.1, 1), noisy(LIQUID, 0.15, 2))
    assert found.agreement is Agreement.AGREES
    assert found.test.p_value > LIKELY
    assert found.whole.share_beyond_2 == pytest.approx(0.05, abs=0.04)
    assert found.whole.share_beyond_3 < 0.02


def test_a_small_d_with_a_residual_that_is_no_noise_is_close_and_not_agreement():
    """What was green: D of 2.2 % where noise gives 0.8 %, and most bins of a shell outside two standard errors."""
    found = rdf_residual(noisy(LIQUID, 0.04, 1), noisy(model(0.04), 0.06, 2))
    assert found.deviation < 0.03
    assert found.agreement is Agreement.CLOSE
    assert found.test.p_value < LIKELY
    assert found.whole.share_beyond_2 > 0.4
    assert found.systematic_deviation == pytest.approx(deviation(LIQUID, model(0.04)), rel=0.15)
    assert found.systematic_deviation == pytest.approx(np.sqrt(found.deviation**2 - found.noise**2))


def test_a_residual_is_seen_where_d_is_noise():
    """A smooth residual of a fifth of the noise of a bin is invisible in D, and beyond doubt in 18 coefficients."""
    found = rdf_residual(noisy(LIQUID, 0.06, 1, n_blocks=60), noisy(model(0.004), 0.06, 2, n_blocks=60))
    assert found.deviation < NOISE_FACTOR * found.noise
    assert found.test.p_value < LIKELY
    assert found.agreement is Agreement.CLOSE


def test_another_structure_disagrees():
    found = rdf_residual(noisy(LIQUID, 0.05, 1), noisy(model(0.15), 0.05, 2))
    assert found.systematic_deviation > CLOSE
    assert found.agreement is Agreement.DISAGREES


def test_noise_that_hides_what_matters_is_too_short_to_tell():
    found = rdf_residual(noisy(LIQUID, 0.4, 1), noisy(LIQUID, 0.4, 2))
    assert found.noise > MATTERS
    assert found.test.p_value > LIKELY
    assert found.agreement is Agreement.OPEN


@pytest.mark.parametrize(("n_blocks", "reliable"), [(12, True), (40, False)])
def test_too_few_blocks_are_too_short_to_tell_unless_the_curves_are_far_apart(n_blocks, reliable):
    first = noisy(LIQUID, 0.02, 1, n_blocks, reliable)
    assert rdf_residual(first, noisy(LIQUID, 0.02, 2)).agreement is Agreement.OPEN
    assert rdf_residual(first, noisy(model(0.04), 0.02, 2)).agreement is Agreement.OPEN
    far = rdf_residual(first, noisy(model(0.3), 0.02, 2))
    assert far.deviation > CLEAR * far.noise
    assert far.agreement is Agreement.DISAGREES


def test_a_doubtful_residual_in_the_noise_is_no_disagreement():
    """p below the threshold, D not beyond its noise: D without its noise is no measure where noise is large."""
    shares = Shares(0.2, 0.9, 0.05, 0.0, 3.0, 0.5)
    found = Residual(0.37, 0.35, ShrunkHotelling(2.0, 0.008, 18, 0.5), (20, 20), shares, (), True)
    assert found.systematic_deviation > CLOSE
    assert found.agreement is Agreement.OPEN


def test_shells_are_those_between_the_minima_and_the_largest_residual_is_where_it_is():
    bump = 0.3 * np.exp(-(((R - 0.5) / 0.01) ** 2)) * (LIQUID > 0)
    found = rdf_residual(noisy(LIQUID, 0.05, 1), noisy(LIQUID + bump, 0.05, 2))
    first, second = found.parts
    assert first.start == pytest.approx(0.251)
    assert first.end == second.start == pytest.approx(0.35, abs=0.03)
    assert second.end == pytest.approx(0.56, abs=0.03)
    assert first.share_beyond_3 < 0.05 < second.share_beyond_3
    assert found.whole.largest_at == pytest.approx(0.5, abs=0.01)
    assert found.whole.largest_stderrs == second.largest_stderrs > 6


def test_hat_functions_add_up_to_one_from_the_first_sampled_distance_on():
    hats = hat_functions(R, 0.251, 18)
    assert hats.shape == (len(R), 18)
    np.testing.assert_allclose(hats.sum(axis=1), R >= 0.251 - 1e-9, atol=1e-9)


def test_plain_data_goes_through_json():
    data = rdf_residual(noisy(LIQUID, 0.1, 1), noisy(LIQUID, 0.1, 2)).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {"chi2_per_dof", "p_value", "dof", "share_beyond_2", "share_beyond_3", "largest_stderrs"} <= set(data)
    assert {"n_blocks_atomistic", "n_blocks_cg", "largest_r_nm", "systematic_deviation", "shells"} <= set(data)


def test_a_narrow_residual_of_six_errors_is_found():
    """In one bin of 450 it is a small part of 18 wide functions, which do not see it, and no part of D."""
    first, second = noisy(LIQUID, 0.05, 1), noisy(LIQUID, 0.05, 2)
    errors = np.hypot(first.stderr, second.stderr)
    at = int(np.argmin(np.abs(R - 0.5)))
    apart = np.zeros_like(R)
    apart[at] = 6.0 * errors[at] - (second.g - first.g)[at]
    narrow = replace(second, g=second.g + apart, blocks=second.blocks + apart)
    before, found = rdf_residual(first, second), rdf_residual(first, narrow)
    assert before.agreement is Agreement.AGREES
    assert found.test.p_value > LIKELY
    assert found.deviation < NOISE_FACTOR * found.noise
    assert found.largest_p < LIKELY
    assert found.agreement is Agreement.CLOSE
    assert found.whole.largest_stderrs == pytest.approx(6.0)
    assert found.whole.largest_at == pytest.approx(R[at])


def test_the_probability_of_the_largest_bin_is_students_by_welch_for_as_many_bins():
    """40 and 20 blocks with errors of 1 and 2: Welch's number of degrees of freedom, by its formula."""
    from scipy.stats import t as student

    first, second = noisy(LIQUID, 0.05, 1, n_blocks=40), noisy(LIQUID, 0.05, 2, n_blocks=20)
    known = np.hypot(first.stderr, second.stderr) > 0
    ones = known.astype(float)
    second = replace(second, g=first.g + 5.0 * np.sqrt(5.0) * (R[300] == R), stderr=2 * ones)
    found = residual(replace(first, stderr=ones), second)
    freedom = 5.0**2 / (1 / 39 + 16 / 19)
    assert found.largest_p == pytest.approx(known.sum() * 2 * student.sf(5.0, freedom), rel=1e-9)


def test_parts_follow_each_other_and_have_shares_of_their_own():
    """Of any curve: stretches end where they are told to, from the first sampled bin on."""
    first, second = noisy(LIQUID, 0.05, 1), noisy(LIQUID, 0.05, 2)
    found = residual(first, second, [0.1, 0.4, 0.7])
    assert [(part.start, part.end) for part in found.parts] == [(pytest.approx(0.251), 0.4), (0.4, 0.7)]
    assert residual(first, second).parts == ()
    row = found.to_dict("theta_deg", "parts")
    assert [part["end_deg"] for part in row["parts"]] == [0.4, 0.7]
    assert row["largest_theta_deg"] == found.whole.largest_at
    assert row["largest_p_value"] == found.largest_p


def test_curves_with_nothing_in_them_are_alike():
    """No pair was ever seen on either side: D is zero, and one where one side alone has any."""
    nothing = np.zeros(10)
    assert deviation(nothing, nothing) == 0.0
    assert deviation(nothing, np.ones(10)) == 1.0
