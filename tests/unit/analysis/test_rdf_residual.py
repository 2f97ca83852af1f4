"""Two g(r) of one system are the same; those of two systems are told apart, with the size, the place and the doubt."""

import json
from dataclasses import replace

import numpy as np
import pytest
from systems import frames_of, hard_gas, ideal_gas, soft_spheres

from cgnnp.analysis.rdf import Rdf, deviation, deviation_noise, expected_deviation, rdf
from cgnnp.analysis.rdf_residual import (
    CLEAR,
    CLOSE,
    LIKELY,
    MATTERS,
    NOISE_FACTOR,
    Agreement,
    RdfResidual,
    Shares,
    hat_functions,
    rdf_residual,
)
from cgnnp.analysis.rdf_verdict import in_words, worst_row
from cgnnp.analysis.shrunk_hotelling import ShrunkHotelling
from cgnnp.workflow.quality import rdf_row

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
    found = RdfResidual(0.37, 0.35, ShrunkHotelling(2.0, 0.008, 18, 0.5), (20, 20), shares, (), True)
    assert found.systematic_deviation > CLOSE
    assert found.agreement is Agreement.OPEN


@pytest.mark.parametrize(
    ("deviation", "noise", "p_value", "expected"),
    [
        (0.074, 0.05, 0.0005, Agreement.DISAGREES),  # a systematic deviation of 5.5 %
        (0.076, 0.05, 0.5, Agreement.DISAGREES),
        (0.074, 0.051, 0.0005, Agreement.OPEN),
        (0.06, 0.04, 0.0005, Agreement.CLOSE),
        (0.04, 0.04, 0.5, Agreement.OPEN),
        (0.03, 0.03, 0.5, Agreement.AGREES),
    ],
)
def test_what_is_more_than_noise_is_close_up_to_five_per_cent_only(deviation, noise, p_value, expected):
    shares = Shares(0.2, 0.9, 0.05, 0.0, 3.0, 0.5)
    found = RdfResidual(deviation, noise, ShrunkHotelling(2.0, p_value, 18, 0.5), (20, 20), shares, (), True)
    assert found.agreement is expected


def test_shells_are_those_between_the_minima_and_the_largest_residual_is_where_it_is():
    bump = 0.3 * np.exp(-(((R - 0.5) / 0.01) ** 2)) * (LIQUID > 0)
    found = rdf_residual(noisy(LIQUID, 0.05, 1), noisy(LIQUID + bump, 0.05, 2))
    first, second = found.shells
    assert first.start_nm == pytest.approx(0.251)
    assert first.end_nm == second.start_nm == pytest.approx(0.35, abs=0.03)
    assert second.end_nm == pytest.approx(0.56, abs=0.03)
    assert first.share_beyond_3 < 0.05 < second.share_beyond_3
    assert found.whole.largest_r_nm == pytest.approx(0.5, abs=0.01)
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


@pytest.mark.parametrize("n_frames", [1, 2, 15])
def test_very_short_runs_have_no_test_and_no_verdict(n_frames):
    row = rdf_row(*(rdf(ideal_gas(n_frames, 5, 1.0, seed=seed))[0] for seed in (1, 2)))
    assert (row["verdict"], row["residual"]["p_value"]) == ("too short to tell", None)
    json.dumps(row, allow_nan=False)


def test_pairs_that_were_never_seen_have_a_row():
    """Two beads that stay 0.8 nm apart: no pair within half of a box of 1 nm."""
    positions = np.tile([[0.1, 0.1, 0.1], [0.6, 0.6, 0.6]], (30, 1, 1))
    curve = rdf(frames_of(positions, np.zeros_like(positions), 1.0))[0]
    row = rdf_row(curve, curve)
    assert row["verdict"] == "too short to tell"
    assert row["residual"]["share_beyond_2"] is None


def test_verdicts_in_words_and_the_worst_of_several():
    close = rdf_row(noisy(LIQUID, 0.04, 1), noisy(model(0.04), 0.06, 2))
    same = rdf_row(noisy(LIQUID, 0.1, 1), noisy(LIQUID, 0.15, 2)) | {"deviation": 0.9}
    assert in_words(close) == f"close: systematic deviation of {100 * close['residual']['systematic_deviation']:.1f} %"
    assert in_words(same) == "agrees within errors"
    assert worst_row([same, close]) is close
    assert worst_row([same, close, close | {"verdict": "too short to tell"}])["verdict"] == "too short to tell"
    assert worst_row([replace_deviation(close, None)]) is None


def replace_deviation(row: dict, value: float | None) -> dict:
    return {**row, "deviation": value}


def test_blocks_of_g_are_those_of_its_error():
    curve = rdf(ideal_gas(200, 20, 1.0, seed=3))[0]
    np.testing.assert_allclose(curve.blocks.mean(axis=0), curve.g, rtol=1e-12)
    spread = curve.blocks.std(axis=0, ddof=1) / np.sqrt(len(curve.blocks))
    np.testing.assert_allclose(spread, curve.stderr, rtol=1e-9)
    assert replace(curve, blocks=None).blocks is None
