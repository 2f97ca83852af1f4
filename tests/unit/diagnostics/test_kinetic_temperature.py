"""Kinetic temperatures and their errors, against velocities of free Langevin particles, which are known exactly."""

import numpy as np
import pytest

from cgnnp.diagnostics.kinetic_temperature import (
    KineticTemperature,
    TemperatureHistory,
    Thermometer,
    combined,
    independent_frames,
)
from cgnnp.units import BOLTZMANN

FRICTION, INTERVAL = 2.0, 0.1


def kinetic_energies(runs: int, n_frames: int, n_dof: int, *, kelvin: float = 300.0, seed: int = 0) -> np.ndarray:
    """Kinetic energies (runs, frames) in kJ/mol of free particles: every momentum is an Ornstein-Uhlenbeck process."""
    rng = np.random.default_rng(seed)
    kept = np.exp(-FRICTION * INTERVAL)
    velocities = rng.normal(size=(runs, n_dof))
    energies = np.empty((runs, n_frames))
    for frame in range(n_frames):
        energies[:, frame] = 0.5 * BOLTZMANN * kelvin * np.sum(velocities**2, axis=1)
        velocities = kept * velocities + np.sqrt(1 - kept**2) * rng.normal(size=velocities.shape)
    return energies


def thermometer(n_dof: int) -> Thermometer:
    return Thermometer(n_dof, 300.0, FRICTION, INTERVAL)


@pytest.mark.parametrize(("n_dof", "n_frames"), [(3, 1), (9, 1), (9, 5), (81, 1), (81, 20)])
def test_the_error_is_that_of_means_over_correlated_frames(n_dof, n_frames):
    energies = kinetic_energies(4000, n_frames, n_dof)
    found = [thermometer(n_dof).read(row) for row in energies]
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(300.0, abs=5 * values.std() / 4000**0.5)
    assert values.std() == pytest.approx(found[0].stderr, rel=0.06)
    sigmas = np.array([one.sigmas for one in found])
    assert np.abs(sigmas.mean()) < 0.08
    # 4.55 % of a Gaussian lie beyond two of its standard deviations; of 4000 one standard error is 0.33 %.
    assert np.mean(np.abs(sigmas) > 2) == pytest.approx(0.0455, abs=0.0135)


@pytest.mark.medium
def test_a_good_run_of_few_beads_is_never_stopped():
    """A Gaussian would stop one frame in 2000 of three degrees of freedom; here 2 of 10^9 are expected."""
    for n_dof in (1, 3, 12, 81):
        energies = kinetic_energies(20000, 1, n_dof, seed=n_dof)
        found = [thermometer(n_dof).read(row) for row in energies]
        assert not any(one.is_wrong for one in found)
        assert np.mean([one.is_suspect() for one in found]) < 1e-3  # 6e-5 expected


def test_independent_frames_between_their_limits():
    assert independent_frames(50, 0.4, 0.0) == pytest.approx(1.0)
    assert independent_frames(50, 0.4, 1e-9) == pytest.approx(1.0)
    assert independent_frames(50, 10.0, 5.0) == pytest.approx(50.0)
    assert independent_frames(50, float("inf"), 0.0) == 50.0
    assert independent_frames(1, 0.4, 2.0) == 1.0
    # Long and dense: the length over twice the correlation time 1 / (2 gamma).
    assert independent_frames(100_000, 0.002, 2.0) == pytest.approx(200.0 * 2.0, rel=0.01)
    # 1 + 2 sum_k (1 - k / n) rho^k over the whole series, and cut off where nothing is left of it.
    k, rho = np.arange(1, 400), np.exp(-2 * 2.0 * 0.05)
    assert independent_frames(400, 0.05, 2.0) == pytest.approx(400 / (1 + 2 * np.sum((1 - k / 400) * rho**k)))


@pytest.mark.parametrize(
    ("value", "stderr", "wrong", "suspect"),
    [
        (300.0, 1.0, False, False),
        (308.9, 0.5, False, False),
        (309.1, 0.5, False, True),
        (291.0, 0.5, False, True),
        (312.0, 3.1, False, False),
        (329.0, 1.0, False, True),
        (331.0, 1.0, True, True),
        (269.0, 1.0, True, True),
        (345.0, 10.0, False, True),
        (361.0, 5.0, True, True),
        (1.4e6, 5.0, True, True),
        (float("inf"), 5.0, True, True),
        (float("nan"), 5.0, True, True),
    ],
)
def test_thresholds(value, stderr, wrong, suspect):
    found = KineticTemperature(value, stderr, 300.0)
    assert found.is_wrong is wrong
    assert found.is_suspect() is suspect


