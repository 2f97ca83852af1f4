"""The whole job in Python: in a script without a guard, in a notebook, and after every module was imported."""

import importlib
import pkgutil
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from matplotlib.axes import Axes
from nbclient import NotebookClient

import cgnnp
from cgnnp.workflow.fitting import Fitted

JOB = """
import cgnnp

water = cgnnp.option("system", "water_spce", n_molecules=27, cutoff_nm=0.45)
data = cgnnp.sample_frames(water, mapping="water_cg", n_frames=60, equilibration_ps=1.0, platform="CPU")
prior = cgnnp.option("prior", "pairs", cutoff_nm=0.46, min_count=5)
fitted = cgnnp.fit(data, model=cgnnp.network("nequip", l_max=1), prior=prior, max_epochs=2, accelerator="cpu")
potential = cgnnp.export(fitted, "potential")
run = cgnnp.run_dynamics(potential, length_ps=8, equilibration_ps=0.5, frame_interval_ps=0.2, timestep_fs=5)
found = cgnnp.compare_frames(data, run)
print(fitted, run, found, sep="\\n")
axes = cgnnp.plot(found)
cgnnp.write_report("report.html", data, fitted, run, found)
"""
"""The job in fifteen lines at most, as a user types it."""


def cells() -> list[str]:
    return [part for part in JOB.split("\n") if part]


@pytest.mark.slow
def test_the_whole_job_in_fifteen_lines_of_a_script(tmp_path):
    """In a fresh process, without a `__main__` guard; log lines and results are seen without set-up."""
    assert len(cells()) <= 15
    (tmp_path / "job.py").write_text(JOB)
    done = subprocess.run([sys.executable, "job.py"], cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    for text in ("fit: epoch 2 of 2", "simulate: 2 replicas", "Fitted: NequIP", "CoarseRun: 2 replicas", "W-W"):
        assert text in done.stdout, text
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert {path.name for path in tmp_path.iterdir()} >= {"data", "potential", "simulation", "report.html"}


@pytest.mark.slow
def test_the_whole_job_in_a_notebook(tmp_path):
    """Plots are shown, log lines are seen, and a value at the end of a cell says what it is in ten lines."""
    sources = [*cells(), "fitted", "cgnnp.plot(fitted);"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("fit: epoch 2 of 2" in output.get("text", "") for output in outputs)
    (shown,) = [output.data["text/plain"] for output in notebook.cells[-2].outputs]
    assert shown.startswith("Fitted: NequIP")
    assert len(shown.splitlines()) <= 10


def test_no_module_of_the_package_hides_a_function(tmp_path, soft_spheres):
    """`import cgnnp.x` puts x into the package: no function may have the name of a module."""
    for module in pkgutil.walk_packages(cgnnp.__path__, "cgnnp."):
        importlib.import_module(module.name)
    for name in cgnnp.__all__:
        assert callable(getattr(cgnnp, name)), name
    prior = cgnnp.option("prior", "pairs", cutoff_nm=0.6, min_count=5)
    fitted = cgnnp.fit(soft_spheres, model="pair", prior=prior, max_epochs=1, accelerator="cpu", platform="Reference")
    assert isinstance(fitted, Fitted)
    assert all(isinstance(axes, Axes) for axes in cgnnp.plot(fitted, tmp_path / "history.png"))
    assert (tmp_path / "history.png").is_file()
    bundle = cgnnp.export(fitted, tmp_path / "potential")
    assert bundle.manifest["made_from"]["data_check"]["verdict"] == "agrees"
    found = cgnnp.compare_frames(soft_spheres[:700], soft_spheres[700:], bundle)
    assert 0.0 < found.rdf["AR-AR"].deviation < 0.2
    assert "AR-AR" in repr(found)
    found.save(str(tmp_path / "kept"))
    assert repr(cgnnp.Comparison.load(str(tmp_path / "kept"))) == repr(found)
    fitted.save(str(tmp_path / "fitted"))
    back = cgnnp.Fitted.load(str(tmp_path / "fitted"), [soft_spheres])
    assert (repr(back), back.digest, back.history) == (repr(fitted), fitted.digest, fitted.history)
    assert back.checks == fitted.checks
    with pytest.raises(ValueError, match="frames alone do not tell which potential they were simulated with"):
        cgnnp.compare_frames(soft_spheres, soft_spheres)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda frames: cgnnp.fit(frames, max_epoch=1),
            "no setting 'max_epoch'. Did you mean max_epochs.* Known: acc",
        ),
        (lambda frames: cgnnp.fit(frames, model="nequib"), "there is no model 'nequib'. Did you mean nequip"),
        (lambda frames: cgnnp.network("nequip", lmax=1), "no setting 'lmax'. Did you mean l_max"),
        (lambda frames: cgnnp.fit(frames, prior=cgnnp.option("prior", "pairs", cutoff_nm=3.0)), "more than half the box"),
        (
            lambda frames: cgnnp.fit([frames[:10]], prior=cgnnp.option("prior", "pairs", cutoff_nm=0.6)),
            "would be held out",
        ),
        (lambda frames: cgnnp.sample_frames("watr"), "there is no system .watr."),
    ],
)
def test_wrong_arguments_are_named(call, message, soft_spheres):
    with pytest.raises(ValueError, match=message):
        call(soft_spheres)


