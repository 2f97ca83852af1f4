import itertools
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from systems import add_noise, add_pair_forces, ewald, hard_gas, identity_mapping

from cgnnp.frames.frames import Frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.priors import CoulombTerm, LinearTerm, PairSpline, PairSplineFit, Prior, ScreenedCoulomb, fit_priors, prior_forces
from cgnnp.priors.linear import Basis, Design
from cgnnp.priors.smoothing import Spline
from cgnnp.training.force_matching import ForceMatching
from cgnnp.workflow.compatible_data import DataDescription, check_together

CUTOFF, EPS_R = 0.8, 30.0
SALT = {"Na": 1.0, "Cl": -1.0}


def short_range(r: np.ndarray) -> np.ndarray:
    """40 (r - cutoff)^2, which cubic splines that end with zero value and slope hold exactly."""
    return 40.0 * (np.minimum(r, CUTOFF) - CUTOFF) ** 2


def charged(counts: dict[str, int], charges: dict[str, float]) -> Mapping:
    mapping = identity_mapping(counts)
    blocks = (replace(block, charges=(charges[block.name],) * block.n_beads) for block in mapping.blocks)
    return replace(mapping, name="ions", blocks=tuple(blocks))


def ions(
    n_frames: int = 20,
    counts: dict[str, int] | None = None,
    charges: dict[str, float] = SALT,
    *,
    length: float = 2.0,
    eps_r: float = EPS_R,
    solvent: dict | None = None,
    seed: int = 5,
) -> Frames:
    """A gas of charged hard spheres with the short-range force and that of their screened charges."""
    mapping = charged(counts or {"Na": 9, "Cl": 9}, charges)
    gas = hard_gas(n_frames, mapping.n_beads, length, diameter=0.3, seed=seed, mapping=mapping)
    coulomb = [ewald(positions, mapping.charges, length)[1] / eps_r for positions in gas.positions]
    provenance = {} if solvent is None else {"solvent": solvent}
    frames = replace(gas, forces=np.stack(coulomb), meta=replace(gas.meta, provenance=provenance))
    return add_pair_forces(frames, short_range)


SPLINES = PairSplineFit(cutoff_nm=CUTOFF, min_count=1)


def coulomb_term(eps_r: float | str | None = EPS_R) -> CoulombTerm:
    return CoulombTerm(eps_r=eps_r, cutoff_nm=CUTOFF)


def fit(*sets: Frames, eps_r: float | str | None = EPS_R, weights=None) -> list:
    """Coulomb, then splines."""
    return fit_priors([coulomb_term(eps_r), SPLINES], sets, weights, "CPU")


def prior_of(mapping: Mapping, provenance: dict, eps_r: float | str | None = "auto") -> ScreenedCoulomb | None:
    """The Coulomb prior of beads of which there are no frames yet."""
    meta = hard_gas(1, mapping.n_beads, 2.0, diameter=0.1, seed=0, mapping=mapping).meta
    return coulomb_term(eps_r).prior({"the data": replace(meta, provenance=provenance)})


def assert_short_range(splines: PairSpline, tolerance: float = 0.005) -> None:
    """Every table is the integral of the short-range force wherever it was sampled (kJ/mol).

    Not closer than the 5e-4 of the Coulomb forces by which PME is off.
    """
    for entry in splines.tables:
        r = np.linspace(0.0, CUTOFF, len(entry.energy))
        sampled = r >= entry.first_sampled
        np.testing.assert_allclose(
            np.array(entry.energy)[sampled], 40.0 / 3.0 * (CUTOFF - r[sampled]) ** 3, rtol=0, atol=tolerance
        )


def test_charges_and_short_range_force_come_back():
    frames = ions()
    coulomb, splines = fit(frames)
    assert coulomb == ScreenedCoulomb(SALT, EPS_R, CUTOFF)
    assert splines.first_sampled().keys() == {("Na", "Na"), ("Na", "Cl"), ("Cl", "Cl")}
    assert_short_range(splines)
    with pytest.raises(AssertionError):  # of the whole force a spline makes something else
        assert_short_range(SPLINES.fit(frames), tolerance=1.0)


def test_what_the_coulomb_prior_leaves_is_fitted_in_every_set():
    sets = ions(12), ions(12, {"Cl": 4, "Na": 4}, length=1.7, seed=6)
    coulomb, splines = fit(*sets)
    assert coulomb == ScreenedCoulomb(SALT, EPS_R, CUTOFF)
    assert_short_range(splines)


