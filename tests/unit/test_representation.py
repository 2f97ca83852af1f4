"""What a notebook shows of objects with large arrays: ten lines at most, with what somebody wants to know."""

import dataclasses
import inspect
from importlib import import_module

import numpy as np
import pytest
import torch
from systems import charged_mapping, identity_mapping
from test_imports import MODULES

from cgnnp.analysis.rdf import rdf
from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.frames.metadata import FramesMeta
from cgnnp.models.mace import MACE
from cgnnp.models.nequip import NequIP
from cgnnp.models.pair import Pair
from cgnnp.models.potential import build_graph
from cgnnp.priors import PairSplineFit
from cgnnp.runtime.representation import LINES, WIDTH, short
from cgnnp.simulation.potential_files import load, save_bundle


def lines_of(value: object) -> list[str]:
    found = repr(value).splitlines()
    assert len(found) <= LINES
    assert max(map(len, found)) <= WIDTH
    return found


def test_frames(soft_spheres):
    first, *rest = lines_of(soft_spheres)
    assert first == "Frames: 1500 of 14 beads (14 AR), every 1 ps, NVT at 300 K"
    assert any("first box (" in line and line.endswith("nm") for line in rest)
    assert "0 of 14 beads" in repr(soft_spheres[:0])
    lines_of(soft_spheres.meta)


def test_frames_with_averages_and_a_thousand_bead_types():
    counts = {f"TYPE{k}": 1 for k in range(1000)}
    arrays = np.zeros((2, 1000, 3))
    labels = MeanForceLabels(np.zeros((2, 2, 1000, 3)), np.zeros((2, 1000)), np.full((2, 1000, 3), np.nan))
    meta = FramesMeta(identity_mapping(counts), 300.0, 1.0, averaging_ps=0.5, provenance={"of": "x" * 10_000})
    frames = Frames(arrays, arrays, np.tile(np.eye(3), (2, 1, 1)), meta, labels)
    assert "averages over 0.5 ps, 0 frames have a second average" in repr(frames)
    for value in (frames, meta, labels, frames.mapping, frames.mapping.blocks[0]):
        lines_of(value)


def test_a_mapping():
    mapping = charged_mapping({"Na": 4, "Cl": 4}, {"Na": 1.0, "Cl": -1.0})
    found = lines_of(mapping)
    assert f"{mapping.n_beads} beads of {mapping.n_atoms} atoms" in found[0]
    assert any("Na (" in line and "+1 e)" in line for line in found)


@pytest.mark.parametrize("kind", [NequIP, MACE, Pair])
def test_networks(kind):
    model = kind(type_names=["A", "B"], cutoff_nm=0.5, seed=0)
    text = " ".join(lines_of(model))
    assert text.startswith(f"{kind.__name__}(")
    assert "cutoff_nm=0.5" in text
    assert f"{sum(weights.numel() for weights in model.parameters())} weights, float32" in text
    positions, types = torch.rand(50, 3, dtype=torch.float64), torch.zeros(50, dtype=torch.int64)
    graph = build_graph(positions, torch.eye(3, dtype=torch.float64), types, 0.4, torch.float32)
    assert "vectors=<torch.float32 (" in repr(graph)
    lines_of(graph)


def test_a_potential(soft_spheres, tmp_path):
    prior = PairSplineFit(cutoff_nm=0.5, min_count=5).fit(soft_spheres[:50])
    lines_of(prior)
    lines_of(prior.tables[0])
    model = NequIP(type_names=["AR"], cutoff_nm=0.5, layers=1, features=4, seed=0)
    save_bundle(tmp_path / "potential", model, [prior], [soft_spheres[:3]])
    found = lines_of(load(tmp_path / "potential"))
    assert "at 300 K" in found[0]
    assert "bead AR: 39.9 Da, +0 e, trained at" in found[1]
    assert any("network NequIP(" in line for line in found)


def test_results(soft_spheres):
    (curve,) = rdf(soft_spheres)
    assert "g=<float64 (" in " ".join(lines_of(curve))


def array_dataclasses() -> list[type]:
    """Dataclasses of the package one of whose entries is declared to be an array."""
    found = []
    for module in MODULES:
        for kind in vars(import_module(module)).values():
            if inspect.isclass(kind) and kind.__module__ == module and dataclasses.is_dataclass(kind):
                hints = [str(entry.type) for entry in dataclasses.fields(kind)]
                if any("Float[" in hint or "Int[" in hint or "ndarray" in hint or "Tensor" in hint for hint in hints):
                    found.append(kind)
    return found


def test_every_public_dataclass_of_arrays_is_brief():
    """A new one that is not shows thousands of numbers: decorate it with `cgnnp.runtime.representation.brief`."""
    kinds = array_dataclasses()
    assert len(kinds) > 10
    long = [kind.__qualname__ for kind in kinds if kind.__repr__.__code__.co_filename.endswith("reprlib.py")]
    assert not long


def test_short():
    assert short(np.array([1.0, np.nan])) == "<float64 (2,), 1 not finite>"
    assert short((1, 2)) == "(1, 2)"
    assert short((1,)) == "(1,)"
    assert short("x" * 1000) == f"'{'x' * 96}..."