WRONG = """
import cgnnp, numpy as np
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
argon = Block(name="AR", configuration=np.eye(1), force=np.eye(1), bead_types=("AR",), masses=(39.9,), charges=(0.0,),
              copies=((0, 1, 4),), offsets=(0,), parents=(0,))
meta = FramesMeta(Mapping("argon", 4, (argon,)), temperature=100.0, interval=1.0)
frames = Frames(np.zeros((10, 4, 3)), np.zeros((10, 4, 3)), np.tile(3 * np.eye(3), (10, 1, 1)), meta)
for call in (
    lambda: cgnnp.fit("data"),
    lambda: cgnnp.fit(frames, prior={"cutoff_nm": 0.6}),
    lambda: cgnnp.fit(frames, model=cgnnp.option("model", "nequip")),
    lambda: cgnnp.fit(frames, trainer={"max_epochs": 2}),
    lambda: cgnnp.fit(frames, trainer=cgnnp.option("trainer", "force_matching"), seed=1),
    lambda: cgnnp.export("fit"),
    lambda: cgnnp.compare_frames(frames, "potential"),
    lambda: cgnnp.plot(frames),
    lambda: cgnnp.write_report("r.html", frames, run=frames),
):
    try:
        call()
    except TypeError as error:
        print(error)
"""


def test_arguments_of_another_kind_are_refused(tmp_path):
    """In a process of its own: in this one annotations are checked, and would be first."""
    done = subprocess.run([sys.executable, "-c", WRONG], cwd=tmp_path, capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if ", but must be " in line]
    named = [line.split(":")[0] for line in said]
    assert named == ["data", "prior", "model", "trainer", "fitted", "run", "value", "run"], done.stderr
    assert "must be what cgnnp.run_dynamics(potential) returns, or frames" in said[5]
    assert "give its settings where it is made: cgnnp.option('trainer', 'force_matching'" in done.stdout


def test_defaults_are_those_of_the_commands():
    """What constructors assume, the files in conf/ state."""
    for group, name in (("trainer", "force_matching"), ("prior", "coulomb"), ("prior", "pairs")):
        made = cgnnp.option(group, name)
        assert made == type(made)()
    for name in ("nequip", "allegro", "mace", "schnet", "pair"):
        network = cgnnp.network(name)
        stated, bare = network.create(["A"]).config(), network.kind(type_names=["A"]).config()
        assert stated == bare
    assert np.isclose(cgnnp.option("simulation", "langevin")(300.0).protocol.temperature_K, 300.0)
