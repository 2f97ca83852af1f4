from dataclasses import replace

import numpy as np
import pytest
from systems import add_pair_forces, ideal_gas, identity_mapping

from cgnnp.diagnostics.configurational_temperature import configurational_temperature


def test_frames_of_other_ensembles_have_no_temperature_and_say_why():
    gas = ideal_gas(50, 20, 1.0, seed=1)
    hot = replace(gas, meta=replace(gas.meta, ensemble="hot"))
    result = configurational_temperature(hot)
    assert result.value is None
    assert result.stderr is None
    assert result.reason == "frames are not Boltzmann-distributed (hot)"
    assert "not Boltzmann-distributed" in str(result)


def test_ideal_gas_has_no_configurational_temperature():
    # Without forces n = 0, and d averages to the integral of the derivative of r^2 g(r), which is zero.
    result = configurational_temperature(ideal_gas(400, 20, 1.0, seed=2), windows=[(0.2, 0.4)])
    assert result.value is None
    assert "400 frames do not determine it" in result.reason


@pytest.mark.parametrize("n_frames", [1, 3])
def test_too_few_frames_or_pairs_have_no_temperature(n_frames):
    result = configurational_temperature(ideal_gas(n_frames, 4, 4.0, seed=3))
    assert result.value is None
    assert f"{n_frames} frames have too few close pairs" in result.reason


def test_unknown_bead_type_is_refused():
    with pytest.raises(ValueError, match="there are no AR-X pairs, only AR-AR"):
        configurational_temperature(ideal_gas(2, 4, 2.0, seed=0), pair=("AR", "X"))


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
