import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgnnp.priors.wall import WALL_DEPTH, wall_energy


@given(edge_force=st.floats(-500.0, 5000.0), rise=st.floats(0.1, 500.0))
def test_wall_rises_monotonically_and_by_what_was_asked(edge_force, rise):
    energy = wall_energy(np.linspace(0.0, 0.5, 501), edge_force, rise)
    assert energy[0] == 0.0
    assert (np.diff(energy) > 0).all()
    assert (np.diff(energy, 2) > 0).all()  # the force grows inwards
    assert wall_energy(np.array([WALL_DEPTH]), edge_force, rise)[0] >= rise * (1 - 1e-12)


@pytest.mark.parametrize(("edge_force", "expected"), [(120.0, 120.0), (0.0, 0.0), (-80.0, 0.0)])
def test_force_is_continuous_at_the_edge_unless_it_attracts(edge_force, expected):
    step = 1e-7
    slope = wall_energy(np.array([step]), edge_force, 60.0)[0] / step
    assert slope == pytest.approx(expected, abs=0.01)  # stiffness * step / 2 = 0.005


def test_a_repulsive_edge_force_is_not_counted_twice():
    # f * 0.05 nm = 40 of the 60 kJ/mol asked: the parabola gives at least half of the rise.
    assert wall_energy(np.array([WALL_DEPTH]), 800.0, 60.0)[0] == pytest.approx(40.0 + 30.0)
    assert wall_energy(np.array([WALL_DEPTH]), 200.0, 60.0)[0] == pytest.approx(60.0)