def test_weights_reach_the_splines():
    frames = ions()
    spoilt = frames.forces.copy()
    spoilt[:, 3] += 1e3
    weights = np.ones(frames.mapping.n_beads)
    weights[3] = 0.0
    _, splines = fit(replace(frames, forces=spoilt), weights=[weights])
    assert_short_range(splines)


def test_the_frames_given_are_left_as_they_are():
    frames = ions(8)
    before = frames.forces.copy()
    fit(frames)
    np.testing.assert_array_equal(frames.forces, before)


@pytest.mark.parametrize("eps_r", ["auto", EPS_R])
def test_beads_without_charges_get_splines_alone(eps_r):
    mapping = identity_mapping({"A": 10, "B": 8})
    gas = hard_gas(20, 18, 2.0, diameter=0.3, seed=5, mapping=mapping)
    (splines,) = fit(add_pair_forces(gas, short_range), eps_r=eps_r)
    assert_short_range(splines, tolerance=1e-3)


def test_auto_takes_the_dielectric_constant_of_the_solvent_in_the_data():
    frames = ions(solvent={"name": "a liquid", "eps_r": EPS_R})
    coulomb, splines = fit(frames, eps_r="auto")
    assert coulomb.eps_r == EPS_R
    assert_short_range(splines)


@pytest.mark.parametrize(
    ("known", "settings", "warns"),
    [(298.0, {}, False), (280.0, {}, True), (None, {}, False), (280.0, {"eps_r": EPS_R}, False)],
)
def test_says_when_the_dielectric_constant_is_of_another_temperature(known, settings, warns, caplog):
    solvent = {"eps_r": EPS_R} if known is None else {"eps_r": EPS_R, "eps_r_temperature_K": known}
    frames = ions(4, solvent=solvent)
    assert frames.temperature == 300.0
    with caplog.at_level("WARNING", logger="cgnnp"):
        fit(frames, frames, **{"eps_r": "auto"} | settings)
    said = [record.message for record in caplog.records if "dielectric constant" in record.message]
    assert len(said) == warns
    assert all("of 300 K" in line and "at 280 K" in line and "give the prior its own eps_r" in line for line in said)


def test_a_number_comes_before_what_the_data_record():
    prior = prior_of(charged({"Na": 1, "Cl": 1}, SALT), {"solvent": {"eps_r": 72.0}}, eps_r=50.0)
    assert prior == ScreenedCoulomb(SALT, 50.0, CUTOFF)


@pytest.mark.parametrize("provenance", [{}, {"solvent": None}, {"solvent": {"name": "a liquid"}}])
def test_auto_without_a_recorded_solvent_says_what_to_give(provenance):
    with pytest.raises(ValueError, match=r"eps_r=auto: .*\(Na \+1, Cl -1\).*give it, e\.g\. eps_r=\d+"):
        prior_of(charged({"Na": 1, "Cl": 1}, SALT), provenance)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_dielectric_constants_that_are_not_positive_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"eps_r={wrong}: a dielectric constant must be positive"):
        CoulombTerm(eps_r=wrong)
    with pytest.raises(ValueError, match=rf"eps_r={wrong}: a dielectric constant must be positive"):
        prior_of(charged({"Na": 1, "Cl": 1}, SALT), {"solvent": {"eps_r": wrong}})


def test_names_of_solvents_are_no_dielectric_constants():
    with pytest.raises(ValueError, match=r"eps_r=water: must be a number or auto"):
        CoulombTerm(eps_r="water")


def test_net_charge_is_refused():
    frames = ions(4, {"Na": 3, "Cl": 2}, solvent={"eps_r": 72.0})
    with pytest.raises(ValueError, match=r"mapping 'ions' has a net charge of \+1 e, .*select the counter-ions too"):
        fit(frames)


def test_beads_of_one_type_with_different_charges_are_refused():
    mapping = identity_mapping({"A": 2})
    (block,) = identity_mapping({"A": 2}, bonds=((0, 1),)).blocks
    mapping = replace(mapping, blocks=(replace(block, charges=(1.0, -1.0)),))
    with pytest.raises(ValueError, match="beads of type A have different masses or charges"):
        prior_of(mapping, {})


def test_sets_of_different_solvents_are_refused_unless_one_constant_is_given():
    sets = [ions(4, eps_r=eps_r, solvent={"eps_r": eps_r}) for eps_r in (72.0, 95.0)]
    with pytest.raises(
        ValueError, match=r"data set 2: the dielectric constant .* 95, .* 72 in data set 1: give the prior one value"
    ):
        fit(*sets, eps_r="auto")
    coulomb, _ = fit(*sets, eps_r=80.0)
    assert coulomb.eps_r == 80.0


