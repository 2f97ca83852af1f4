"""One fit of several data sets: other numbers of beads, other boxes, the same forces."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from systems import add_pair_forces, hard_gas, identity_mapping

from cgnnp.dataset import FramesWriter
from cgnnp.frames import Frames
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import build_graph
from cgnnp.priors import PairSpline, PriorFit
from cgnnp.simulation.bundle import load, read_manifest
from cgnnp.statistics import stratified_estimate
from cgnnp.training.fit import FitSettings
from cgnnp.workflow.data_sets import check_further, remember_further
from cgnnp.workflow.run_folder import RunFolder
from cgnnp.workflow.stages import export_stage, fit_stage, map_stage

FIT = PriorFit(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5)


def soft(r: np.ndarray) -> np.ndarray:
    """A cubic, which the pair spline holds exactly."""
    return 60 * np.clip(1 - r / 0.6, 0.0, None) ** 3


def gas(counts: dict[str, int], length: float, seed: int, n_frames: int = 30) -> Frames:
    mapping = identity_mapping(counts)
    return add_pair_forces(hard_gas(n_frames, mapping.n_beads, length, diameter=0.25, seed=seed, mapping=mapping), soft)


def make_model(**settings) -> NequIP:
    return NequIP(**{"cutoff_nm": 0.5, "layers": 1, "features": 4, "seed": 2, **settings})


@pytest.fixture
def run(tmp_path) -> RunFolder:
    folder = RunFolder.create(str(tmp_path / "run"), "gas")
    folder.begin("")
    return folder


def stored(frames: Frames, directory) -> None:
    writer = FramesWriter(directory / "replica_0", frames.meta)
    writer.append(frames.positions, frames.forces, frames.boxes)
    writer.close()


def test_two_compositions_in_one_fit_and_one_bundle(run):
    """The pair force is that of both; the bundle warns below and above the densities it has seen, not between."""
    sets = [gas({"A": 8, "B": 8}, 1.6, 1), gas({"A": 4, "B": 10}, 1.4, 2)]
    settings = FitSettings(max_epochs=1, batch_size=8, accelerator="cpu")
    run.update(data="one", more_data={"two": "digest"})
    map_stage(run, [replace(part, meta=replace(part.meta, ensemble="made")) for part in sets])
    model, priors = fit_stage(run, sets, FIT, make_model, settings, held_out_fraction=0.2, platform="CPU")
    (spline,) = priors
    assert isinstance(spline, PairSpline)
    for table in spline.tables:
        r = np.linspace(0.0, 0.6, len(table.energy))
        sampled = r >= table.first_sampled
        exact = 60 * 0.6 / 4 * (1 - r / 0.6) ** 4
        np.testing.assert_allclose(np.array(table.energy)[sampled], exact[sampled], atol=0.05)
    summary = run.summary()
    assert (summary["n_frames_train"], summary["n_frames_validation"]) == (48, 12)
    assert [row["n_beads"] for row in summary["data_sets"]] == [16, 14]
    assert all(row["r2_stderr"] > 0 for row in summary["data_sets"])
    manifest = read_manifest(export_stage(run, model, priors, sets))
    assert manifest["number_density_nm3"] == {
        "A": pytest.approx([4 / 1.4**3, 8 / 1.6**3]),
        "B": pytest.approx([8 / 1.6**3, 10 / 1.4**3]),
    }
    assert load(run.potential).mapping.n_beads == 16


def test_further_data_sets_are_remembered(run, tmp_path):
    other = gas({"A": 4, "B": 10}, 1.4, 2, 3)
    stored(other, tmp_path / "other")
    for _ in range(2):
        remember_further(run, [tmp_path / "other"], [other])
    stored(other, tmp_path / "third")
    with pytest.raises(ValueError, match=r"was fitted together with .*other.*choose another run_dir"):
        remember_further(run, [tmp_path / "third"], [other])
    shutil.rmtree(tmp_path / "other")
    stored(gas({"A": 4, "B": 10}, 1.4, 3, 3), tmp_path / "other")
    with pytest.raises(ValueError, match=r"the frames in .*other have changed"):
        remember_further(run, [tmp_path / "other"], [other])


def test_data_sets_that_do_not_belong_together_are_refused():
    mapping, other = identity_mapping({"A": 8, "B": 8}), gas({"A": 4, "B": 10}, 1.4, 2, 3)
    check_further(other, Path("x"), other.temperature, mapping)
    with pytest.raises(ValueError, match=r"more_data=hot: at .* K, the first data set is at 350 K"):
        check_further(other, Path("hot"), 350.0, mapping)
    with pytest.raises(ValueError, match=r"more_data=strange: has bead types A, C, the first data set has A, B"):
        check_further(gas({"A": 4, "C": 10}, 1.4, 2, 3), Path("strange"), other.temperature, mapping)


def test_errors_of_several_sets_are_those_of_each(run):
    """What differs between sets is no noise: errors add up like those of independent parts."""
    rng = np.random.default_rng(3)
    left = [0.9 + 0.1 * rng.normal(size=400), 5.0 + 0.1 * rng.normal(size=400)]
    parts = [np.stack([x, np.full(400, total)], axis=1) for x, total in zip(left, (1.0, 10.0), strict=True)]
    found = stratified_estimate(parts, lambda mean: 1.0 - mean[0] / mean[1])
    assert found.value == pytest.approx(1 - np.mean(left) / 5.5)
    assert found.stderr == pytest.approx(0.1 / np.sqrt(800) / 5.5, rel=0.2)
    assert found.tau_frames < 1.5
    assert found.reliable


def test_new_weights_start_within_a_bound(run):
    """Three layers of new weights have energies of any size: that of the first frame's extreme bead counts as the bound."""
    frames = gas({"A": 8, "B": 8}, 1.3, 1)
    settings = FitSettings(max_epochs=1, batch_size=8, accelerator="cpu")
    run.update(data="one")

    def bounded(**settings) -> NequIP:
        return make_model(layers=3, **{"energy_bound_kJ_mol": 0.01, **settings})

    map_stage(run, [replace(frames, meta=replace(frames.meta, ensemble="made"))])
    model, _ = fit_stage(run, [frames], FIT, bounded, settings, held_out_fraction=0.2, platform="CPU")
    new = NequIP(**model.config())
    positions, box, types = (torch.tensor(array) for array in (frames.positions[0], frames.boxes[0], frames.mapping.types))
    graph = build_graph(positions, box, types, new.cutoff, torch.float32)
    energies = new(graph.vectors, graph.receivers, graph.senders, graph.types).detach()
    assert float(energies.abs().max()) == pytest.approx(0.01 / np.sqrt(2), rel=1e-3)
