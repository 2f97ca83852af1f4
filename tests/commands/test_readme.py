"""What the README shows works as it stands there: every block runs, at a tiny size."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import MDAnalysis
import mdtraj
import numpy as np
import pytest

import cgnnp
from commands import jobs

FILE = Path(__file__).parents[2] / "README.md"
README = FILE.read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.M | re.S)
IN_CI = [text for kind, text in BLOCKS if kind == "bash" and "pip install" in text]
"""The two commands, which `.ci/run` runs."""

SHIPPED, MAPPING, JOB, PLAIN = [text for kind, text in BLOCKS if kind == "python"]
LINES = [
    line.partition("#")[0].strip()
    for kind, text in BLOCKS
    if kind == "bash" and text not in IN_CI
    for line in text.splitlines()
]
DATA = "data/water_cg-0123456789ab"

RUN = [*jobs.SIMULATION[:-1], "simulation.replicas=1"]
FIT = [word for word in jobs.TRAINING if not word.startswith("reference")]
TINY = {
    "train": [*jobs.TRAINING, *jobs.SIMULATION],
    "simulate": ["simulation.length_ps=18"],
    "check": ["tests=[self_check,dimers]"],
    "map": ["data_dir=mapped"],
}
"""Settings that come after those of the README, by command."""

OTHERS = {
    f"cgnnp.train data={DATA}": [word for word in [*FIT, *RUN] if not word.startswith("system")],
    "potential=water_spce_300K": [
        *("system.n_molecules=216", "simulation.length_ps=1", "simulation.replicas=1", "simulation.chunk_frames=5"),
        *("simulation.frame_interval_ps=0.1", "simulation.equilibration_ps=0.1", "platform=CPU"),
    ],
    "-m model.l_max=0,1": [*jobs.TRAINING, *RUN, "seed=0"],
}
"""For lines that need other ones."""


TINY_FIT = 'prior=cgnnp.option("prior", "pairs", cutoff_nm=0.46, min_count=5), max_epochs=1, accelerator="cpu"'


def test_the_readme_is_short_and_all_of_it_is_looked_at():
    assert len(README.splitlines()) <= 160
    assert len(IN_CI) == 2
    assert {kind for kind, _ in BLOCKS} == {"bash", "python"}
    assert len(LINES) == 12
    assert all(line.startswith("python -m cgnnp.") for line in LINES)
    assert set(re.findall(r"cgnnp\.(\w+)\(", SHIPPED + JOB)) <= set(cgnnp.__all__)


def test_what_it_names_is_there():
    """Files and folders that the README leads to."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (FILE.parent / target).exists(), target


