from dataclasses import replace

import numpy as np
import pytest
from systems import add_pair_forces, ideal_gas, identity_mapping

from cgnnp.configurational_temperature import bump, configurational_temperature, default_windows


def test_bump_is_compact_smooth_and_has_the_derivative_it_says():
    r = np.linspace(0.1, 0.6, 20001)
    g, slope = bump(r, 0.2, 0.5)
    np.testing.assert_allclose(np.gradient(g, r)[1:-1], slope[1:-1], atol=0.01)
    outside = (r <= 0.2) | (r >= 0.5)
    assert not g[outside].any()
    assert not slope[outside].any()
    assert g.max() == pytest.approx(1.0)
    assert r[g.argmax()] == pytest.approx(0.35)


def test_frames_of_other_ensembles_have_no_temperature_and_say_why():
    gas = ideal_gas(50, 20, 1.0, seed=1)
    hot = replace(gas, meta=replace(gas.meta, ensemble="frames of a hot run"))
    result = configurational_temperature(hot)
    assert result.value is None
    assert result.stderr is None
    assert result.reason == "frames are not Boltzmann-distributed (frames of a hot run)"
    assert "not Boltzmann-distributed" in str(result)


def test_ideal_gas_has_no_configurational_temperature():
    # Without forces n = 0, and d averages to the integral of the derivative of r^2 g(r), which is zero.
    result = configurational_temperature(ideal_gas(400, 20, 1.0, seed=2), windows=[(0.2, 0.4)])
    assert result.value is None
    assert "denominator is within 10 standard errors of zero" in result.reason


@pytest.mark.parametrize("n_frames", [1, 3])
def test_too_few_frames_or_pairs_have_no_temperature(n_frames):
    result = configurational_temperature(ideal_gas(n_frames, 4, 4.0, seed=3))
    assert result.value is None
    assert f"{n_frames} frames with too few close pairs" in result.reason


def test_unknown_bead_type_is_refused():
    with pytest.raises(ValueError, match="there are no AR-X pairs, only AR-AR"):
        configurational_temperature(ideal_gas(2, 4, 2.0, seed=0), pair=("AR", "X"))


def test_default_windows_start_at_the_first_sampled_distance_and_stay_in_the_box():
    gas = ideal_gas(100, 60, 1.6, seed=4)
    windows = default_windows(gas, ("AR", "AR"))
    # One pair per frame below r0: N (N - 1)/2 * 4/3 pi r0^3 / V = 1.
    first = (3 / (4 * np.pi) * 1.6**3 / (60 * 59 / 2)) ** (1 / 3)
    assert windows[0][0] + 0.015 == pytest.approx(first, rel=0.1)
    assert windows[-1][1] <= 0.8
    assert len(windows) == 12
    middles = [(start + end) / 2 for start, end in windows]
    assert [end for _, end in windows[:-1]] == pytest.approx(middles[1:])


def test_only_pairs_of_the_types_asked_for_count():
    mapping = identity_mapping({"A": 10, "B": 10})
    frames = add_pair_forces(ideal_gas(200, 20, 1.2, seed=5, mapping=mapping), lambda r: np.where(r < 0.5, 5.0, 0.0))
    only_b = frames.forces.copy()
    only_b[:, :10] = 0.0
    windows = [(0.1, 0.5)]
    whole = configurational_temperature(frames, ("A", "A"), windows)
    changed = configurational_temperature(replace(frames, forces=only_b), ("A", "A"), windows)
    untouched = configurational_temperature(replace(frames, forces=only_b), ("B", "B"), windows)
    assert configurational_temperature(frames, ("B", "B"), windows) == untouched
    assert changed != whole or whole.value is None
