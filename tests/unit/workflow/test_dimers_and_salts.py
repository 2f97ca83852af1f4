"""What a comparison says of isolated dimers and of salts, against potentials that are known."""

import csv
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from systems import charged_mapping, ewald, hard_gas

from cgnnp.analysis.dimer import DimerScan
from cgnnp.analysis.figures import LIGHT
from cgnnp.analysis.pmf import mean_potential
from cgnnp.analysis.pressure import BAR, Pressure
from cgnnp.analysis.rdf import rdf
from cgnnp.models.nequip import NequIP
from cgnnp.models.registry import create_model
from cgnnp.priors import PairSpline, ScreenedCoulomb
from cgnnp.priors.coulomb import dielectric_constant
from cgnnp.priors.pair_spline import PairTable
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.units import thermal_energy
from cgnnp.workflow.dimers_and_salts import (
    CHARGED_DIMER_COLUMNS,
    DIMER_COLUMNS,
    KIRKWOOD_BUFF_COLUMNS,
    PMF_COLUMNS,
    IsolatedDimer,
    PairFindings,
    find_pairs,
    isolated_dimer,
    pressure_of,
)

KT = thermal_energy(300.0)
CHARGES = {"Na": 1.0, "Cl": -1.0}
IONS = charged_mapping({"Na": 6, "Cl": 6}, CHARGES)
PAIRS = list(itertools.combinations_with_replacement(("Na", "Cl"), 2))
COULOMB = ScreenedCoulomb(CHARGES, eps_r=72.0, cutoff_nm=0.6)
R = np.linspace(0.0, 0.6, 601)
WALL_KT, FIRST_NM = 20.0, 0.3
SPLINES = PairSpline(tuple(PairTable(pair, FIRST_NM, tuple(WALL_KT * KT * (0.6 - R) / 0.05)) for pair in PAIRS), 0.6)
"""Straight lines that rise by 20 kT over 0.05 nm."""


@pytest.fixture(scope="module")
def sides():
    return [hard_gas(60, 12, 1.3, diameter=0.3, seed=seed, mapping=IONS) for seed in (1, 2)]


def bundle(mapping=IONS, priors=(COULOMB, SPLINES)) -> PotentialBundle:
    """A potential of priors and of a network that is as good as none."""
    names = list(mapping.type_names)
    settings = {
        **{"type_names": names, "cutoff_nm": 0.6, "inner_cutoff_nm": [[0.2] * len(names)] * len(names), "features": 4},
        **{"layers": 1, "avg_num_neighbors": 5.0, "energy_scale": 1e-9, "seed": 1},
    }
    model = create_model(NequIP, settings, torch.float32)
    density = {name: [mapping.bead_types.count(name) / 1.3**3] * 2 for name in names}
    manifest = {
        "temperature_K": 300.0,
        "bead_masses_Da": mapping.per_type(mapping.masses),
        "number_density_nm3": density,
    }
    return PotentialBundle(model, priors, mapping, manifest)


@pytest.fixture(scope="module")
def found(sides) -> PairFindings:
    """Of both sides; the atomistic one knows how much of the volume is solvent."""
    atomistic, cg = sides
    known = replace(atomistic, meta=replace(atomistic.meta, provenance={"solvent": {"volume_fraction": 0.9}}))
    return find_pairs(known, cg, PAIRS, bundle())


def well(r: np.ndarray, hole_at: float | None) -> IsolatedDimer:
    """A wall of 400 kT/nm up to 0.3 nm, then a well of 2 kT at 0.4 and one of 1 kT at 0.6 nm; perhaps a hole."""
    energy = np.where(r < 0.3, 400.0 * (0.3 - r), 0.0)
    for centre, depth in ((0.4, 2.0), (0.6, 1.0), *(() if hole_at is None else ((hole_at, 100.0),))):
        energy = energy - depth * np.exp(-(((r - centre) / 0.03) ** 2))
    return IsolatedDimer(DimerScan(("A", "B"), r, KT * energy, np.zeros_like(r), 0.0), 0.3, 300.0)