@pytest.fixture(scope="module")
def place(main_job, tmp_path_factory) -> Path:
    """A folder with what the lines of the README find: a named run, another one, a data set, a trajectory."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(main_job / "data", folder / "data")
    for name in ("water", "other"):
        shutil.copytree(main_job / "run", folder / "runs" / name)
    write_gromacs(folder, n_molecules=4, n_frames=12)
    return folder


@pytest.mark.parametrize("line", [line for line in LINES if "preset=nacl" not in line])
def test_lines_run_in_their_order(line, place, run_here):
    """In one folder, one after the other, as they are read."""
    (data,) = (path.name for path in (place / "data").glob("water_cg-*") if path.is_dir())
    words = shlex.split(line.replace(DATA, f"data/{data}"))[2:]
    command = words.pop(0).removeprefix("cgnnp.")
    tiny = next((more for key, more in OTHERS.items() if key in line), TINY.get(command, []))
    code = 0
    try:
        run_here(command, *words, *tiny, cwd=place)
    except SystemExit as stopped:
        code = stopped.code or 0
    assert code == 0
    expected = {
        "-m model": "runs/sweep_l_max_seed_*/runs.html",
        "runs=[": "runs/comparison/runs.html",
        "run=large": "large/report.html",
    }
    for key, made in expected.items():
        assert key not in line or list(place.glob(made)), made


def test_the_preset_composes(tmp_path):
    """It runs at a tiny size in test_salt_job."""
    (line,) = (line for line in LINES if "preset=nacl" in line)
    assert "concentration_M: 1.334" in jobs.run("train", *shlex.split(line)[3:], "--cfg", "job", cwd=tmp_path).stdout


def test_the_mapping_is_one(tmp_path):
    (tmp_path / "my_beads.py").write_text(MAPPING)
    words = ["mapping=custom", "mapping._target_=my_beads.centres"]
    assert " ".join(words) in README
    jobs.run("sample", *words, *jobs.SAMPLING, "reference.n_frames=10", cwd=tmp_path)
    (data,) = (path for path in (tmp_path / "data").iterdir() if path.is_dir())
    assert cgnnp.open_frames(data).mapping.type_names == ("HOH",)


@pytest.mark.parametrize("block", [SHIPPED, PLAIN], ids=["with cgnnp", "without cgnnp"])
def test_ten_lines_run(block, main_job, tmp_path):
    assert len([line for line in block.splitlines() if line]) <= 12
    code = block.replace("runs/water/", f"{main_job}/run/").replace("step(1000)", "step(10)").replace(", 100)", ", 5)")
    assert code.count("step(10)") == 1
    line = [sys.executable, "-c", code]
    result = subprocess.run(line, cwd=tmp_path, env=jobs.ENVIRONMENT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    if "print(" in block:
        assert abs(float(result.stdout.split()[-1])) < 1e5
    if "DCDReporter" in block:
        assert (tmp_path / "water.dcd").stat().st_size > 27 * 12


def test_the_job_in_python_runs(tmp_path):
    """With as little of everything as will do."""
    tiny = {
        '"water_spce"': 'cgnnp.option("system", "water_spce", n_molecules=27, cutoff_nm=0.45)',
        "n_frames=1500": 'n_frames=60, equilibration_ps=1.0, platform="CPU"',
        "l_max=1)": f"l_max=0), {TINY_FIT}",
        "length_ps=240": "length_ps=8, equilibration_ps=0.5, frame_interval_ps=0.2, timestep_fs=5",
        '"r_max_nm": 0.8': '"r_max_nm": 0.4',
    }
    code = JOB
    for text, small in tiny.items():
        assert code.count(text) == 1, text
        code = code.replace(text, small)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000


def write_gromacs(folder: Path, n_molecules: int, n_frames: int) -> None:
    """conf.gro and run.trr of rigid water, with forces that are random."""
    rng = np.random.default_rng(0)
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for _ in range(n_molecules):
        residue = topology.add_residue("HOH", chain)
        oxygen, *hydrogens = (
            topology.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue) for name in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.add_bond(oxygen, hydrogen)
    shape = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [-0.0333, 0.0943, 0.0]])
    centres = 0.5 + 0.5 * np.arange(n_molecules)[:, None, None] * np.ones(3)
    positions = np.array([centres + shape + 0.02 * rng.random((n_molecules, 1, 3)) for _ in range(n_frames)])
    flat = positions.reshape(n_frames, -1, 3)
    lengths = np.full((1, 3), 3.0)
    mdtraj.Trajectory(flat[:1], topology, unitcell_lengths=lengths, unitcell_angles=np.full((1, 3), 90.0)).save_gro(
        str(folder / "conf.gro")
    )
    universe = MDAnalysis.Universe.empty(flat.shape[1], trajectory=True, forces=True)
    with MDAnalysis.Writer(str(folder / "run.trr"), flat.shape[1]) as writer:
        for number, frame in enumerate(flat):
            universe.trajectory.ts.data["time"] = 2.0 * number
            universe.dimensions = [30.0, 30.0, 30.0, 90.0, 90.0, 90.0]
            universe.atoms.positions, universe.atoms.forces = 10 * frame, rng.normal(0.0, 10.0, frame.shape)
            writer.write(universe)