def test_chunks_that_alone_tell_nothing_tell_it_together():
    """27 beads at 400 K, one frame a chunk: a standard error is 47 K."""
    history = TemperatureHistory(thermometer(81))
    (energies,) = kinetic_energies(1, 200, 81, kelvin=400.0)
    assert not any(thermometer(81).read(energies[k : k + 1]).is_wrong for k in range(200))
    for count, energy in enumerate(energies, 1):  # noqa: B007
        history.add(np.array([energy]))
        if wrong := history.wrong():
            break
    assert 5 < count < 150
    assert wrong.startswith("does not hold its temperature: ")
    assert "in all frames so far, more than 10 % and 6 standard errors from the thermostat's 300 K" in wrong


def test_a_run_warns_once_and_goes_on_where_it_ended():
    energies = kinetic_energies(40, 50, 648, kelvin=320.0)
    history = TemperatureHistory(thermometer(648))
    infos, warnings = [], []
    for chunk in energies:
        infos.append({"n_frames": 50, **history.add(chunk)})
        assert history.wrong() is None
        warnings += [text for text in [history.suspect()] if text]
    (warning,) = warnings
    assert warning.endswith("the thermostat is at 300 K")
    known = thermometer(648).of_chunks(infos)
    assert known.value == pytest.approx(np.mean(energies) * 2 / (648 * BOLTZMANN))
    assert known.stderr == pytest.approx(300 * (2 / 648 / independent_frames(2000, INTERVAL, FRICTION)) ** 0.5)
    assert thermometer(648).of_chunks([{"n_frames": 50}]) is None
    continued = TemperatureHistory(thermometer(648), [{"n_frames": 50}, *infos])
    continued.add(energies[0][:1])  # one frame, which alone would be no reason
    assert continued.suspect()


def warming(n_frames: int, *, start: float = 0.5, seed: int = 0) -> np.ndarray:
    """Kinetic energies of a run whose kinetic temperature begins at `start` times 300 K, and forgets it as exp(-gamma t)."""
    (energies,) = kinetic_energies(1, n_frames, 6000, seed=seed)
    return energies * (1 + (start - 1) * np.exp(-FRICTION * INTERVAL * (1 + np.arange(n_frames))))


@pytest.mark.parametrize("chunk_frames", [1, 10, 300])
@pytest.mark.parametrize("start", [0.1, 0.5, 1.6])
def test_a_run_that_has_not_settled_is_neither_stopped_nor_warned_of(start, chunk_frames):
    history = TemperatureHistory(thermometer(6000), equilibration_ps=0.0)
    energies = warming(300, start=start)
    assert KineticTemperature(float(np.mean(energies[:10])) / 3000 / BOLTZMANN, 2.0, 300.0).is_wrong
    for k in range(0, 300, chunk_frames):
        history.add(energies[k : k + chunk_frames])
        assert history.wrong() is None
        assert history.suspect() is None


def test_a_run_that_blows_up_is_stopped_before_it_has_settled():
    for value in (3.0, 1e4, np.inf, np.nan):
        history = TemperatureHistory(thermometer(600), equilibration_ps=0.0)
        history.add(value * warming(5))
        assert history.wrong().startswith("blew up: ")


def test_a_run_is_judged_from_the_time_on_that_it_has_settled():
    """5 / gamma is 2.5 ps here, 25 frames, equilibration included; a run that goes on knows how far it was."""
    cold = kinetic_energies(1, 60, 6000, kelvin=200.0)[0]
    history, infos = TemperatureHistory(thermometer(6000), equilibration_ps=0.51), []
    for k in range(0, 40, 10):
        infos.append({"n_frames": 10, **history.add(cold[k : k + 10])})
        assert (history.wrong() is None) is (k < 10)  # frames 1 to 19 are before 2.5 ps
    assert "in the last 10 frames" in history.wrong()
    continued = TemperatureHistory(thermometer(6000), infos[:1], equilibration_ps=0.51)
    continued.add(cold[10:20])
    assert "in the last 1 frames" in continued.wrong()
    later = TemperatureHistory(thermometer(6000), infos, equilibration_ps=0.51)
    later.add(warming(1, start=1.0))
    assert "in all 21 frames judged so far" in later.wrong()


def test_independent_runs_together():
    one, other = KineticTemperature(302.0, 1.0, 300.0), KineticTemperature(297.0, 2.0, 300.0)
    both = combined([one, other])
    assert both.value == pytest.approx(301.0)
    assert both.stderr == pytest.approx(0.8**0.5)
    assert combined([]) is None
    assert str(one) == "302(1) K"
