"""The check of a potential finds what is wrong with it, and nothing in one that is sound."""

import json
import logging
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from systems import charged_mapping, hard_gas

import cgnnp
from cgnnp.analysis.figures import LIGHT
from cgnnp.dynamics.langevin_dynamics import SimulationFailed
from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import create_model
from cgnnp.priors import PairSpline, ScreenedCoulomb
from cgnnp.priors.pair_spline import PairTable
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.simulation.short_run import Drift
from cgnnp.units import thermal_energy
from cgnnp.workflow.potential_check.all_tests import TESTS
from cgnnp.workflow.potential_check.check import check_potential
from cgnnp.workflow.potential_check.figure import TimeSteps
from cgnnp.workflow.potential_check.integration import StepFigures, time_step_rows
from cgnnp.workflow.potential_check.settings import check_settings
from cgnnp.workflow.potential_check.speed import processor_name
from cgnnp.workflow.potential_check.stress import STRESS, closest_approach, rock_salt, rock_salt_sites
from cgnnp.workflow.potential_check.subject import Subject

KT, FIRST_NM, CUTOFF_NM = thermal_energy(300.0), 0.3, 0.6
R = np.linspace(0.0, CUTOFF_NM, 601)


def repulsion(hole_kT: float = 0.0) -> np.ndarray:
    """(0.32 nm / r)^12 kT, zero at the cutoff, on the grid of a table; perhaps with a hole at 0.2 nm."""
    energy = (0.32 / np.maximum(R, 0.12)) ** 12 - (0.32 / CUTOFF_NM) ** 12
    return KT * (energy - hole_kT * np.exp(-(((R - 0.2) / 0.02) ** 2) / 2))


def exported(folder, table: np.ndarray, mapping=None, n_beads: int = 27, first=FIRST_NM, charges=None):
    """A potential of a pair table and of a network that is as good as none."""
    frames = hard_gas(4, n_beads, 1.5, diameter=FIRST_NM, seed=3, mapping=mapping)
    names = list(frames.mapping.type_names)
    settings = {
        **{"type_names": names, "cutoff_nm": 0.5, "inner_cutoff_nm": [[0.2] * len(names)] * len(names), "features": 4},
        **{"layers": 1, "avg_num_neighbors": 5.0, "energy_scale": 1e-9, "seed": 1},
    }
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k:]]
    priors = [PairSpline(tuple(PairTable(pair, first, tuple(table)) for pair in pairs), CUTOFF_NM)]
    priors += [] if charges is None else [ScreenedCoulomb(charges, eps_r=72.0, cutoff_nm=CUTOFF_NM)]
    return save_bundle(folder / "potential", create_model(NequIP, settings, torch.float32), priors, [frames])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("sound"), repulsion())


@pytest.fixture(scope="module")
def with_a_hole(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("hole"), repulsion(hole_kT=400.0))


def rows_of(potential, *tests: str, **settings):
    return check_potential(potential, quick=True, tests=list(tests), **{"length_ps": 2.0, "drift_ps": 2.0} | settings).rows


def verdicts(rows) -> set[str]:
    return {row.verdict for row in rows}


def test_a_sound_potential_passes_what_needs_no_dynamics(sound):
    found = check_potential(sound, tests=["self_check", "dimers"])
    assert found.verdict == "agrees"
    assert found.reasons == []
    self_check, wall = found.rows
    assert 0 <= self_check.value < 1e-4
    height = (repulsion()[250] - repulsion()[300]) / KT
    assert wall.value == pytest.approx(height, rel=1e-2)
    assert "all together: agrees" in found.table()


def test_a_hole_in_a_wall_is_found(with_a_hole):
    found = check_potential(with_a_hole, tests=["dimers"])
    assert found.verdict == "disagrees"
    assert re.search(r"a hole below .*, 0.300 nm: the energy is -\d+\.\d kT at 0\.2\d\d nm", found.rows[0].reason)


def test_beads_that_fall_into_a_hole_are_found(with_a_hole):
    (nearest, _) = rows_of(with_a_hole, "hot", length_ps=6.0)
    assert nearest.verdict == "disagrees"
    assert nearest.value is None or nearest.value < -0.05


