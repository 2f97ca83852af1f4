from dataclasses import replace

import numpy as np
import pytest
from systems import frames_of, ideal_gas, identity_mapping

from cgnnp.analysis.rdf import (
    BIN_WIDTH,
    SMOOTHING,
    Rdf,
    deviation,
    deviation_noise,
    longest_distance,
    rdf,
    smoothing_weights,
)

CENTRES = np.arange(0.0, 1.2, BIN_WIDTH) + BIN_WIDTH / 2


def curve(g: np.ndarray, **values) -> Rdf:
    return Rdf(("A", "B"), CENTRES, g, np.zeros_like(g), values.get("halves", (g, g)))


def gaussian(centre: float, sigma: float) -> np.ndarray:
    return np.exp(-((CENTRES - centre) ** 2) / (2 * sigma**2))


def test_smoothing_is_centred():
    for k in (100, 101):
        peak = np.zeros(len(CENTRES))
        peak[k - 9 : k + 10] = 10 - np.abs(np.arange(-9, 10))
        smooth = curve(peak).smoothed()
        assert len(smooth) == len(peak)
        assert smooth.argmax() == k
        np.testing.assert_allclose(smooth[k - 20 : k + 21], smooth[k - 20 : k + 21][::-1], atol=1e-14)
        assert smooth.sum() == pytest.approx(peak.sum())


def test_smoothing_has_one_length_for_every_bin_width():
    """Eleven equal weights for the default bins. With bins of any width, the height is that of the same running mean."""
    np.testing.assert_allclose(smoothing_weights(BIN_WIDTH), np.full(11, 1 / 11), rtol=1e-12)
    assert smoothing_weights(0.03).tolist() == [1.0]
    for width in np.arange(0.0005, 0.0222, 0.0003):
        weights = smoothing_weights(width)
        assert weights.sum() == pytest.approx(1.0)
        np.testing.assert_array_equal(weights, weights[::-1])
        inner = len(weights) // 2 - 1
        assert inner < 0 or (2 * inner + 1) * width <= SMOOTHING + 1e-9 < (2 * inner + 3) * width + 2e-9
    heights = []
    for width in (0.001, 0.0015, 0.002, 0.0025, 0.003, 0.004, 0.005):
        r = np.arange(0.0, 1.2, width) + width / 2
        g = 3 * np.exp(-((r - 0.28) ** 2) / (2 * 0.03**2))
        heights.append(Rdf(("A", "B"), r, g, np.zeros_like(g), (g, g)).first_peak()[1])
    assert max(heights) / min(heights) < 1.006  # an odd number of whole bins gave 1.012


def test_smoothing_leaves_straight_lines():
    np.testing.assert_allclose(curve(3 + 2 * CENTRES).smoothed()[10:-10], (3 + 2 * CENTRES)[10:-10])
    np.testing.assert_allclose(curve(np.full(len(CENTRES), 2.5)).smoothed(), 2.5)


@pytest.mark.parametrize("centre", [0.28, 0.2806, 0.2813, 0.281, 0.5])
@pytest.mark.parametrize("sigma", [0.015, 0.03, 0.06])
def test_the_first_peak_of_a_gaussian(centre, sigma):
    """A running mean of 11 bins has variance w^2 / 12, w = 0.022 nm, which widens and lowers the peak."""
    position, height = curve(3 * gaussian(centre, sigma)).first_peak()
    assert position == pytest.approx(centre, abs=2e-4)
    assert height == pytest.approx(3 * sigma / np.sqrt(sigma**2 + 0.022**2 / 12), rel=0.01)


def test_the_first_peak_need_not_be_the_highest():
    position, height = curve(1.5 * gaussian(0.3, 0.03) + 3 * gaussian(0.6, 0.03)).first_peak()
    assert position == pytest.approx(0.3, abs=1e-3)
    assert 1.4 < height < 1.5


def test_a_peak_that_never_falls_below_one_and_curves_without_a_peak():
    assert curve(0.8 + 2 * gaussian(0.9, 0.4)).first_peak()[0] == pytest.approx(0.9, abs=0.01)
    assert curve(0.5 * gaussian(0.4, 0.05)).first_peak()[0] == pytest.approx(0.4, abs=1e-3)
    assert curve(np.zeros(len(CENTRES))).first_peak()[1] == 0.0


def test_the_deviation_of_two_curves():
    g = gaussian(0.3, 0.05) + 0.1
    assert deviation(g, g) == 0.0
    assert deviation(g, 1.25 * g) == pytest.approx(0.25)
    assert deviation(g, 0.9 * g) == pytest.approx(0.1)
    assert deviation(g, np.zeros_like(g)) == pytest.approx(1.0)
    assert deviation_noise(curve(g, halves=(g, 1.5 * g))) == pytest.approx(0.25)


def test_distances_beyond_half_the_box_are_refused():
    gas = ideal_gas(3, 5, 1.0, seed=0)
    with pytest.raises(ValueError, match=r"up to 0\.6 nm were asked for, but half the box is 0\.5 nm"):
        rdf(gas, 0.6)
    smaller = replace(gas, boxes=gas.boxes * np.array([1.0, 0.9, 1.0])[:, None, None])
    with pytest.raises(ValueError, match=r"half the box is 0\.45 nm"):
        rdf(smaller, 0.5)
    assert longest_distance(smaller) == pytest.approx(0.45)
    assert rdf(smaller)[0].r[-1] == pytest.approx(0.449)
    assert longest_distance(ideal_gas(1, 2, 5.0, seed=0)) == 1.2


def test_names_and_order_of_the_pairs():
    gas = ideal_gas(2, 6, 1.0, seed=0, mapping=identity_mapping({"Na": 1, "Cl": 2, "Ar": 3}))
    curves = rdf(gas)
    assert [one.name for one in curves] == ["Na-Cl", "Na-Ar", "Cl-Cl", "Cl-Ar", "Ar-Ar"]  # one Na has no partner of its kind
    assert np.isfinite([one.g for one in curves]).all()


def test_one_frame_has_a_curve_and_no_error():
    gas = ideal_gas(20, 30, 1.0, seed=1)
    single = [rdf(gas[k : k + 1])[0] for k in range(20)]
    np.testing.assert_allclose(np.mean([one.g for one in single], axis=0), rdf(gas)[0].g)
    assert not single[0].stderr.any()
    assert deviation_noise(single[0]) == 0.0


def test_two_beads_at_a_known_distance():
    """One pair in one bin: g = V / (dr shell), in that bin alone; also across the border."""
    for first in (0.5, 0.05):
        positions = np.array([[[first, 0.3, 0.3], [first + 0.301, 0.3, 0.3]]]) % 2.0
        (one,) = rdf(frames_of(positions, np.zeros_like(positions), 2.0))
        (k,) = np.flatnonzero(one.g)
        assert one.r[k] == pytest.approx(0.301)
        assert one.g[k] == pytest.approx(8.0 / (4 / 3 * np.pi * (0.302**3 - 0.300**3)))


def test_halves_are_the_halves():
    gas = ideal_gas(10, 20, 1.0, seed=2)
    (one,) = rdf(gas)
    np.testing.assert_allclose(one.halves[0], rdf(gas[:5])[0].g)
    np.testing.assert_allclose(one.halves[1], rdf(gas[5:])[0].g)
