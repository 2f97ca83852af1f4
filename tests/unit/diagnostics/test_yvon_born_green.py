import json
from dataclasses import replace

import numpy as np
import pytest
from systems import ideal_gas

from cgnnp.diagnostics.yvon_born_green import YvonBornGreen, ybg_residual

FOUND = YvonBornGreen((), 5.0, 1e-9, 0.01, 12, 60, 0.5, True)


def test_a_residual_beyond_noise_agrees_where_it_is_below_two_percent():
    assert FOUND.agrees() is True
    assert replace(FOUND, relative=0.03).agrees() is False
    assert replace(FOUND, relative=None).agrees() is False
    assert replace(FOUND, p_value=1e-3, relative=0.5).agrees() is True
    assert replace(FOUND, p_value=None).agrees() is None


def test_the_log_has_a_judgement():
    """A share of 25 % that its noise explains agrees."""
    blurred = replace(FOUND, chi2_per_dof=3.46, p_value=0.031, relative=0.254)
    assert blurred.in_words() == f"{blurred}: agrees, zero within four standard errors"
    assert FOUND.in_words().endswith("1.0 % of kT<d> beyond noise: agrees, at most 2 % of kT<d>")
    assert replace(FOUND, relative=0.03).in_words().endswith(": disagrees, the residual is larger than its noise")
    assert "agrees" not in replace(FOUND, chi2_per_dof=None, p_value=None, reason="too short").in_words()


def test_plain_data_has_units_in_its_names_and_goes_through_json():
    gas = ideal_gas(200, 20, 1.0, seed=1)
    data = ybg_residual(gas).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert {"chi2_per_dof", "p_value", "relative", "dof", "n_blocks", "agrees", "reason", "local"} <= set(data)
    row = data["local"][0]
    assert row["pair"] == "AR-AR"
    assert {"r_nm", "force_kJ_mol_nm", "force_stderr_kJ_mol_nm", "temperature_K"} <= set(row)


def test_ideal_gas_has_no_residual_and_no_local_temperature_near_it():
    """Exact: without forces < d > is the integral of (r^2 g)' over a bump, zero."""
    result = ybg_residual(ideal_gas(400, 20, 1.0, seed=2))
    assert result.agrees()
    assert result.relative is None
    assert "beyond noise" not in str(result)


def test_without_variation_there_is_no_covariance():
    gas = ideal_gas(1, 20, 1.0, seed=2)[np.zeros(60, dtype=int)]
    assert ybg_residual(gas).reason == "the forces along pairs do not vary"


@pytest.mark.parametrize(
    ("n_frames", "n_beads", "ensemble", "reason"),
    [
        (60, 1, "NVT", "a single bead has no pairs"),
        (60, 20, "hot", "frames are not Boltzmann-distributed (hot)"),
        (30, 20, "NVT", "30 frames have too few close pairs for a covariance matrix: sample more frames"),
        (60, 2, "NVT", "60 frames have too few close pairs for a covariance matrix: sample more frames"),
    ],
)
def test_what_has_no_value_says_why(n_frames, n_beads, ensemble, reason):
    gas = ideal_gas(n_frames, n_beads, 3.0 if n_beads == 2 else 1.0, seed=3)
    result = ybg_residual(replace(gas, meta=replace(gas.meta, ensemble=ensemble)))
    assert (result.chi2_per_dof, result.p_value, result.agrees()) == (None, None, None)
    assert result.reason == reason
    assert reason in str(result)
    assert result.to_dict()["local"] == []


def test_short_data_are_judged_with_fewer_functions():
    result = ybg_residual(ideal_gas(60, 20, 1.0, seed=4))
    assert result.dof <= result.n_blocks // 2
    assert len(result.local) > result.dof or result.n_blocks >= 24