def test_runs_under_stress_of_a_sound_potential_agree(sound):
    rows = rows_of(sound, *STRESS)
    assert len(rows) == 2 * len(STRESS)
    assert verdicts(rows) == {"agrees"}
    hot = next(row for row in rows if row.name == "hot, 1.5 times the temperature: kinetic temperature")
    assert abs(hot.value - 450.0) < 5 * hot.stderr


def test_a_density_that_does_not_fit_is_not_tested(tmp_path):
    """With an edge at 0.5 nm a lattice of 32 beads in 1.5 nm, 0.375 nm apart, would begin inside it."""
    rows = rows_of(exported(tmp_path, repulsion(), first=0.5), "dense")
    assert verdicts(rows) == {"not tested"}
    assert "do not fit a box" in rows[0].reason


def test_energy_is_conserved_at_a_usual_step_and_not_at_an_absurd_one(sound):
    usual, fine = rows_of(sound, "drift", timestep_fs=5.0)
    assert (usual.verdict, fine.verdict) == ("agrees", "agrees")
    assert abs(fine.value) < 0.5
    absurd, _ = rows_of(sound, "drift", timestep_fs=400.0)
    assert absurd.verdict == "disagrees"


def test_the_largest_sound_step_is_found_and_an_absurd_usual_one_disagrees(sound):
    settings = {"steps_fs": [5, 400], "length_ps": 8.0, "drift_ps": 1.0}
    found = check_potential(sound, tests=["time_step"], **settings, timestep_fs=5.0)
    assert [step.timestep_fs for step in found.steps] == [5.0, 400.0]
    assert [step.sound for step in found.steps][1] is False
    assert found.steps[0].sound is not False
    found = check_potential(sound, tests=["time_step"], **settings, timestep_fs=400.0)
    assert found.rows[0].verdict == "disagrees"
    assert "400 fs: " in found.rows[0].reason


def steps(*sound: bool | None) -> tuple[StepFigures, ...]:
    return tuple(StepFigures(5.0 * (k + 1), one, "" if one else "why") for k, one in enumerate(sound))


@pytest.mark.parametrize(
    ("found", "usual", "largest", "verdict"),
    [
        (steps(True, True, False), 10.0, 10.0, "agrees"),
        (steps(True, True), 10.0, 10.0, "agrees"),
        (steps(True, None, False), 5.0, 5.0, "agrees"),
        (steps(True, None, False), 10.0, 5.0, "not tested"),
        (steps(True, False), 10.0, 5.0, "disagrees"),
        (steps(False), 10.0, None, "disagrees"),
        (steps(None, True), 10.0, None, "not tested"),
    ],
)
def test_the_verdict_on_time_steps(found, usual, largest, verdict):
    row, _ = time_step_rows(found, usual)
    assert (row.value, row.verdict) == (largest, verdict)
    assert bool("why" in row.reason) == any(step.sound is not True for step in found)


def test_a_run_that_blows_up_disagrees_and_says_so(sound, monkeypatch):
    def explode(*_, **__):
        raise SimulationFailed("the simulation blew up: no. Lower the time step.")

    monkeypatch.setattr(Subject, "run", explode)
    rows = rows_of(sound, "drift", "time_step", "hot", "speed")
    assert verdicts(row for row in rows if row.name != "largest time step at constant energy") == {"disagrees"}
    assert all(row.value is None and "Lower" not in row.reason for row in rows)


def test_finished_tests_are_kept_for_the_same_settings(sound, tmp_path, monkeypatch):
    made = []
    run = Subject.run
    monkeypatch.setattr(Subject, "run", lambda self, *args, **kwargs: made.append(1) or run(self, *args, **kwargs))
    first = rows_of(sound, "drift", "hot", folder=tmp_path)
    assert len(made) == 3
    assert rows_of(sound, "drift", "hot", folder=tmp_path) == first
    assert len(made) == 3
    assert rows_of(sound, "drift", "hot", folder=tmp_path, seed=1) != first
    assert len(made) == 6


