"""`python -m cgnnp.check` on data sets that are right, wrong, and not to be tested."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import systems

from cgnnp.frames.dataset import FramesWriter
from cgnnp.frames.frames import Frames

PNG = b"\x89PNG"


def store(directory, frames: Frames):
    """Write a data set."""
    FramesWriter(directory, frames.meta).append(frames.positions, frames.forces, frames.boxes)
    return directory


def chain(n_frames: int) -> Frames:
    """Independent configurations of six beads joined by springs: exact Gaussian steps at 300 K."""
    stiffness, rng = 300.0, np.random.default_rng(4)
    steps = rng.normal(0.0, np.sqrt(systems.thermal_energy(300.0) / stiffness), (n_frames, 5, 3))
    positions = 2.0 + np.concatenate([np.zeros((n_frames, 1, 3)), np.cumsum(steps, axis=1)], axis=1)
    positions += rng.uniform(0.0, 1.0, (n_frames, 1, 3))
    forces = np.zeros_like(positions)
    forces[:, :-1] += stiffness * steps
    forces[:, 1:] -= stiffness * steps
    bonds = tuple((k, k + 1) for k in range(5))
    return systems.frames_of(positions, forces, 6.0, systems.identity_mapping({"B": 6}, bonds=bonds))


def check(run_here, folder, *arguments: str) -> int:
    """Exit code of the command."""
    try:
        run_here("check", *arguments, cwd=folder)
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def result(folder) -> dict:
    return json.loads((folder / "check.json").read_text())


def test_sound_data_agree(soft_spheres, run_here, tmp_path, capsys):
    before = store(tmp_path / "data" / "spheres", soft_spheres)
    files = {path: path.stat().st_mtime_ns for path in before.rglob("*")}
    assert check(run_here, tmp_path, "data=data/spheres") == 0
    assert {path: path.stat().st_mtime_ns for path in before.rglob("*")} == files
    folder = tmp_path / "check" / "spheres"
    values = result(folder)
    assert values["disagreements"] == []
    assert values["t_conf_pairs"][0]["agrees"] is True
    assert values["ybg"]["agrees"] is True
    assert abs(values["t_conf_K"] - 300.0) < 4 * values["t_conf_stderr_K"]
    page = (folder / "check.html").read_text()
    assert "belong to one Boltzmann distribution" in page
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|href)="?http', page)
    assert (folder / "ybg.png").read_bytes().startswith(PNG)
    out = capsys.readouterr().out
    assert re.search(r"T_conf AR-AR +agrees", out)
    assert re.search(r"g-YBG residual +agrees +chi2/dof", out)
    assert out.strip().splitlines()[-1].endswith("check.html")


def test_wrong_data_are_exit_code_one_and_say_what_disagrees(soft_spheres, run_here, tmp_path, capsys):
    store(tmp_path / "bad", replace(soft_spheres, forces=1.5 * soft_spheres.forces))
    assert check(run_here, tmp_path, "data=bad", "output=here/out") == 1
    values = result(tmp_path / "here" / "out")
    assert len(values["disagreements"]) == 2
    assert "T_conf AR-AR" in values["disagreements"][0]
    assert "g-YBG residual" in values["disagreements"][1]
    out = capsys.readouterr().out
    assert out.count("DISAGREES: ") == 2
    assert "is not consistent" in (tmp_path / "here" / "out" / "check.html").read_text()


def test_a_wrong_force_map_is_reported_with_the_rest(soft_spheres, run_here, tmp_path, capsys):
    mapping = soft_spheres.mapping
    wrong = replace(mapping, blocks=(replace(mapping.blocks[0], force=np.array([[0.5]])),))
    store(tmp_path / "data", replace(soft_spheres, meta=replace(soft_spheres.meta, mapping=wrong)))
    assert check(run_here, tmp_path, "data=data", "output=out") == 1
    assert "(B C^T)[0, 0] is 0.5" in result(tmp_path / "out")["disagreements"][0]
    assert result(tmp_path / "out")["certificate"] is None
    assert re.search(r"force map +DISAGREES", capsys.readouterr().out)


@pytest.mark.parametrize("ensemble", ["NVT", "hot"])
def test_what_cannot_be_tested_is_null_with_a_reason_and_exit_code_three(ensemble, run_here, tmp_path, capsys):
    gas = systems.ideal_gas(50, 1 if ensemble == "NVT" else 20, 2.0, seed=1)
    store(tmp_path / "data", replace(gas, meta=replace(gas.meta, ensemble=ensemble)))
    assert check(run_here, tmp_path, "data=data", "output=out") == 3
    values = result(tmp_path / "out")
    reason = "a single bead has no pairs" if ensemble == "NVT" else "frames are not Boltzmann-distributed (hot)"
    assert (values["t_conf_K"], values["t_conf_reason"]) == (None, reason)
    assert (values["ybg"]["chi2_per_dof"], values["ybg"]["reason"]) == (None, reason)
    assert values["data_check"]["verdict"] == "not tested"
    assert f"T_conf: {reason}" in values["data_check"]["reasons"]
    assert "not everything could be tested" in (tmp_path / "out" / "check.html").read_text()
    out = capsys.readouterr().out
    assert f"NOT TESTED: T_conf: {reason}" in out
    assert "all together: not tested" in out


@pytest.mark.parametrize("factor", [0.95, 1.05, 2.0, 10.0])
def test_a_wrong_box_is_exit_code_one(factor, soft_spheres, run_here, tmp_path, capsys):
    store(tmp_path / "data", replace(soft_spheres, boxes=factor * soft_spheres.boxes))
    assert check(run_here, tmp_path, "data=data", "output=out") == 1
    assert re.search(r"box +DISAGREES", capsys.readouterr().out)
    assert "box: " in "".join(result(tmp_path / "out")["disagreements"])


def test_the_page_keeps_the_capitals_of_what_it_says_of_the_box(soft_spheres, run_here, tmp_path):
    boxes = soft_spheres.boxes.copy()
    boxes[7] *= 1.01
    store(tmp_path / "DATA", replace(soft_spheres, boxes=boxes))
    assert check(run_here, tmp_path, "data=DATA", "output=out") == 1
    (text,) = [
        text for text in result(tmp_path / "out")["disagreements"] if "the box is constant in the ensemble NVT" in text
    ]
    assert "DATA" in text
    assert f"<p>B{text.removeprefix('b')}." in (tmp_path / "out" / "check.html").read_text()


def test_a_single_force_is_named(soft_spheres, run_here, tmp_path, capsys):
    forces = soft_spheres.forces.copy()
    forces[7, 2, 0] = 1e6
    store(tmp_path / "data", replace(soft_spheres, forces=forces))
    assert check(run_here, tmp_path, "data=data", "output=out") == 1
    assert re.search(r"bead 2 \(AR\) in .*data, frame 7, is 1e\+06 kJ/mol/nm", capsys.readouterr().out)


def test_a_misspelt_ensemble_turns_no_test_off(soft_spheres, run_here, tmp_path, capsys):
    folder = store(tmp_path / "data", soft_spheres)
    text = (folder / "meta.json").read_text()
    (folder / "meta.json").write_text(text.replace('"NVT"', '"NVT "'))
    assert check(run_here, tmp_path, "data=data", "output=out") == 2
    error = capsys.readouterr().err
    assert "meta.json: ensemble 'NVT ' is not known" in error


def test_bonded_beads_are_tested_by_the_pairs_that_are_not_bonded(run_here, tmp_path):
    """T_conf of a Gaussian chain from its 1-3 and farther pairs: exact, and 4 sigma."""
    store(tmp_path / "data", chain(1500))
    assert check(run_here, tmp_path, "data=data", "output=out") == 0
    values = result(tmp_path / "out")
    assert values["n_bonds"] == 5
    assert abs(values["t_conf_K"] - 300.0) < 4 * values["t_conf_stderr_K"] < 60.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "python -m cgnnp.check data=data/"),
        (
            ["data=set", "potential=run/potential"],
            "set either data=data/... (a data set) or potential=runs/.../potential (a potential), not both",
        ),
        (["data=set", "quick=true"], "quick=True: applies only to the check of a potential, but data= names a data set"),
        (["data=set", "tests=[drift]"], "tests=['drift']: applies only to the check of a potential"),
        (["potential=set"], "'set' is not an exported potential"),
        (["potential=set", "output=set/out"], "is inside the potential, which must not be changed: choose another folder"),
        (["potential=true"], "potential=True: must be the name of a folder"),
        (["potential=set", "tests=[drfit]"], "there is no test 'drfit'. Did you mean drift? Available: self_check, dimers"),
        (["potential=set", "tests=drift"], "tests='drift': must be a list of tests"),
        (["potential=set", "quick=perhaps"], "quick='perhaps': must be true or false"),
        (["potential=set", "steps_fs=[]"], "steps_fs=[]: must be positive time steps, at least one"),
        (["potential=set", "length_ps=0.2"], "length_ps=0.2: must be 1 ps or more"),
        (["data=nowhere"], "nowhere/meta.json: no such file"),
        (["data=1.5"], "data=1.5: must be the name of a folder"),
        (["data=set", "output=set/out"], "choose another folder"),
        (["data=set", "+outptu=x"], "Did you mean output?"),
        (["data=set", "outptu=x"], "Did you mean output?"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_two(arguments, message, run_here, tmp_path, capsys):
    store(tmp_path / "set", systems.ideal_gas(5, 4, 2.0, seed=1))
    assert check(run_here, tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set" / "out").exists()
