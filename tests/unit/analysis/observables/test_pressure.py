"""The virial pressure of a run: that of its energy, or a reason."""

import numpy as np
import pytest
from potentials import CHARGES, COULOMB, IONS, KT, potential_of
from systems import charged_mapping, ewald, hard_gas

from cgnnp.analysis.observables.observable import BothSides
from cgnnp.analysis.observables.pressure import VirialPressure, pressure_of
from cgnnp.analysis.pressure import BAR, Pressure
from cgnnp.priors import ScreenedCoulomb
from observables.drawn import check_section


def test_the_pressure_of_charges_is_that_of_their_energy(ions):
    """Coulomb energies are of degree -1, so P V = N kT + U/3; U by the textbook Ewald sum."""
    frames = ions.atomistic[:3]
    charges = np.array(IONS.charges) / np.sqrt(72.0)
    energies = [ewald(np.asarray(positions, float), charges, 1.3)[0] for positions in frames.positions]
    found = pressure_of(potential_of(priors=(COULOMB,)), frames)
    assert found.bar == pytest.approx(BAR * (12 * KT + np.mean(energies) / 3) / 1.3**3, rel=2e-3)
    assert found.ideal_bar == pytest.approx(BAR * 12 * KT / 1.3**3)


def test_it_is_of_frames_spread_over_the_coarse_grained_run(ions, tmp_path):
    both = BothSides(ions.atomistic, ions.coarse, potential_of())
    found = VirialPressure(max_frames=3).find(both)
    assert found.pressure.bar == pressure_of(potential_of(), ions.coarse[np.array([0, 29, 59])]).bar
    row = found.entries("pressure")["virial_pressure"]
    assert row["bar"] == found.pressure.bar
    assert row["ideal_bar"] == pytest.approx(BAR * 12 * KT / 1.3**3)
    section = check_section(found, tmp_path)
    assert "It is an osmotic pressure only if" in section.notes[0]
    assert "its error is not reliable" in section.parts[0].lower()
    with pytest.raises(ValueError, match="max_frames=0: must be positive"):
        VirialPressure(max_frames=0)


def test_a_box_that_cannot_shrink_by_the_step_has_no_pressure_but_a_reason(ions):
    """A cutoff of half the box is allowed, OpenMM refuses it in the box that is 0.2 % smaller."""
    half, below = (ScreenedCoulomb(CHARGES, eps_r=72.0, cutoff_nm=cutoff) for cutoff in (0.65, 0.6486))
    assert isinstance(pressure_of(potential_of(priors=(below,)), ions.coarse[:2]), Pressure)
    found = VirialPressure().find(BothSides(ions.atomistic, ions.coarse, potential_of(priors=(half,))))
    row = found.rows()
    assert row["bar"] is None
    assert "0.2 % smaller" in row["reason"]
    assert "cutoff of 0.65 nm (the box is 1.3 nm wide)" in row["reason"]
    (note,) = found.section().notes
    assert note == f"The virial pressure of the beads has no value: {row['reason']}."
    assert found.lines() == [f"no virial pressure of the beads: {row['reason']}"]


def test_only_charged_beads_with_a_potential_have_one(ions):
    neutral = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 0.0, "Cl": 0.0})
    frames = hard_gas(2, 12, 1.3, diameter=0.3, seed=1, mapping=neutral)
    assert "potential of the run is not known" in VirialPressure().unsuited(ions)
    assert "not the atomistic pressure" in VirialPressure().unsuited(BothSides(frames, frames, potential_of(neutral, ())))
    one = BothSides(ions.atomistic, ions.coarse[:1], potential_of())
    assert "two frames" in VirialPressure().unsuited(one)