def test_a_killed_search_for_a_time_step_goes_on(sound, tmp_path, monkeypatch):
    run, tried = Subject.run, []

    def stopped(self, *args, timestep_fs=None, **kwargs):
        tried.append(timestep_fs)
        if timestep_fs == 8.0 and len(tried) < 3:
            raise KeyboardInterrupt
        return run(self, *args, timestep_fs=timestep_fs, **kwargs)

    monkeypatch.setattr(Subject, "run", stopped)
    settings = {"steps_fs": [4.0, 8.0], "timestep_fs": 4.0, "folder": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        rows_of(sound, "time_step", **settings)
    rows_of(sound, "time_step", **settings)
    assert tried == [4.0, 8.0, 8.0]


def test_speeds_are_those_of_this_machine_beside_the_recorded_one(tmp_path, monkeypatch):
    monkeypatch.setattr("cgnnp.workflow.potential_check.speed.BLOCK_S", 0.02)
    potential = exported(tmp_path, repulsion())
    (tmp_path / "summary.json").write_text(json.dumps({"atomistic_ns_per_day": 50.0, "timestep_fs": 4.0}))
    found = check_potential(potential, tests=["speed"])
    ms, speed, atomistic, ratio = (row.value for row in found.rows)
    assert found.timestep_fs == 4.0
    assert speed == pytest.approx(4.0e-6 * 86400 / (ms / 1000))
    assert (atomistic, ratio) == (50.0, pytest.approx(speed / 50.0))
    assert verdicts(found.rows) == {"measured"}
    (tmp_path / "summary.json").write_text("[no json")
    assert len(check_potential(potential, tests=["speed"]).rows) == 2


def test_the_processor_has_a_name(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Fast One\n")
    assert processor_name(tmp_path / "cpuinfo") == "A Fast One"
    assert processor_name(tmp_path / "none")


def test_the_closest_pair_is_that_of_all_pairs():
    frames = hard_gas(3, 12, 1.5, diameter=0.25, seed=2)
    vectors = frames.positions[:, :, None] - frames.positions[:, None]
    vectors -= 1.5 * np.round(vectors / 1.5)
    distances = np.linalg.norm(vectors, axis=-1)[:, ~np.eye(12, dtype=bool)]
    (found,) = closest_approach(frames).values()
    assert found == pytest.approx(distances.min())


def test_a_salt_begins_as_rock_salt(tmp_path):
    charges = {"Na": 1.0, "Cl": -1.0}
    mapping = charged_mapping({"Na": 13, "Cl": 13}, charges)
    table = repulsion() - 2 * KT * np.exp(-(((R - 0.36) / 0.04) ** 2) / 2)
    potential = exported(tmp_path, table, mapping, n_beads=26, charges=charges)
    beads = rock_salt(Subject(load(potential), check_settings()))
    distances = np.linalg.norm(beads.positions[:, None] - beads.positions[None], axis=-1) + 10 * np.eye(26)
    unlike = mapping.types[:, None] != mapping.types[None]
    assert distances.min() == pytest.approx(0.36, abs=0.03)
    assert distances[unlike].min() < 0.8 * distances[~unlike].min()


def test_single_beads_make_no_salt(sound):
    assert rock_salt(Subject(load(sound), check_settings())) is None
    assert len(np.unique(rock_salt_sites(32), axis=0)) == 64


def test_the_error_of_a_drift_is_the_spread_of_repeated_measurements(sound):
    run = Subject(load(sound), check_settings()).run(timestep_fs=20.0)
    found = []
    for run.seed in range(12):
        found.append(run.drift(4.0))
    percents, errors = np.array([(one.percent, one.stderr) for one in found]).T
    assert {(one.n_runs, round(one.run_ps, 2)) for one in found} == {(8, 0.52)}
    assert len(set(percents)) == 12
    assert percents.std(ddof=1) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.6)


def test_a_limit_inside_the_interval_of_a_drift_is_not_tested():
    """With eight runs, 95 % of the probability is within 2.36 standard errors."""
    assert Drift(0.0, 1.0, run_ps=1.0).margin == pytest.approx(2.365, abs=1e-3)
    assert [Drift(75.0, error, run_ps=1.0).is_within(80.0) for error in (2.0, 3.0)] == [True, None]
    assert [Drift(-85.0, error, run_ps=1.0).is_within(80.0) for error in (2.0, 3.0)] == [False, None]


def test_one_time_step_has_one_drift(sound):
    found = check_potential(
        sound, tests=["drift", "time_step"], steps_fs=[5.0], timestep_fs=5.0, length_ps=2.0, drift_ps=2.0, quick=True
    )
    row = next(row for row in found.rows if row.name == "NVE drift at 5 fs, share of kinetic energy")
    assert (row.value, row.stderr) == (found.steps[0].drift_percent, found.steps[0].drift_stderr_percent)
    assert "8 runs of 0.26 ps" in row.reason


def test_the_largest_step_at_constant_energy_is_that_before_the_first_drift():
    found = tuple(
        StepFigures(5.0 * (k + 1), True, drift_percent=2.0 * k, drift_stderr_percent=0.5, conserves_energy=one)
        for k, one in enumerate((True, None, True))
    )
    _, row = time_step_rows(found, 10.0)
    assert (row.value, row.verdict) == (5.0, "measured")
    assert row.reason.endswith("at 10 fs the drift is 2.00 ± 0.50 % per 20 ps")
    _, row = time_step_rows(found[:1], 5.0)
    assert row.reason.endswith("no time step longer than 5 fs was tried")
    _, row = time_step_rows(found[1:], 10.0)
    assert row.value is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tests": ["dimer"]}, r"there is no test 'dimer'. Did you mean dimers\?"),
        ({"tests": []}, r"tests=\[\]: must be a list of tests"),
        ({"tests": "dimers"}, r"tests='dimers': must be a list of tests"),
        ({"steps_fs": []}, r"steps_fs=\[\]: must be positive time steps"),
        ({"steps_fs": [10, -1.0]}, r"steps_fs=\[10.0, -1.0\]: must be positive"),
        ({"steps_fs": ["ten"]}, r"steps_fs=\['ten'\]: must be a list, each item a number"),
        ({"length_ps": 0.1}, r"length_ps=0.1: must be 1 ps or more"),
        ({"drift_ps": -1.0}, r"drift_ps=-1.0: must be 1 ps or more"),
        ({"timestep_fs": 0.0}, r"timestep_fs=0.0: must be positive"),
        ({"quick": "yes"}, r"quick='yes': must be true or false"),
        ({"lenght_ps": 1.0}, r"there is no setting 'lenght_ps'. Did you mean length_ps\?"),
        ({"platform": "none"}, r"OpenMM platform 'none' does not work on this machine"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_run(sound, given, message):
    with pytest.raises(ValueError, match=message):
        check_potential(sound, **given)


def test_what_is_no_potential_is_refused(sound, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not an exported potential"):
        cgnnp.check_potential(tmp_path)


def test_the_page_stands_alone_and_has_every_row(sound, with_a_hole, tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cgnnp"), "handlers", [logging.NullHandler()])
    settings = {"tests": ["dimers", "time_step"], "length_ps": 1.0, "drift_ps": 1.0, "steps_fs": [5.0], "timestep_fs": 5.0}
    for name, potential in (("sound", sound), ("hole", with_a_hole)):
        found = cgnnp.check_potential(potential, output=tmp_path / name, **settings)
        page = (tmp_path / name / "check.html").read_text()
        stored = json.loads((tmp_path / name / "check.json").read_text())
        assert stored["verdict"] == found.verdict
        assert [row["value"] for row in stored["rows"]] == [row.value for row in found.rows]
        assert f"<title>{found.potential.parent.name} · check · cgnnp</title>" in page
        assert "do not compare the structure" in page
        assert "shorter than those of a full check" in page
        assert re.search(r"Written by cgnnp \S+ on \d{4}-\d\d-\d\d at", page)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stored["created"])
        assert all(row.name in page for row in found.rows)
        assert page.count("data:image/png;base64,") == 6
        assert not re.search(r'(src|href)="(?!data:)', page)
        assert ("not as expected" in page) == (found.verdict == "disagrees")
        assert {"dimers.png", "time_step.png"} <= {path.name for path in (tmp_path / name).iterdir()}


def test_pictures_of_steps_leave_out_what_is_not_known():
    figures = [StepFigures(5.0, None, "", 300.0, 2.0, None, None, 0.1, 0.05), StepFigures(10.0, True, "", *[1.0] * 6)]
    drawn = TimeSteps(figures, 300.0, 5.0)
    assert [len(draw(LIGHT).axes) for draw in (drawn.both, drawn.temperatures, drawn.drift)] == [2, 1, 1]


def test_a_new_test_is_one_entry(sound, monkeypatch):
    def always(subject):
        return SimpleNamespace(rows=(), dimers=(), steps=())

    monkeypatch.setitem(TESTS, "new", always)
    assert check_potential(sound, tests=["new"]).verdict == "not tested"
