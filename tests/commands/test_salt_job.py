"""The main job for charged beads, on made data: soft spheres that carry charges, in a solvent of which all is known."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from systems import charged_mapping, soft_spheres

from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.dataset import FramesWriter
from cgnnp.simulation.openmm.system import create_system
from cgnnp.simulation.potential_files import load
from commands import jobs

SOLVENT = {"eps_r": 78.0, "eps_r_source": "given", "volume_fraction": 0.9}


def made(directory, n_pairs, cation="Na"):
    """A data set of so many pairs of ions."""
    counts = {cation: n_pairs, "Cl": n_pairs}
    spheres = soft_spheres(120, counts, seed=4)
    mapping = charged_mapping(counts, {cation: 1.0, "Cl": -1.0})
    writer = FramesWriter(directory, replace(spheres.meta, mapping=mapping, provenance={"solvent": SOLVENT}))
    writer.append(spheres.positions, spheres.forces, spheres.boxes)
    writer.close()


def test_a_salt_is_analysed_and_reported(tmp_path):
    made(tmp_path / "made", 6)
    made(tmp_path / "dilute", 4)
    fit = ["prior.cutoff_nm=0.6", "prior.pairs.min_count=5", "model.features=4", "model.cutoff_nm=0.6", "model.layers=1"]
    fit += ["trainer.max_epochs=1", "trainer.accelerator=cpu", "platform=CPU"]
    fit += ["refinement=structure", "refinement.steps=1", "refinement.length_ps=20"]
    fit += [*jobs.SIMULATION[:-1], "simulation.replicas=1"]
    command = ("train", "data=made", "more_data=[dilute]", "run_dir=run", *fit)
    jobs.run(*command, cwd=tmp_path)
    values = json.loads((tmp_path / "run/summary.json").read_text())
    (step,) = values["refinement"]
    assert step["dof"] > 10
    assert 0.0 < step["largest_kT"] < 5.0
    assert values["r2_refined"] == pytest.approx(values["r2_model"], rel=0.1)
    fitted, exported = (
        json.loads((tmp_path / "run" / name).read_text())[1] for name in ("prior.json", "potential/prior.json")
    )
    assert fitted["tables"][0]["energy"] != exported["tables"][0]["energy"]
    assert fitted["tables"][0]["first_sampled"] == exported["tables"][0]["first_sampled"]
    manifest = json.loads((tmp_path / "run/potential/manifest.json").read_text())
    assert (manifest["eps_r"], manifest["solvent"]) == (78.0, SOLVENT)
    assert manifest["made_from"]["r2_refined"] == values["r2_refined"]
    assert values["eps_r"] == 78.0
    salt = values["observables"]["kirkwood_buff"]
    assert (salt["phi_w_atomistic"], salt["phi_w_cg"]) == (0.9, 0.9)
    assert salt["activity_derivative_cg"] == pytest.approx(0.9 * salt["osmotic_modulus_kT_cg"])
    assert [row["pair"] for row in values["dimers"]] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert all(row["wall_rise_kT"] > 20.0 and row["wall_monotonic"] for row in values["dimers"])
    assert values["virial_pressure"]["ideal_bar"] == pytest.approx(12 * 41.42 / 1.3**3, rel=1e-3)  # kT per nm^3, bar
    page = (tmp_path / "run/report.html").read_text()
    assert "Screened Coulomb (ε<sub>r</sub> 78) and pair splines" in page
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    first = ["Structure: g(r)", "Coordination numbers", "Potentials of mean force", "Kirkwood-Buff integrals"]
    assert [title for title in titles if title in first] == first
    assert {"Isolated dimers", "Pressure", "Density", "Temperatures of the run"} <= set(titles)
    for name in ("coordination", "pmf", "kirkwood_buff", "dimers"):
        assert (tmp_path / "run" / f"{name}.png").is_file()
    with (tmp_path / "run/kirkwood_buff.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (last,) = [row for row in rows if row["pair"] == "Na-Cl"][-1:]
    assert float(last["G_cg_nm3"]) == pytest.approx(salt["integrals"][1]["G_nm3_cg"], rel=1e-5)
    written = (tmp_path / "run/refinement/step_0.json").stat().st_mtime_ns
    jobs.run(*command, "compare.observables=[density]", cwd=tmp_path)  # what is refined is not refined or measured again
    assert (tmp_path / "run/refinement/step_0.json").stat().st_mtime_ns == written
    assert (tmp_path / "run/train.log").read_text().count("refine: R2") == 1


@pytest.mark.filterwarnings("ignore:.*but the potential was trained at")
def test_two_salts_in_one_fit(tmp_path):
    """Sodium and potassium chloride: a network and priors of three types, which run either salt and no mixture of both."""
    made(tmp_path / "nacl", 6)
    made(tmp_path / "kcl", 4, "K")
    fit = ["prior.cutoff_nm=0.6", "prior.pairs.min_count=5", "model.features=4", "model.cutoff_nm=0.6", "model.layers=1"]
    fit += ["trainer.max_epochs=1", "trainer.accelerator=cpu", "platform=CPU", "+trainer.type_weights.K=2"]
    command = ["train", "data=nacl", "more_data=[kcl]", "run_dir=run", *fit, "simulation=none"]
    job = jobs.run(*command, cwd=tmp_path)
    assert "no data set has pairs Na-K:" in job.stderr
    bundle = load(tmp_path / "run/potential")
    assert bundle.model.type_names == ("Na", "Cl", "K")
    assert bundle.manifest["bead_charges_e"] == bundle.priors[0].charges == {"Na": 1.0, "Cl": -1.0, "K": 1.0}
    assert bundle.manifest["number_density_nm3"]["K"] == pytest.approx([0.0, 4 / 1.3**3])
    assert set(bundle.manifest["first_sampled_nm"]) == {"Na-Na", "Na-Cl", "Cl-Cl", "K-Cl", "K-K"}
    rows = json.loads((tmp_path / "run/summary.json").read_text())["data_sets"]
    assert [row["n_beads"] for row in rows] == [12, 8]
    mixtures = {"K": {"K": 5, "Cl": 5}, "both": {"Na": 3, "K": 3, "Cl": 6}}
    charges = bundle.priors[0].charges
    topologies = {name: bead_topology(charged_mapping(n, charges), 1.3 * np.eye(3)) for name, n in mixtures.items()}
    assert create_system(bundle, topologies["K"]).getNumParticles() == 10
    with pytest.raises(
        ValueError, match="the system has pairs Na-K, but the data that the potential was fitted to had only"
    ):
        create_system(bundle, topologies["both"])
    refused = jobs.run(*command[:3], "run_dir=new", *fit, "refinement=structure", cwd=tmp_path, code=2)
    assert "train: error: more_data=kcl: has the pairs K-K, K-Cl, Cl-Cl, but the first data set has the" in refused.stderr
    assert not (tmp_path / "new").exists()
