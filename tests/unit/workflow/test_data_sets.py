"""One fit of several data sets: other numbers of beads, other boxes, the same forces."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import unit
from systems import add_noise, add_pair_forces, charged_mapping, hard_gas, identity_mapping

from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.bead_types import check_same_pairs, joint_types, other_masses
from cgnnp.frames.frames import Frames
from cgnnp.mapping.mapping import Mapping
from cgnnp.models.nequip import NequIP
from cgnnp.models.potential import bead_energies, build_graph
from cgnnp.models.registry import Architecture
from cgnnp.priors import CoulombTerm, PairSpline, PairSplineFit
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.simulation.manifest import read_manifest
from cgnnp.simulation.openmm.system import create_system
from cgnnp.simulation.potential_files import load, save_bundle
from cgnnp.statistics import stratified_estimate
from cgnnp.training.force_matching import ForceMatching
from cgnnp.workflow.compatible_data import DataDescription
from cgnnp.workflow.fitting import Fitted, fit_model
from cgnnp.workflow.plan import FitPlan
from cgnnp.workflow.sound_data import check_sets

FIT = (CoulombTerm(cutoff_nm=0.6), PairSplineFit(cutoff_nm=0.6, knot_spacing_nm=0.1, min_count=5))


def soft(r: np.ndarray) -> np.ndarray:
    """A cubic, which the pair spline holds exactly."""
    return 60 * np.clip(1 - r / 0.6, 0.0, None) ** 3


def gas(counts: dict[str, int], length: float, seed: int, n_frames: int = 30) -> Frames:
    mapping = identity_mapping(counts)
    return add_pair_forces(hard_gas(n_frames, mapping.n_beads, length, diameter=0.25, seed=seed, mapping=mapping), soft)


SETTINGS = {"max_epochs": 2, "batch_size": 8, "learning_rate": 0.02, "held_out_fraction": 0.2, "accelerator": "cpu"}


def fitted(sets: list[Frames], folder: Path, network: dict | None = None, **settings) -> Fitted:
    """One epoch or two of a small network."""
    small = {"cutoff_nm": 0.5, "layers": 1, "features": 4, "seed": 2, **(network or {})}
    trainer = ForceMatching(**{**SETTINGS, **settings})
    plan = FitPlan(prior=FIT, network=Architecture(NequIP, small), trainer=trainer, platform="CPU")
    return fit_model(sets, plan, folder)


def test_two_compositions_in_one_fit_and_one_bundle(tmp_path):
    """The pair force is that of both; the bundle warns below and above the densities it has seen, not between."""
    sets = [gas({"A": 8, "B": 8}, 1.6, 1), gas({"A": 4, "B": 10}, 1.4, 2)]
    found = fitted(sets, tmp_path, max_epochs=1)
    (spline,) = found.priors
    assert isinstance(spline, PairSpline)
    assert_soft(spline)
    assert (found.figures.n_frames_train, found.figures.n_frames_validation) == (48, 12)
    assert all(row["r2_stderr"] > 0 for row in found.figures.quality_rows)
    manifest = read_manifest(save_bundle(tmp_path / "potential", found.model, found.priors, sets))
    assert manifest["number_density_nm3"] == {
        "A": pytest.approx([4 / 1.4**3, 8 / 1.6**3]),
        "B": pytest.approx([8 / 1.6**3, 10 / 1.4**3]),
    }
    assert load(tmp_path / "potential").mapping.n_beads == 16


def test_a_fit_is_kept_and_found_again(tmp_path):
    """Under the digest of what it was made from; damage is named."""
    frames = gas({"A": 8, "B": 8}, 1.6, 1)
    found = fitted([frames], tmp_path, max_epochs=1)
    assert Fitted.load(tmp_path / "kept", [frames], "inputs") is None
    found.save(tmp_path / "kept", "inputs")
    again = Fitted.load(tmp_path / "kept", [frames], "inputs")
    assert (again.figures, again.history, again.priors, again.digest) == (
        *(found.figures, found.history, found.priors, found.digest),
    )
    np.testing.assert_array_equal(again.forces(frames[:2], "Reference"), found.forces(frames[:2], "Reference"))
    with pytest.raises(ValueError, match=r"figures\.json: was made from other data or with other settings: choose another"):
        Fitted.load(tmp_path / "kept", [frames], "others")
    for name in ("figures.json", "prior.json", "model.json", "model.safetensors"):
        file = tmp_path / "kept" / name
        sound = file.read_bytes()
        file.write_bytes(sound[:-9] + b"x" + sound[-8:])
        with pytest.raises(ValueError, match=rf"{name}: damaged.*the same command fits again"):
            Fitted.load(tmp_path / "kept", [frames], "inputs")
        file.write_bytes(sound)


def assert_soft(spline: PairSpline) -> None:
    """Every table is the integral of the soft force wherever it was sampled."""
    for table in spline.tables:
        r = np.linspace(0.0, 0.6, len(table.energy))
        sampled = r >= table.first_sampled
        exact = 60 * 0.6 / 4 * (1 - r / 0.6) ** 4
        np.testing.assert_allclose(np.array(table.energy)[sampled], exact[sampled], atol=0.05)


@pytest.mark.filterwarnings("ignore:.*but the potential was trained at")  # of the mixtures, which are refused
@pytest.mark.parametrize(
    ("counts", "names", "unsampled"),
    [
        ([{"A": 8, "B": 8}, {"C": 7, "A": 7}], ("A", "B", "C"), {("B", "C")}),
        ([{"A": 8, "B": 8}, {"B": 12}], ("A", "B"), set()),
        ([{"B": 12}, {"A": 8, "B": 8}], ("B", "A"), set()),
        ([{"A": 14}, {"A": 8, "B": 1}, {"C": 8, "B": 6}], ("A", "B", "C"), {("A", "C")}),
    ],
    ids=["one type shared", "fewer types", "more types", "a chain"],
)
def test_sets_of_different_bead_types_in_one_fit_and_one_bundle(counts, names, unsampled, tmp_path, caplog):
    """The network knows all types, the prior the pairs that there were; OpenMM has the forces of each composition."""
    sets = [add_noise(gas(part, 1.5, seed, 20), 5.0, seed=seed) for seed, part in enumerate(counts)]
    with caplog.at_level("WARNING", "cgnnp"):
        found = fitted(sets, tmp_path)
    assert found.model.type_names == names
    assert {frozenset(table.pair) for table in found.priors[0].tables} == {
        frozenset((a, b)) for a in names for b in names if (a, b) not in unsampled and (b, a) not in unsampled
    }
    assert [f"no data set has pairs {'-'.join(pair)}:" in caplog.text for pair in unsampled] == [True] * len(unsampled)
    bundle = load(save_bundle(tmp_path / "potential", found.model, found.priors, sets))
    assert bundle.manifest["bead_masses_Da"] == bundle.manifest["bead_charges_e"] | dict.fromkeys(names, 39.9)
    densities = {name: [part.get(name, 0) / 1.5**3 for part in counts] for name in names}
    assert bundle.manifest["number_density_nm3"] == {n: pytest.approx([min(d), max(d)]) for n, d in densities.items()}
    for frames in sets:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # none is an extrapolation
            system = create_system(bundle, bead_topology(frames.mapping, frames.boxes[0]))
        context = PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001))
        context.setPositions(frames.positions[0].astype(float))
        forces = context.getState(forces=True).getForces(asNumpy=True)
        expected = found.forces(frames[:1], "Reference")[0]
        values = forces.value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
        np.testing.assert_allclose(values, expected, atol=2e-5 * np.abs(expected).max())
    for a, b in unsampled:
        mixture = bead_topology(identity_mapping({a: 8, b: 8}), 1.5 * np.eye(3))
        with pytest.raises(ValueError, match=rf"the system has pairs {a}-{b}, but the data .*: leave such beads out"):
            create_system(bundle, mixture)


def test_the_pair_forces_of_sets_of_different_types_come_back(tmp_path):
    """A-A is in all sets, A-B and A-C in one each."""
    sets = [gas({"A": 8, "B": 8}, 1.5, 1, 40), gas({"A": 8, "C": 8}, 1.5, 2, 40), gas({"A": 16}, 1.5, 3, 40)]
    (spline,) = fitted(sets, tmp_path).priors
    assert len(spline.tables) == 5
    assert_soft(spline)


def test_weights_of_types_that_a_further_set_brings(tmp_path):
    sets = [gas({"A": 8, "B": 8}, 1.5, 1, 20), gas({"A": 7, "C": 7}, 1.5, 2, 20)]
    fitted(sets, tmp_path, type_weights={"C": 3.0})
    with pytest.raises(ValueError, match=r"type_weights\.D: the data have no beads .* only A, B, C"):
        fitted(sets, tmp_path, type_weights={"D": 3.0})


def heavier(mapping: Mapping, mass: float = 40.5) -> Mapping:
    return replace(mapping, blocks=tuple(replace(block, masses=(mass,)) for block in mapping.blocks))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            identity_mapping({"C": 4, "D": 4}),
            r"set 2: none of its bead types \(C, D\) occurs in the other .*have A, B.*separately",
        ),
        (heavier(identity_mapping({"A": 4})), r"set 2: beads of type A have a mass of 40\.5, but 39\.9 in data set 1"),
        (charged_mapping({"A": 4, "C": 4}, {"A": 1.0, "C": -1.0}), r"set 2: beads of type A have a charge of 1, but 0 in"),
    ],
)
def test_types_that_do_not_belong_together(other, message):
    with pytest.raises(ValueError, match=message):
        joint_types({"data set 1": identity_mapping({"A": 8, "B": 8}), "data set 2": other})


@pytest.mark.parametrize(("mass", "said"), [(39.9000005, 0), (39.901, 0), (40.1, 1)])
def test_masses_that_tables_round_differently_are_one_type(mass, said):
    """No mean force and no structure depends on a mass: it must not keep two data sets apart."""
    mappings = {"one": identity_mapping({"A": 8}), "two": heavier(identity_mapping({"A": 4}), mass)}
    types = joint_types(mappings)
    assert types.masses == {"A": 39.9}
    lines = other_masses(types, mappings)
    assert len(lines) == said
    assert all("two: beads A have a mass of 40.1 Da, but the exported potential uses 39.9 Da" in line for line in lines)


def test_masses_within_one_mapping_may_be_rounded_differently():
    a, b = (identity_mapping({"A": 4}).blocks[0] for _ in range(2))
    mapping = Mapping("two kinds", 8, (a, replace(b, masses=(39.95,), copies=((4, 1, 4),))))
    assert mapping.mass_by_type() == {"A": 39.9}
    with pytest.raises(ValueError, match="different masses"):
        replace(mapping, blocks=(a, replace(mapping.blocks[1], masses=(2.0,)))).mass_by_type()


def test_a_pair_of_types_is_sampled_where_one_set_has_two_such_beads():
    ab, ac = identity_mapping({"A": 8, "B": 1}), identity_mapping({"A": 2, "C": 3})
    found = joint_types({"one": ab, "two": ac})
    assert found.names == ("A", "B", "C")
    assert found.unsampled == (("B", "B"), ("B", "C"))
    assert joint_types({"one": ab}).unsampled == (("B", "B"),)


def test_refinement_wants_the_same_pairs_in_all_sets():
    first, same = identity_mapping({"A": 8, "B": 8}), identity_mapping({"B": 4, "A": 10})
    check_same_pairs({"the first": first, "x": same})
    with pytest.raises(
        ValueError, match=r"x: has the pairs A-A, A-C, C-C, but the first has .*A-A, A-B, B-B: .*take refinement=none"
    ):
        check_same_pairs({"the first": first, "y": same, "x": identity_mapping({"A": 8, "C": 8})})


def test_data_sets_of_other_temperatures_are_refused():
    one = gas({"A": 4, "B": 10}, 1.4, 2, 30)
    other = replace(one, meta=replace(one.meta, temperature=350.0))
    described = [DataDescription.of_frames(one, "the first data set"), DataDescription.of_frames(other, "more_data=hot")]
    with pytest.raises(ValueError, match=r"more_data=hot: .* is 350 K, but that of the first data set is 300 K"):
        FitPlan(prior=FIT).check(described)


def test_errors_of_several_sets_are_those_of_each():
    """What differs between sets is no noise: errors add up like those of independent parts."""
    rng = np.random.default_rng(3)
    left = [0.9 + 0.1 * rng.normal(size=400), 5.0 + 0.1 * rng.normal(size=400)]
    parts = [np.stack([x, np.full(400, total)], axis=1) for x, total in zip(left, (1.0, 10.0), strict=True)]
    found = stratified_estimate(parts, lambda mean: 1.0 - mean[0] / mean[1])
    assert found.value == pytest.approx(1 - np.mean(left) / 5.5)
    assert found.stderr == pytest.approx(0.1 / np.sqrt(800) / 5.5, rel=0.2)
    assert found.tau_frames < 1.5
    assert found.reliable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frames: replace(frames, boxes=2 * frames.boxes), "box: .*: correct the boxes in the original data"),
        (
            lambda frames: replace(frames, forces=frames.forces + (np.arange(len(frames)) == 7)[:, None, None] * 1e5),
            "a single force of this size",
        ),
        (lambda frames: replace(frames, forces=-frames.forces), "the thermostat is at 300 K"),
    ],
    ids=["box", "force", "signs"],
)
def test_what_disagrees_is_not_fitted(soft_spheres, change, message):
    frames = change(soft_spheres)
    checked = check_sets([frames])
    assert checked.figures(["one"], [frames]).data_check["verdict"] == "disagrees"
    with pytest.raises(ValueError, match=message):
        checked.refuse_unsound()


def test_what_was_not_tested_is_in_the_figures():
    frames = gas({"A": 8, "B": 8}, 1.3, 1)[:20]
    checked = check_sets([frames])
    checked.refuse_unsound()
    found = checked.figures(["one"], [frames]).data_check
    assert found["verdict"] == "not tested"
    assert any(text.startswith("box: ") for text in found["reasons"])


def test_new_weights_start_within_a_bound(tmp_path):
    """Three layers of new weights have energies of any size: that of the first frame's extreme bead counts as the bound."""
    frames = gas({"A": 8, "B": 8}, 1.3, 1)
    model = fitted([frames], tmp_path, {"layers": 3, "energy_bound_kJ_mol": 0.01}, max_epochs=1, learning_rate=0.01).model
    new = NequIP(**model.config())
    positions, box, types = (torch.tensor(array) for array in (frames.positions[0], frames.boxes[0], frames.mapping.types))
    graph = build_graph(positions, box, types, new.cutoff, torch.float32)
    energies = bead_energies(new, graph).detach()
    assert float(energies.abs().max()) == pytest.approx(0.01 / np.sqrt(2), rel=1e-3)
