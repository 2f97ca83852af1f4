"""What a network is given must be its own: weights of another one, and beads of types that it does not know."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from systems import add_noise, hard_gas, identity_mapping

from cgnnp.frames.frames import Frames
from cgnnp.models.nequip import NequIP
from cgnnp.models.schnet import SchNet
from cgnnp.models.weights import load_weights
from cgnnp.training.data import ForceSet, average_neighbors, make_loader
from cgnnp.training.force_matching import ForceMatching
from cgnnp.training.metrics import predict_forces

WEIGHTS, MODEL = Path("potential/model.safetensors"), Path("potential/model.json")


def network(**settings) -> NequIP:
    return NequIP(**{"type_names": ["A"], "cutoff_nm": 0.5, "layers": 1, "features": 4, "seed": 1, **settings})


def test_own_weights_are_taken():
    one, other = network(), network(seed=2)
    load_weights(other, one.state_dict(), WEIGHTS, MODEL)
    assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            SchNet(type_names=["A"], cutoff_nm=0.5),
            r"of the SchNet .*\(missing: .* and \d+ more; unknown: .*; wrong shape: .*\):",
        ),
        (network(features=5), r"of the NequIP .*\(wrong shape: embedding \(1, 4\) instead of \(1, 5\), .* and \d more\):"),
        (
            network(type_names=["A", "B"]),
            r"wrong shape: embedding \(1, 4\) instead of \(2, 4\), inner \(1, 1\) instead of \(2, 2\)\):",
        ),
        (network(layers=2), r"\(missing: interactions\.0\.after\.1\.weight, .* and 6 more; wrong shape"),
    ],
    ids=["another architecture", "features", "types", "layers"],
)
def test_weights_of_another_network_are_refused_in_a_line(model, message):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message) as refused:
        load_weights(model, network().state_dict(), WEIGHTS, MODEL)
    text = str(refused.value)
    assert text.startswith("potential/model.safetensors: not the weights of")
    assert "that model.json describes" in text
    assert "export or fit again" in text
    assert "\n" not in text
    assert len(text) < 600
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_is_no_tensor_is_refused():
    with pytest.raises(ValueError, match=r"embedding int instead of \(1, 4\)"):
        load_weights(network(), {**network().state_dict(), "embedding": 3}, WEIGHTS, MODEL)


def data(counts: dict[str, int]) -> ForceSet:
    mapping = identity_mapping(counts)
    frames: Frames = add_noise(hard_gas(6, mapping.n_beads, 1.3, diameter=0.2, seed=1, mapping=mapping), 1.0, seed=2)
    return ForceSet(frames, np.zeros_like(frames.forces))


def test_beads_of_types_that_the_network_does_not_know_are_refused(tmp_path):
    known, unknown = data({"A": 6}), data({"A": 3, "K": 2, "Cs": 2})
    message = re.escape("beads of type Cs, K: the network knows only A: take a network")
    with pytest.raises(ValueError, match=message):
        predict_forces(network(), unknown)
    settings = ForceMatching(max_epochs=1, accelerator="cpu")
    for training, validation in (([known, unknown], [known]), ([known], [unknown])):
        with pytest.raises(ValueError, match=message):
            settings.fit(network(), training, validation, tmp_path)
    assert not list(tmp_path.iterdir())
    assert predict_forces(network(type_names=["Cs", "A", "K"]), unknown).shape == (6, 7, 3)


def test_a_batch_holds_no_more_frames_than_there_are():
    (one,) = make_loader([data({"A": 6})], network(), batch_size=10**30)
    assert one.forces.shape == (36, 3)


def test_the_average_number_of_neighbors_is_that_of_an_ideal_gas():
    """(N - 1) / V 4/3 pi r^3 of independent beads."""
    n_beads, length, cutoff = 200, 2.0, 0.6
    frames = hard_gas(20, n_beads, length, diameter=0.0, seed=5, mapping=identity_mapping({"A": 120, "B": 80}))
    expected = (n_beads - 1) / length**3 * 4 / 3 * np.pi * cutoff**3
    assert average_neighbors(frames, cutoff) == pytest.approx(expected, rel=0.03)
    assert average_neighbors(frames, 0.01) == 1.0, "sums are never divided by less"
