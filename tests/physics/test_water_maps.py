"""Right and wrong maps of water: rigid and flexible, of three and of four sites. The certificate and T_conf both tell."""

import numpy as np
import openmm
import pytest
from openmm import unit
from systems import atom_frames, remap, water, water_of, with_maps

from cgnnp.diagnostics.configurational_temperature import T_CONF_DISAGREES, configurational_temperature
from cgnnp.frames.frames import Frames
from cgnnp.mapping.force_map import certify
from cgnnp.mapping.mapping import Mapping

O_MASS, H_MASS = 15.99943, 1.007947
THREE = np.array([O_MASS, H_MASS, H_MASS]) / (O_MASS + 2 * H_MASS)
"""Weights of the centre of mass, as OpenMM's force fields have the masses."""

COM, MEAN, NET = THREE.tolist(), THREE.tolist(), [1.0, 1.0, 1.0]
OXYGEN = [1.0, 0.0, 0.0]

RIGHT = {"net force on the centre of mass": (COM, NET), "net force on the oxygen": (OXYGEN, NET)}
RAW = {"raw oxygen force on the oxygen": (OXYGEN, OXYGEN)}
"""Valid for flexible water only."""

WRONG = {"raw oxygen force on the centre of mass": (COM, OXYGEN), "mass-weighted mean force": (COM, MEAN)}
COUNTED = {"M site counted": ([*COM, 0.0], [*NET, 1.0])}


def four_sites(maps: dict) -> dict:
    """The same maps with an M site that counts in neither."""
    return {name: ([*C, 0.0], [*B, 0.0]) for name, (C, B) in maps.items()}


KINDS = {
    "rigid, 3 sites": (lambda n: water(n), RIGHT, WRONG | RAW),
    "flexible, 3 sites": (lambda n: water_of("spce.xml", n, rigid=False), RIGHT | RAW, WRONG),
    "rigid, 4 sites": (
        lambda n: water_of("tip4pew.xml", n, rigid=True),
        four_sites(RIGHT),
        four_sites(WRONG | RAW) | COUNTED,
    ),
    "flexible, 4 sites": (
        lambda n: water_of("tip4pew.xml", n, rigid=False),
        four_sites(RIGHT | RAW),
        four_sites(WRONG) | COUNTED,
    ),
}


def mappings(mapping: Mapping, maps: dict) -> dict[str, Mapping]:
    """The mappings that have these maps; weights of the centre of mass are the mapping's own."""
    own = mapping.blocks[0].configuration[0]
    own = np.asarray(own.todense()).ravel() if hasattr(own, "todense") else np.asarray(own)
    return {name: with_maps(mapping, own.tolist() if C[1] else C, B) for name, (C, B) in maps.items()}


def product(mapping: Mapping) -> float:
    """B C^T of a single bead."""
    C, B = (
        np.asarray(part.todense() if hasattr(part, "todense") else part).ravel()
        for part in (mapping.blocks[0].configuration, mapping.blocks[0].force)
    )
    return float(B @ C)


FIRST_SHELL = (0.22, 0.42)
"""One bump over the first peak of g(r), nm: a wrong map may miss in opposite ways on the two sides of it."""


def sigmas_off(
    atoms: Frames, mapping: Mapping, temperature: float = 300.0, windows: list[tuple[float, float]] | None = None
) -> float:
    """How far T_conf is from a temperature (K), in standard errors."""
    result = configurational_temperature(remap(atoms, mapping), windows=windows)
    assert result.value is not None, result.reason
    return abs(result.value - temperature) / result.stderr


def is_at(atoms: Frames, mapping: Mapping, temperature: float) -> bool:
    """Whether T_conf is a temperature (K) by the rule of the map stage: 2 % or four standard errors, of a short run."""
    result = configurational_temperature(remap(atoms, mapping))
    return result.in_a_word(temperature) != T_CONF_DISAGREES