def test_sets_of_different_charges_are_refused():
    half = {name: charge / 2 for name, charge in SALT.items()}
    with pytest.raises(ValueError, match=r"data set 2: beads of type Na have a charge of 0\.5, but 1 in data set 1: "):
        fit(ions(4), ions(4, charges=half))


def test_salts_with_a_common_ion_have_one_prior():
    """Its charges are those of all ions, its tables those of the pairs that there were, whichever salt comes first."""
    other = {"K": 1.0, "Cl": -1.0}
    sets = [ions(20), ions(20, {"Cl": 7, "K": 7}, other, length=1.8, seed=6)]
    for order in (sets, sets[::-1]):
        coulomb, splines = fit(*order)
        assert coulomb == ScreenedCoulomb(SALT | other, EPS_R, CUTOFF)
        assert {frozenset(pair) for pair in splines.first_sampled()} == {
            frozenset(pair) for ions in (SALT, other) for pair in itertools.product(ions, ions)
        }
        assert_short_range(splines)
        forces = [prior_forces([coulomb, splines], part, "CPU") for part in sets]
        for part, found in zip(sets, forces, strict=True):
            away = np.abs(found - part.forces).max(axis=(1, 2))
            assert np.median(away) < 0.01 * np.sqrt(np.mean(part.forces**2))


def test_a_salt_and_beads_without_charges_have_one_prior():
    """The neutral set may come first, and has no solvent that must be known."""
    neutral = add_pair_forces(hard_gas(20, 12, 2.0, diameter=0.3, seed=8, mapping=identity_mapping({"A": 12})), short_range)
    coulomb, splines = fit(neutral, ions(solvent={"eps_r": EPS_R}), eps_r="auto")
    assert coulomb == ScreenedCoulomb({"A": 0.0} | SALT, EPS_R, CUTOFF)
    assert_short_range(splines)
    assert np.abs(prior_forces([coulomb], neutral, "CPU")).max() == 0.0


def test_priors_together_give_the_forces_back():
    frames = ions()
    forces = prior_forces(fit(frames), frames, "CPU")
    away = np.abs(forces - frames.forces).max(axis=(1, 2))  # some frames have a pair where a wall begins
    assert np.median(away) < 0.01 * np.sqrt(np.mean(frames.forces**2))


def test_charged_beads_are_not_fitted_without_coulomb():
    with pytest.raises(ValueError, match=r"eps_r=null: the beads carry charges \(Na \+1, Cl -1\)"):
        prior_of(charged({"Na": 2, "Cl": 2}, SALT), {}, eps_r=None)
    assert prior_of(identity_mapping({"A": 4}), {}, eps_r=None) is None


def test_charged_beads_are_not_fitted_without_a_term_for_their_charges():
    described = [DataDescription.of_frames(ions(30), "the salt")]
    with pytest.raises(
        ValueError, match=r"the beads of the salt are charged, but no prior term describes the Coulomb interaction"
    ):
        check_together(described, [SPLINES], ForceMatching())
    assert check_together(described, [coulomb_term(), SPLINES], ForceMatching()).names == ("Na", "Cl")


def test_terms_are_fitted_in_their_order_to_what_is_left():
    """The second of two alike finds nothing; splines before Coulomb take its short-ranged part."""
    frames = ions()
    one, two = fit_priors([replace(SPLINES, smoothing=0.0), Alone(cutoff_nm=CUTOFF, min_count=1)], [frames])
    r = np.linspace(0.0, CUTOFF, len(one.tables[0].energy))
    for first, second in zip(one.tables, two.tables, strict=True):
        beyond = r > first.first_sampled + 0.02
        size = np.ptp(np.array(first.energy)[beyond])
        assert np.abs(np.array(second.energy)[beyond]).max() < 0.02 * size
    splines, coulomb = fit_priors([SPLINES, coulomb_term()], [frames])
    assert isinstance(coulomb, ScreenedCoulomb)
    with pytest.raises(AssertionError):
        assert_short_range(splines, tolerance=1.0)


@dataclass(frozen=True, kw_only=True)
class Alone(PairSplineFit):
    """Splines that are not solved for together with others."""

    together = False