def test_wall_and_landmarks_of_a_pair():
    row = well(np.arange(0.1, 1.2, 0.0025), None).to_dict()
    assert row["wall_rise_kT"] == pytest.approx(400 * 0.05, abs=1e-3)
    assert row["lowest_inside_kT"] == pytest.approx(400 * 0.05, abs=1e-3)
    assert row["wall_monotonic"] is True
    assert row["contact_nm"] == pytest.approx(0.4, abs=1e-3)
    assert row["barrier_out_kT"] == pytest.approx(2.0, abs=0.01)
    assert row["separated_kT"] == pytest.approx(-1.0, abs=0.01)


def test_a_hole_is_found_and_is_no_contact():
    row = well(np.arange(0.1, 1.2, 0.0025), 0.2).to_dict()
    assert row["wall_monotonic"] is False
    assert row["lowest_inside_nm"] == pytest.approx(0.2, abs=0.01)
    assert row["lowest_inside_kT"] == pytest.approx(400 * 0.1 - 100, abs=3)
    assert row["contact_nm"] == pytest.approx(0.4, abs=1e-3)


def test_a_pair_without_a_first_sampled_distance_has_no_wall():
    row = replace(well(np.arange(0.1, 1.2, 0.0025), None), first_sampled=None).to_dict()
    assert (row["wall_rise_kT"], row["wall_monotonic"], row["lowest_inside_kT"]) == (None, None, None)
    assert row["contact_nm"] == pytest.approx(0.4, abs=1e-3)


def test_scans_are_of_priors_and_network_and_begin_inside_the_wall():
    """20 kT of spline over 0.05 nm, and of Coulomb the difference of q q / (4 pi eps0 eps_r r)."""
    found = isolated_dimer(bundle(), ("Cl", "Na"))
    assert found.first_sampled == FIRST_NM
    assert (found.scan.r[0], found.scan.r[-1]) == pytest.approx((0.15, 1.2))
    coulomb = -138.935457644 / 72 * (1 / 0.25 - 1 / 0.3) / KT
    assert found.wall_rise == pytest.approx(WALL_KT + coulomb, abs=0.01)
    assert found.to_dict()["wall_monotonic"] is True


def test_scans_of_small_beads_begin_within_their_own_wall():
    table = PairTable(("Na", "Na"), 0.12, tuple(0.6 - R))
    assert isolated_dimer(bundle(priors=(PairSpline((table,), 0.6),)), ("Na", "Na")).scan.r[0] == pytest.approx(0.02)


def test_the_pressure_of_charges_is_that_of_their_energy(sides):
    """Coulomb energies are of degree -1, so P V = N kT + U/3; U by the textbook Ewald sum."""
    frames = sides[0][:3]
    charges = np.array(IONS.charges) / np.sqrt(72.0)
    energies = [ewald(np.asarray(positions, float), charges, 1.3)[0] for positions in frames.positions]
    found = pressure_of(bundle(priors=(COULOMB,)), frames)
    assert found.bar == pytest.approx(BAR * (12 * KT + np.mean(energies) / 3) / 1.3**3, rel=2e-3)
    assert found.ideal_bar == pytest.approx(BAR * 12 * KT / 1.3**3)


def test_a_box_that_cannot_shrink_by_the_step_has_no_pressure_but_a_reason(sides):
    """A cutoff of half the box is allowed, OpenMM refuses it in the box that is 0.2 % smaller."""
    half, below = (ScreenedCoulomb(CHARGES, eps_r=72.0, cutoff_nm=cutoff) for cutoff in (0.65, 0.6486))
    assert isinstance(pressure_of(bundle(priors=(below,)), sides[1][:2]), Pressure)
    found = find_pairs(*sides, PAIRS, bundle(priors=(half,)))
    assert found.salt is not None
    row = json.loads(json.dumps(found.to_dict()))["virial_pressure"]
    assert row["bar"] is None
    assert "0.2 % smaller" in row["reason"]
    assert "cutoff of 0.65 nm (the box is 1.3 nm wide)" in row["reason"]


def test_a_salt_is_compared_with_the_volume_fraction_of_its_solvent(found):
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    salt = data["electrolyte"]
    assert salt["activity_derivative_cg"] == pytest.approx(0.9 * salt["osmotic_modulus_kT_cg"])
    assert [row["pair"] for row in data["dimers"]] == ["Na-Na", "Na-Cl", "Cl-Cl"]
    assert data["virial_pressure"]["ideal_bar"] == pytest.approx(BAR * 12 * KT / 1.3**3)


