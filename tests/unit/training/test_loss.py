"""Terms of the loss: energies and virials beside forces, in the network, in the priors, and in a fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from configuration import compose
from systems import add_pair_forces, hard_gas, identity_mapping

from cgnnp.commands.training import training_plan
from cgnnp.frames.pairs import near_pairs
from cgnnp.models.nequip import NequIP
from cgnnp.models.pair import Pair
from cgnnp.models.potential import build_graph, energies_and_forces, energies_forces_virials
from cgnnp.models.registry import Architecture
from cgnnp.priors import PairSplineFit, ScreenedCoulomb
from cgnnp.priors.evaluation import prior_energies, prior_virials
from cgnnp.training.data import ForceSet, make_loader, with_energies
from cgnnp.training.force_matching import ForceMatching
from cgnnp.training.loss import LOSS_TERMS, Loss
from cgnnp.workflow.fitting import fit_model
from cgnnp.workflow.plan import FitPlan

CUTOFF = 0.5
MAPPING = identity_mapping({"A": 6, "B": 6})


def energy(r):
    return 40.0 * np.clip(CUTOFF - r, 0, None) ** 3


def with_all(n_frames: int, mapping=MAPPING, shift: float = 0.0):
    """A gas with pair forces f = 120 (c - r)^2 and their energies and virials."""
    gas = hard_gas(n_frames, mapping.n_beads, 1.2, diameter=0.25, seed=n_frames, mapping=mapping)
    frames = add_pair_forces(gas, lambda r: 120.0 * np.clip(CUTOFF - r, 0, None) ** 2)
    energies, virials = np.zeros(n_frames), np.zeros((n_frames, 3, 3))
    for t in range(n_frames):
        vectors = frames.positions[t][:, None] - frames.positions[t][None]
        vectors -= 1.2 * np.round(vectors / 1.2)
        i, j = np.triu_indices(mapping.n_beads, 1)
        v, r = vectors[i, j], np.linalg.norm(vectors[i, j], axis=1)
        energies[t] = energy(r).sum() + shift
        virials[t] = np.einsum("p,pa,pb->ab", 120.0 * np.clip(CUTOFF - r, 0, None) ** 2 / r, v, v)
    return replace(frames, more={"energies": energies, "virials": virials})


def test_the_virial_of_a_network_is_its_derivative_by_strain():
    model = NequIP(type_names=["A", "B"], cutoff_nm=0.6, layers=2, features=4, energy_scale=3.0, seed=3).double()
    frames, h = with_all(1), 1e-5
    types, positions = torch.tensor(MAPPING.types), torch.from_numpy(frames.positions[0].astype(np.float64))
    box = torch.from_numpy(frames.boxes[0].copy())

    def strained(strain):
        deformation = torch.eye(3, dtype=torch.float64) + strain
        return build_graph(positions @ deformation, box @ deformation, types, 0.6, torch.float64)

    energies, forces, virials = energies_forces_virials(model, strained(torch.zeros(3, 3, dtype=torch.float64)))
    for expected, found in zip(energies_and_forces(model, strained(torch.zeros(3, 3))), (energies, forces), strict=True):
        assert torch.equal(expected, found)
    for a, b in ((0, 0), (1, 1), (0, 2), (2, 1)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[a, b] = h
        high, low = (energies_and_forces(model, strained(sign * strain))[0].item() for sign in (1, -1))
        assert virials[0, a, b].item() == pytest.approx(-(high - low) / (2 * h), rel=1e-4, abs=1e-5)


def test_energies_and_virials_of_priors_are_sums_over_pairs():
    frames = with_all(40)
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1, knot_spacing_nm=0.05, smoothing=0.0).fit(frames)
    few = frames[:3]  # the spline holds the force exactly, its table to 1e-4 nm
    np.testing.assert_allclose(prior_energies([prior], few), few.energies, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(prior_virials([prior], few), few.virials, rtol=1e-3, atol=5e-2)
    assert prior_energies([], few).tolist() == [0.0] * 3
    assert not prior_virials([], few).any()


def test_the_trace_of_a_coulomb_virial_is_its_energy():
    """A homogeneous function of degree -1: sum_i r_i f_i = U (Euler); off-diagonal elements follow from Ewald sums alike."""
    frames = with_all(2)
    prior = ScreenedCoulomb({"A": 1.0, "B": -1.0}, 30.0, 0.55)
    virials = prior_virials([prior], frames)
    assert np.trace(virials, axis1=1, axis2=2) == pytest.approx(prior_energies([prior], frames), rel=5e-3)


@pytest.mark.parametrize("tilt", [(0.5, 0.0, 0.5), (0.5, 0.5, 0.5), (-0.5, 0.0, 0.0)])
def test_virials_of_priors_in_cells_whose_tilt_is_half_an_edge(tilt):
    """As hexagonal cells and dodecahedra have it: the strained cell is another cell of the same lattice."""
    frames = with_all(2)
    prior = PairSplineFit(cutoff_nm=CUTOFF, min_count=1, knot_spacing_nm=0.05, smoothing=0.0).fit(with_all(40))
    box = 1.3 * np.array([[1.0, 0.0, 0.0], [tilt[0], 1.0, 0.0], [tilt[1], tilt[2], 1.0]])
    frames = replace(frames, boxes=np.tile(box, (2, 1, 1)), more={})
    virials, h = prior_virials([prior], frames), 1e-3
    for a, b in ((0, 0), (2, 2)):  # by another route: forces along an axis that is stretched
        stretch = np.eye(3)
        energies = []
        for sign in (1, -1):
            stretch[a, b] = 1 + sign * h
            moved = replace(frames, positions=frames.positions @ stretch, boxes=frames.boxes @ stretch)
            energies.append(prior_energies([prior], moved))
        assert virials[:, a, b] == pytest.approx(-(energies[0] - energies[1]) / (2 * h), rel=1e-2, abs=1e-2)
    for t in range(2):
        pairs = near_pairs(frames.positions[t], box, CUTOFF)
        forces = 120.0 * (CUTOFF - pairs.distances) ** 2 / pairs.distances
        exact = np.einsum("p,pa,pb->ab", forces, pairs.vectors, pairs.vectors)
        np.testing.assert_allclose(virials[t], exact, rtol=1e-2, atol=0.2)


def test_energies_of_single_beads_are_taken_off():
    """Two compositions know the energies of both types; of one composition all energies are differences."""
    sets = [with_all(5), with_all(7, identity_mapping({"A": 4, "B": 8}))]
    exact = {"A": -3.0, "B": 11.0}
    left = []
    for frames in sets:
        own = sum(exact[name] for name in frames.mapping.bead_types)
        energies = frames.energies - frames.energies.mean() + own
        left.append(ForceSet(replace(frames, more={"energies": energies}), np.zeros_like(frames.forces)))
    found, single = with_energies(left, [np.zeros(len(frames)) for frames in sets])
    assert single == pytest.approx(exact)
    for data, frames in zip(found, sets, strict=True):
        np.testing.assert_allclose(data.energies, frames.energies - frames.energies.mean(), atol=1e-9)
    (one,), _ = with_energies(left[:1], [np.ones(5)])
    np.testing.assert_allclose(one.energies, sets[0].energies - sets[0].energies.mean(), atol=1e-9)


@pytest.mark.parametrize("weights", [{"forces": 1.0}, {"energies": 2.0}, {"virials": 0.5}, dict.fromkeys(LOSS_TERMS, 1.0)])
def test_each_term_is_one_for_a_network_without_energy(weights):
    frames = with_all(6)
    data = ForceSet(frames, np.zeros_like(frames.forces), energies=frames.energies - 1.0, virials=frames.virials)
    model = Pair(type_names=["A", "B"], cutoff_nm=0.6, energy_scale=0.0)
    loss = Loss(weights).of([data])
    (batch,) = make_loader([data], model, 6)
    assert float(loss(model, batch).detach()) == pytest.approx(sum(weights.values()), rel=1e-6)
    if "energies" in weights:
        other = replace(data, energies=data.energies + 12 * 7.0)  # a constant for each bead
        (batch,) = make_loader([other], model, 6)
        assert float(Loss(weights).of([other])(model, batch).detach()) == pytest.approx(sum(weights.values()), rel=1e-6)


def test_energies_and_virials_count_by_the_bead():
    """Of frames of different sizes, by hand."""
    small, large = with_all(4), with_all(3, identity_mapping({"A": 10, "B": 10}))
    sets = [
        ForceSet(frames, np.zeros_like(frames.forces), energies=np.array(frames.energies), virials=np.array(frames.virials))
        for frames in (small, large)
    ]
    model = Pair(type_names=["A", "B"], cutoff_nm=0.6, energy_scale=2.0, seed=1)
    (batch,) = make_loader(sets, model, 7)
    found = dict(zip(("energies", "forces", "virials"), energies_forces_virials(model, batch.graph), strict=True))
    n = np.array([12.0] * 4 + [20.0] * 3)
    for name in ("energies", "virials"):
        expected = np.concatenate([getattr(data, name) for data in sets])
        away = (found[name].detach().numpy() - expected) / (n if name == "energies" else n[:, None, None])
        square = expected / (n if name == "energies" else n[:, None, None])
        if name == "energies":
            away, square = away - away.mean(), square - square.mean()
        loss = Loss({name: 1.0}).of(sets)
        assert float(loss(model, batch).detach()) == pytest.approx(np.mean(away**2) / np.mean(square**2), rel=1e-6)


@pytest.mark.parametrize("term", ["energies", "virials"])
def test_a_fit_to_energies_or_virials_alone_finds_the_forces(term, tmp_path):
    """They determine a pair potential, up to what no frame depends on; that of single beads is not found, and not needed."""
    settings = {"loss": {term: 1.0}, "accelerator": "cpu", "held_out_fraction": 0.2, "patience": 40}
    trainer = ForceMatching(max_epochs=40, learning_rate=0.03, **settings)
    fitted = fit_model([with_all(120, shift=500.0)], FitPlan(prior=(), network=small_pairs(), trainer=trainer), tmp_path)
    assert fitted.priors == ()
    assert fitted.figures.r2_prior == 0.0
    assert fitted.figures.r2_model > 0.9


def small_pairs():
    return Architecture(Pair, {"cutoff_nm": 0.55, "knots": 20})


def test_frames_without_energies_are_refused(tmp_path):
    frames = replace(with_all(30), more={})
    plan = FitPlan(prior=(), network=small_pairs(), trainer=ForceMatching(loss={"forces": 1.0, "energies": 0.1}))
    with pytest.raises(ValueError, match=r"data set 1 has no energies, but the trainer is to fit them: .*mapping=atoms"):
        fit_model([frames], plan, tmp_path)
    assert not list(tmp_path.iterdir())


def test_energies_that_sampling_will_not_make_are_refused_before_it(tmp_path):
    options = ("trainer.loss.energies=0.1", f"data_dir={tmp_path}", f"run_dir={tmp_path / 'run'}", "platform=Reference")
    with pytest.raises(ValueError, match=r"the first data set has no energies, but the trainer is to fit them"):
        training_plan(compose("train", *options))


def test_a_term_with_nothing_to_explain_is_refused():
    frames = with_all(6)
    data = ForceSet(frames, np.zeros_like(frames.forces), energies=np.zeros(6))
    with pytest.raises(ValueError, match=r"loss\.energies: there is nothing to fit"):
        Loss({"energies": 1.0}).of([data])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"force": 1.0}, r"loss\.force: there is no such term: choose from forces, energies, virials"),
        ({"forces": -1.0}, r"loss\.forces=-1\.0: must be a finite number, 0 or more"),
        ({"forces": float("nan")}, r"loss\.forces=nan"),
        ({"forces": 0.0}, r"loss: all weights are 0"),
        ({}, r"loss: all weights are 0"),
    ],
)
def test_losses_that_cannot_be(loss, message):
    with pytest.raises(ValueError, match=message) as caught:
        ForceMatching(loss=loss)
    assert caught.value.configured.startswith("trainer.loss")
