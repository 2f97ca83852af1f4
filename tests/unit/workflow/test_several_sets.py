"""One fit of several data sets: other numbers of beads, other boxes, the same forces."""

from dataclasses import replace

import numpy as np
import pytest
from systems import add_pair_forces, hard_gas, identity_mapping

from cgnnp.dataset import FramesWriter
from cgnnp.frames import Frames
from cgnnp.models.nequip import NequIP
from cgnnp.priors import PairSpline, PriorFit
from cgnnp.simulation.bundle import load, read_manifest
from cgnnp.training.fit import FitSettings
from cgnnp.workflow.run_folder import RunFolder
from cgnnp.workflow.stages import export_stage, fit_stage, more_frames

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
    manifest = read_manifest(export_stage(run, model, priors, sets))
    assert manifest["number_density_nm3"] == {
        "A": pytest.approx([4 / 1.4**3, 8 / 1.6**3]),
        "B": pytest.approx([8 / 1.6**3, 10 / 1.4**3]),
    }
    assert load(run.potential).mapping.n_beads == 16


def test_further_data_sets_are_read_and_remembered(run, tmp_path):
    first, other = gas({"A": 8, "B": 8}, 1.6, 1, 4), gas({"A": 4, "B": 10}, 1.4, 2, 3)
    stored(other, tmp_path / "other")
    (found,) = more_frames(run, [tmp_path / "other"], first)
    np.testing.assert_allclose(found.positions, other.positions, atol=1e-6)
    assert more_frames(run, [tmp_path / "other"], first)
    stored(gas({"A": 4, "B": 10}, 1.4, 3, 2), tmp_path / "third")
    with pytest.raises(ValueError, match=r"was fitted together with .*other.*choose another run_dir"):
        more_frames(run, [tmp_path / "third"], first)


def test_data_sets_that_do_not_belong_together_are_refused(run, tmp_path):
    first = gas({"A": 8, "B": 8}, 1.6, 1, 4)
    hot = gas({"A": 4, "B": 10}, 1.4, 2, 3)
    stored(replace(hot, meta=replace(hot.meta, temperature=350.0)), tmp_path / "hot")
    with pytest.raises(ValueError, match=r"more_data=.*hot: at 350 K, the first data set is at"):
        more_frames(run, [tmp_path / "hot"], first)
    stored(gas({"A": 4, "C": 10}, 1.4, 2, 3), tmp_path / "strange")
    with pytest.raises(ValueError, match=r"more_data=.*strange: has bead types A, C, the first data set has A, B"):
        more_frames(run, [tmp_path / "strange"], first)
    with pytest.raises(FileNotFoundError):
        more_frames(run, [tmp_path / "nowhere"], first)