@pytest.mark.parametrize("kind", KINDS)
def test_the_certificate_tells_right_from_wrong_maps(kind):
    make, right, wrong = KINDS[kind]
    system = make(27)
    for mapping in mappings(system.mapping, right).values():
        certify(mapping)
    for mapping in mappings(system.mapping, wrong).values():
        with pytest.raises(ValueError, match=r"held rigid|B C\^T|already spread"):
            certify(mapping)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_openmm_reports_a_force_on_the_m_site_that_it_has_spread_already(platform):
    """So that forces on the atoms add up to nothing without it, and counting it counts it twice."""
    reference = water_of("tip4pew.xml", 8, rigid=True).reference
    integrator = openmm.VerletIntegrator(0.001)
    context = openmm.Context(reference.system, integrator, openmm.Platform.getPlatformByName(platform))
    context.setPositions(reference.positions)
    context.computeVirtualSites()
    state = context.getState(getForces=True)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer).reshape(-1, 4, 3)
    size = np.linalg.norm(forces[:, 3], axis=1).mean()
    assert size > 10.0
    assert np.linalg.norm(forces[:, :3].sum(axis=(0, 1))) < 1e-2 * size
    assert np.linalg.norm(forces.sum(axis=(0, 1))) > size


@pytest.mark.medium
def test_rigid_water_of_three_sites(water_64_atoms):
    """64 molecules, 19 ps: the right map within 4 sigma of about 2 %, the raw oxygen force typically 13 sigma off."""
    atoms, mapping = water_64_atoms
    result = configurational_temperature(remap(atoms, mapping))
    assert result.value == pytest.approx(300.0, abs=4 * result.stderr)
    assert result.stderr < 10.0
    wrong = mappings(mapping, WRONG)["raw oxygen force on the centre of mass"]
    assert sigmas_off(atoms, wrong) > 5


@pytest.mark.medium
def test_rigid_water_of_four_sites(tmp_path):
    """As above, with the M site counted."""
    system = water_of("tip4pew.xml", 64, rigid=True)
    atoms = atom_frames(system, tmp_path, n_frames=160, interval_ps=0.08)
    assert sigmas_off(atoms, system.mapping) < 4
    assert sigmas_off(atoms, mappings(system.mapping, COUNTED)["M site counted"]) > 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_right_maps_have_the_temperature_and_wrong_ones_are_many_sigma_off(kind, tmp_path):
    """Minutes: 216 molecules, 48 ps, of flexible water 12 ps in steps of 0.5 fs, where 10 sigma take 4 times as long.

    For flexible molecules < b.f u > = - k_B T < (B C^T) div u >: T_conf is exactly (B C^T) 300 K for any constant B.
    """
    make, right, wrong = KINDS[kind]
    system = make(216)
    rigid = kind.startswith("rigid")
    sampling = (
        {"n_frames": 300, "interval_ps": 0.16, "equilibration_ps": 20.0}
        if rigid
        else {"n_frames": 600, "interval_ps": 0.02, "timestep_fs": 0.5}
    )
    atoms = atom_frames(system, tmp_path, **sampling)
    for name, mapping in mappings(system.mapping, right).items():
        certify(mapping)
        assert is_at(atoms, mapping, 300.0), name
    for name, mapping in mappings(system.mapping, wrong).items():
        off = max(sigmas_off(atoms, mapping), sigmas_off(atoms, mapping, windows=[FIRST_SHELL]))
        assert off > (10 if rigid else 4), name
        if not rigid and name not in COUNTED:
            assert is_at(atoms, mapping, 300.0 * product(mapping)), name


@pytest.mark.slow
def test_the_raw_oxygen_force_of_flexible_water_is_right_but_noisier(tmp_path):
    """64 molecules, 20 ps: the same mean force as the net force has, with more noise on it."""
    system = water_of("spce.xml", 64, rigid=False)
    atoms = atom_frames(system, tmp_path, n_frames=250, interval_ps=0.08, timestep_fs=0.5)
    mean_square = {}
    for name, mapping in mappings(system.mapping, {"net": (OXYGEN, NET), "raw": (OXYGEN, OXYGEN)}).items():
        certify(mapping)
        assert is_at(atoms, mapping, 300.0), name
        mean_square[name] = np.square(remap(atoms, mapping).forces).mean()
    assert mean_square["raw"] > 4 * mean_square["net"]
