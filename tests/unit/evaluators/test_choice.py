"""A new evaluator is one class and one entry in the list: it is compared with plain torch before it is used."""

import logging

import numpy as np
import pytest
import torch

from cgnnp.evaluators import choice
from cgnnp.evaluators.choice import PLAIN, disagreement, evaluate, evaluator_of, moving_forces
from cgnnp.evaluators.evaluator import GRAPHS, MOVING
from cgnnp.evaluators.plain import MovingTorch, PlainTorch
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import build_graph
from cgnnp.models.schnet import SchNet

BOX = 1.5 * torch.eye(3, dtype=torch.float64)
POSITIONS = 1.5 * torch.rand(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TYPES = torch.arange(12) % 2


class Scaled(PlainTorch):
    """Plain torch whose forces are those times a factor: 1 for one that is right."""

    name = "the scaled network"
    tolerance = {torch.float32: 1e-3, torch.float64: 1e-9}  # noqa: RUF012

    def __init__(self, factor: float = 1.0) -> None:
        self.factor, self.calls = factor, 0

    def supports(self, model, device):
        return None if isinstance(model, SchNet) else "it is for SchNet"

    def is_meant_for(self, model):
        return isinstance(model, SchNet)

    def of_graph(self, model, graph, create_graph=False):
        self.calls += 1
        energies, forces = super().of_graph(model, graph, create_graph)
        return energies, self.factor * forces


@pytest.fixture
def log(monkeypatch, caplog):
    monkeypatch.setattr(choice.log, "propagate", True)
    monkeypatch.setattr(choice, "_said", set())
    caplog.set_level(logging.INFO, "cgnnp")
    return caplog


def schnet(dtype=torch.float64) -> SchNet:
    return SchNet(type_names=["A", "B"], cutoff_nm=0.6, layers=1, features=4).to(dtype)


def graph_for(model):
    return build_graph(POSITIONS, BOX, TYPES, model.cutoff, model.precision())


def test_an_entry_in_the_list_is_all_it_needs(monkeypatch, log):
    new, model = Scaled(), schnet()
    monkeypatch.setattr(choice, "EVALUATORS", [*choice.EVALUATORS, new])
    assert evaluator_of(model, GRAPHS) is new
    assert evaluator_of(model, MOVING) is new
    calls = new.calls
    for found, expected in zip(evaluate(model, graph_for(model)), PLAIN.of_graph(model, graph_for(model)), strict=True):
        torch.testing.assert_close(found, expected)
    assert new.calls == calls + 1
    assert isinstance(moving_forces(model, TYPES), MovingTorch)
    assert log.text == ""


@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_one_that_computes_something_else_is_not_used(factor, monkeypatch, log):
    monkeypatch.setattr(choice, "EVALUATORS", [Scaled(factor)])
    assert evaluator_of(schnet(), GRAPHS) is PLAIN
    assert "the scaled network: off by" in log.text


def test_after_one_that_is_wrong_the_next_is_tried(monkeypatch, log):
    right = Scaled()
    monkeypatch.setattr(choice, "EVALUATORS", [Scaled(1.001), right])
    assert evaluator_of(schnet(), GRAPHS) is right
    assert "the scaled network: off by" in log.text


def test_another_precision_is_judged_by_its_own_tolerance(monkeypatch):
    new = Scaled(1.0 + 1e-6)
    monkeypatch.setattr(choice, "EVALUATORS", [new])
    assert disagreement(new, schnet(), GRAPHS) == pytest.approx(1e-6, rel=0.5)
    assert evaluator_of(schnet(torch.float32), GRAPHS) is new
    assert evaluator_of(schnet(), GRAPHS) is PLAIN


def test_a_log_line_says_why_there_is_none(monkeypatch, log):
    monkeypatch.setattr(choice, "EVALUATORS", [Scaled()])
    model = NequIP(type_names=["A"], features=4, layers=1, l_max=0)
    for _ in range(2):
        assert evaluator_of(model, GRAPHS) is PLAIN
    assert [record.getMessage() for record in log.records] == ["the network runs in plain torch: it is for SchNet"]
    assert np.isfinite(moving_forces(model, torch.zeros(12, dtype=torch.int64))(POSITIONS.numpy(), BOX.numpy())[0])