@dataclass(frozen=True)
class Field(Prior):
    """A constant force on the beads of one type (kJ/mol/nm), along x."""

    kind: ClassVar[str] = "field"
    bead_type: str
    force: float
    cutoff = None

    def create_force(self, topology):
        raise NotImplementedError

    @classmethod
    def from_entries(cls, entries):
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FieldFit(LinearTerm):
    bead_type: str
    scale: float = 1.0
    max_frames: int = 100
    ridge: float = 0.0
    smoothing: float | None = 0.0

    def basis(self, sets):
        return FieldBasis(self.bead_type, self.scale)


class FieldBasis(Basis):
    splines = (Spline("field", np.zeros((1, 1))),)

    def __init__(self, bead_type, scale):
        self.bead_type, self.scale = bead_type, scale

    def design(self, frames):
        of_type = self.scale * np.array([name == self.bead_type for name in frames.mapping.bead_types], dtype=float)
        return Design(np.array([0]), lambda t: np.concatenate([of_type, 0 * of_type, 0 * of_type])[:, None])

    def prior(self, coefficients):
        return Field(self.bead_type, float(coefficients[0]))


def test_linear_terms_are_solved_for_together():
    """Forces of pairs and of a field, where few pairs are seen from all sides: one fit gives both back, two do not."""
    mapping = identity_mapping({"A": 2, "B": 2})
    gas = add_pair_forces(hard_gas(200, 4, 2.0, diameter=0.3, seed=5, mapping=mapping), short_range)
    forces = gas.forces.copy()
    forces[:, :2, 0] += 7.0
    frames = replace(gas, forces=forces)
    splines = {"cutoff_nm": CUTOFF, "min_count": 1, "smoothing": 0.0, "knot_spacing_nm": 0.2}
    field = FieldFit(bead_type="A")
    pair, found = fit_priors([PairSplineFit(**splines), field], [frames])
    assert found.force == pytest.approx(7.0, rel=1e-4)
    assert_short_range(pair)
    one, after = fit_priors([Alone(**splines), field], [frames])
    assert abs(after.force - 7.0) > 0.01
    with pytest.raises(AssertionError):
        assert_short_range(one)


def test_the_scale_of_one_term_is_not_that_of_another():
    """A ridge is relative to the term's own part of the normal matrix: columns a million times smaller change nothing."""
    mapping = identity_mapping({"A": 2, "B": 2})
    gas = add_pair_forces(hard_gas(100, 4, 2.0, diameter=0.3, seed=5, mapping=mapping), short_range)
    forces = gas.forces.copy()
    forces[:, :2, 0] += 7.0
    splines = PairSplineFit(cutoff_nm=CUTOFF, min_count=1, smoothing=0.0, knot_spacing_nm=0.2)
    for scale in (1.0, 1e-6):
        field = FieldFit(bead_type="A", scale=scale, ridge=1e-8)
        _, found = fit_priors([splines, field], [replace(gas, forces=forces)])
        assert scale * found.force == pytest.approx(7.0, rel=1e-3)


def test_the_cutoff_of_a_term_that_these_beads_do_not_need_is_not_judged():
    neutral = hard_gas(30, 12, 2.0, diameter=0.3, seed=8, mapping=identity_mapping({"A": 12}))
    described = [DataDescription.of_frames(neutral, "the gas")]
    terms = [CoulombTerm(cutoff_nm=1.4), replace(SPLINES, cutoff_nm=0.7)]
    assert check_together(described, terms, ForceMatching()).names == ("A",)
    with pytest.raises(ValueError, match="more than half the box"):
        check_together(described, [replace(SPLINES, cutoff_nm=1.4)], ForceMatching())


def test_many_short_systems_are_smoothed_like_one():
    """Blocks for cross validation are made over systems too: the splines of noise need their penalty."""
    mapping = identity_mapping({"A": 10, "B": 8})
    gas = add_noise(add_pair_forces(hard_gas(24, 18, 2.0, diameter=0.3, seed=5, mapping=mapping), short_range), 30.0, seed=1)
    one, many = (SPLINES.fit(*sets) for sets in ([gas], [gas[k : k + 1] for k in range(24)]))
    rough = replace(SPLINES, smoothing=0.0).fit(gas)
    sizes = [[np.abs(np.diff(entry.energy[-400:], 2)).mean() for entry in prior.tables] for prior in (one, many, rough)]
    assert np.max(sizes[1]) < 3 * np.max(sizes[0])
    assert np.max(sizes[1]) < 0.3 * np.max(sizes[2])


def test_no_terms_leave_everything_to_the_network():
    assert fit_priors([], [ions(3)]) == []
