"""What the summary says of a fit to forces of which the noise is known: Gaussian, averages of eight."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from systems import add_pair_forces, hard_gas, identity_mapping

from cgnnp.frames.frames import Frames, MeanForceLabels
from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import Architecture
from cgnnp.priors import PairSplineFit
from cgnnp.statistics import explained_variance
from cgnnp.training.force_matching import ForceMatching
from cgnnp.workflow.fitting import Fitted, fit_model
from cgnnp.workflow.plan import FitPlan
from cgnnp.workflow.quality import check_draws, noise_rows

N_FORCES, SIGMA = 8, 20.0
AVERAGING_PS = 0.16


def soft(r: np.ndarray) -> np.ndarray:
    """A cubic, which the pair spline holds exactly."""
    return 60 * np.clip(1 - r / 0.6, 0.0, None) ** 3


def mean_forces(seed: int, n_frames: int = 60, second_every: int = 1) -> tuple[Frames, np.ndarray]:
    """Averages of noisy pair forces in a gas, with second draws, and the forces without noise."""
    exact = add_pair_forces(hard_gas(n_frames, 12, 1.3, diameter=0.25, seed=seed), soft)
    rng = np.random.default_rng(seed + 50)
    draws = exact.forces[:, None, None] + SIGMA * rng.normal(size=(n_frames, 2, N_FORCES, 12, 3))
    second = draws[:, 1].mean(axis=1)
    second[np.arange(n_frames) % second_every != 0] = np.nan
    halves = draws[:, 0].reshape(n_frames, 2, N_FORCES // 2, 12, 3).mean(axis=2)
    labels = MeanForceLabels(halves, draws[:, 0].var(axis=1).mean(axis=2), second)
    meta = replace(exact.meta, averaging_ps=AVERAGING_PS)
    return replace(exact, forces=draws[:, 0].mean(axis=1), labels=labels, meta=meta), exact.forces


def instantaneous(frames: Frames, exact: np.ndarray, seed: int) -> Frames:
    noise = SIGMA * np.random.default_rng(seed).normal(size=exact.shape)
    return replace(frames, forces=exact + noise, labels=None, meta=replace(frames.meta, averaging_ps=0.0))


def rows(frames: Frames, model: np.ndarray, draws: Frames | None = None, on_draws: np.ndarray | None = None) -> dict:
    """All frames held out."""
    r2 = explained_variance(frames.forces - model, frames.forces)
    return noise_rows(frames, frames, model, r2, draws, lambda other: on_draws)


def test_averages_and_single_forces_have_ceilings_of_their_own():
    """The exact mean force reaches both, and its error is zero, within 4 standard errors."""
    frames, exact = mean_forces(1)
    found = rows(frames, exact)
    signal = np.mean(exact**2)
    for key, noise in (("r2_max", SIGMA**2 / N_FORCES), ("r2_max_instantaneous", SIGMA**2)):
        assert abs(found[key] - signal / (signal + noise)) < 4 * found[f"{key}_stderr"]
    assert abs(found["r2_over_r2_max"] - 1.0) < 4 * found["r2_over_r2_max_stderr"] < 0.8
    assert abs(found["r2_instantaneous"] - found["r2_max_instantaneous"]) < 4 * found["r2_max_instantaneous_stderr"]
    assert abs(found["pmf_error_relative"]) < 4 * found["pmf_error_relative_stderr"]
    assert abs(found["label_drift"]) < 4 * found["label_drift_stderr"]
    assert (found["n_second_draws"], found["averaging_ps"]) == (60, AVERAGING_PS)


def test_a_model_without_forces_misses_everything():
    frames, exact = mean_forces(2, second_every=3)
    found = rows(frames, np.zeros_like(exact))
    assert found["pmf_error_relative"] == pytest.approx(1.0)
    chosen = np.flatnonzero(frames.labels.has_second)
    square = np.mean(frames.forces[chosen] * frames.labels.second[chosen])
    assert found["pmf_error_kJ_mol_nm"] == pytest.approx(np.sqrt(square))
    assert found["r2_over_r2_max"] == found["r2_instantaneous"] == 0.0
    assert found["n_second_draws"] == 20


def test_single_forces_are_judged_by_draws_of_another_run():
    draws, exact_of_draws = mean_forces(3, second_every=2)
    other, exact = mean_forces(4)
    frames = instantaneous(other, exact, seed=5)
    found = rows(frames, exact, draws, exact_of_draws[::2])
    signal = np.mean(exact**2)
    assert abs(found["r2_max"] - signal / (signal + SIGMA**2)) < 4 * found["r2_max_stderr"]
    assert found["r2_max"] == found["r2_max_instantaneous"]
    assert abs(found["pmf_error_relative"]) < 4 * found["pmf_error_relative_stderr"]
    assert found["n_second_draws"] == 30
    assert found["label_drift"] is None


def test_what_is_not_known_is_null():
    frames, exact = mean_forces(6)
    alone = rows(instantaneous(frames, exact, seed=7), exact)
    unknown = ("r2_max", "r2_over_r2_max", "r2_max_instantaneous", "pmf_error_kJ_mol_nm", "pmf_error_relative")
    assert [alone[key] for key in unknown] == [None] * 5
    assert alone["n_second_draws"] == 0
    single = rows(replace(frames, labels=replace(frames.labels, second=np.full_like(exact, np.nan))), exact)
    assert [single[key] for key in unknown] == [None] * 5
    assert single["r2_instantaneous"] is not None
    # Draws averaged over another time know the ceiling of single forces, not that of these averages.
    longer = replace(frames, meta=replace(frames.meta, averaging_ps=5.0))
    other = rows(replace(frames, labels=replace(frames.labels, second=np.full_like(exact, np.nan))), exact, longer, exact)
    assert other["r2_max"] is None
    assert other["r2_max_instantaneous"] > 0


def test_draws_that_tell_nothing_are_refused():
    frames, exact = mean_forces(8, n_frames=4)
    check_draws(frames, frames.meta)
    with pytest.raises(ValueError, match=r"draws=memory: the temperature is 300 K, but that of the frames to fit is 310 K"):
        check_draws(frames, replace(frames.meta, temperature=310.0))
    with pytest.raises(ValueError, match=r"draws=memory: the mapping is 'atoms', but that of the frames to fit is 'others'"):
        check_draws(frames, replace(frames.meta, mapping=replace(frames.mapping, name="others")))
    with pytest.raises(ValueError, match=r"0 of 4 frames have a second"):
        check_draws(instantaneous(frames, exact, seed=1), frames.meta)


SMALL = {"cutoff_nm": 0.5, "layers": 1, "features": 4, "seed": 2}


class Spy(PairSplineFit):
    """Remembers the weights that it was given."""

    given: ClassVar[list[np.ndarray]] = []

    def fit(self, *left, weights=None):
        self.given[:] = weights
        return super().fit(*left, weights=weights)


def fitted(frames: Frames, folder: Path) -> Fitted:
    """One epoch."""
    trainer = ForceMatching(max_epochs=1, batch_size=8, held_out_fraction=0.5, accelerator="cpu")
    prior = Spy(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5)
    return fit_model([frames], FitPlan(prior=(prior,), network=Architecture(NequIP, SMALL), trainer=trainer), folder)


def test_a_fit_to_mean_forces_says_how_close_it_comes(tmp_path):
    """A network after one epoch, in a gas that touches the prior's wall, is far off: all the figures say so alike."""
    frames, _ = mean_forces(9, n_frames=80, second_every=2)
    found = fitted(frames, tmp_path).figures
    assert Spy.given[0] == pytest.approx(np.ones(12))
    assert found.averaging_ps == AVERAGING_PS
    assert found.n_second_draws == 20
    assert found.r2_over_r2_max == pytest.approx(found.r2_model / found.r2_max)
    # Both ways to say what part of the mean force is missed; the one has the noise of the other half of the frames too.
    assert found.pmf_error_relative == pytest.approx(1 - found.r2_over_r2_max, rel=0.2)
    assert found.r2_instantaneous / found.r2_max_instantaneous == pytest.approx(found.r2_over_r2_max, rel=0.2)


def test_types_are_weighted_in_a_fit(tmp_path):
    """`identity_mapping` with two types: the prior is given unequal weights."""
    frames, _ = mean_forces(10, n_frames=40)
    mapping = identity_mapping({"A": 6, "B": 6})
    noise = 3 * np.random.default_rng(3).normal(size=(40, 6, 3)) * SIGMA
    forces = frames.forces.copy()
    forces[:, 6:] += noise
    fitted(replace(frames, forces=forces, meta=replace(frames.meta, mapping=mapping)), tmp_path)
    assert Spy.given[0][0] > 10 * Spy.given[0][6]
    assert Spy.given[0].mean() == pytest.approx(1.0)