def test_tables_and_pictures_hold_what_was_found(found, sides, tmp_path):
    curves = list(zip(*map(rdf, sides), strict=True))
    found.write_csv(tmp_path, curves, (300.0, 310.0))
    tables = {}
    for name in ("dimers", "pmf", "kirkwood_buff"):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [tuple(rows[0]) for rows in tables.values()] == [CHARGED_DIMER_COLUMNS, PMF_COLUMNS, KIRKWOOD_BUFF_COLUMNS]
    row = tables["dimers"][0]
    assert float(row["w_kJ_mol"]) == pytest.approx(float(row["short_range_kJ_mol"]) + float(row["coulomb_kJ_mol"]), rel=1e-5)
    written = [row["w_cg_kJ_mol"] for row in tables["pmf"] if row["pair"] == "Na-Cl"]
    expected = mean_potential(curves[1][1], 310.0).energy
    assert [text == "" for text in written] == np.isnan(expected).tolist()
    np.testing.assert_allclose([float(text) for text in written if text], expected[~np.isnan(expected)], rtol=1e-5)
    integrals = [float(row["G_cg_nm3"]) for row in tables["kirkwood_buff"] if row["pair"] == "Cl-Cl"]
    np.testing.assert_allclose(integrals, found.salt.kirkwood_buff["cg"].G[2], rtol=1e-5)
    drawings = found.drawings()
    assert set(drawings) == {"dimers", "coordination", "pmf", "kirkwood_buff"}
    assert all(isinstance(draw(LIGHT), Figure) for draw in drawings.values())


def test_of_many_pairs_those_with_the_weakest_walls_are_drawn(found):
    heights = [7.0, 1.0, 9.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    r = np.arange(0.1, 1.2, 0.0025)
    many = [
        IsolatedDimer(DimerScan(("A", str(h)), r, h * KT * (1.2 - r) / 0.05, np.zeros_like(r), 0.0), 0.3, 300.0)
        for h in heights
    ]
    figure = replace(found, dimers=many).drawings()["dimers"](LIGHT)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"A-{h}" for h in heights if h <= 6.0]


def test_beads_without_charges_are_scanned_only(tmp_path):
    mapping = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 0.0, "Cl": 0.0})
    frames = hard_gas(10, 12, 1.3, diameter=0.3, seed=1, mapping=mapping)
    found = find_pairs(frames, frames, PAIRS, bundle(mapping, (SPLINES,)))
    assert (found.salt, found.pressure) == (None, None)
    assert found.dimers[1].wall_rise == pytest.approx(WALL_KT, abs=0.01)
    assert not found.dimers[1].scan.coulomb.any()
    found.write_csv(tmp_path, [], (300.0, 300.0))
    assert {path.name for path in tmp_path.iterdir()} == {"dimers.csv", "pmf.csv"}
    assert (tmp_path / "dimers.csv").read_text().splitlines()[0].split(",") == list(DIMER_COLUMNS)
    assert set(found.drawings()) == {"dimers"}
    (axes, *_) = found.drawings()["dimers"](LIGHT).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["w(r)"]


def test_isolated_dimers_are_at_infinite_dilution_only_where_a_solvent_was_eliminated(sides):
    """Charged beads, and beads whose data record their solvent; a neat liquid has none."""
    mapping = charged_mapping({"Na": 6, "Cl": 6}, {"Na": 0.0, "Cl": 0.0})
    neat = hard_gas(4, 12, 1.3, diameter=0.3, seed=1, mapping=mapping)
    solutes = replace(neat, meta=replace(neat.meta, provenance={"solvent": {"name": "water"}}))
    potential = bundle(mapping, (SPLINES,))
    assert find_pairs(neat, neat, PAIRS[:1], potential).to_dict()["solvent_eliminated"] is False
    assert find_pairs(solutes, neat, PAIRS[:1], potential).to_dict()["solvent_eliminated"] is True
    one = [side[:1] for side in sides]
    assert find_pairs(*one, PAIRS[:1], bundle()).to_dict()["solvent_eliminated"] is True


def test_dielectric_constant_of_the_priors():
    assert dielectric_constant([SPLINES, COULOMB]) == 72.0
    assert dielectric_constant([SPLINES]) is None
