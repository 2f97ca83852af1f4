import numpy as np
import openmm
import pytest
from systems import frames_of, ideal_gas, random_triclinic

from cgnnp.analysis.kirkwood_buff import Value
from cgnnp.analysis.pressure import (
    BAR,
    OsmoticPoint,
    Pressure,
    context_energy,
    osmotic_check,
    scaling_derivative,
    virial_pressure,
)
from cgnnp.frames.pairs import minimum_image
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.units import thermal_energy

KT = thermal_energy(300.0)


def pair_vectors(positions: np.ndarray, box: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(len(positions), k=1)
    return minimum_image(positions[i] - positions[j], box)


def test_ideal_gas():
    """P = rho KT exactly, without an error: 1 mol/L at 300 K is 24.94 bar."""
    length = (10 / 0.602214076) ** (1 / 3)
    found = virial_pressure(ideal_gas(5, 10, length, seed=0), lambda positions, box: 0.0)
    assert found.bar == pytest.approx(24.943, abs=1e-3)
    assert found.bar == found.ideal_bar
    assert found.bar_stderr == pytest.approx(0.0, abs=1e-12)
    assert found.kJ_mol_nm3.value == pytest.approx(0.602214076 * KT)


@pytest.mark.parametrize("name", ["soft", "harmonic"])
def test_pairs_have_the_pair_virial(name):
    """P V = N kT + 1/3 sum r f(r), frame by frame, in sheared cells."""
    energies = {"soft": lambda r: 2.0 * (0.3 / r) ** 6, "harmonic": lambda r: 5.0 * (r - 0.4) ** 2 * (r < 0.4)}
    slopes = {"soft": lambda r: -12.0 * 0.3**6 / r**7, "harmonic": lambda r: 10.0 * (r - 0.4) * (r < 0.4)}
    rng = np.random.default_rng(1)

    def energy(positions: np.ndarray, box: np.ndarray) -> float:
        return float(energies[name](np.linalg.norm(pair_vectors(positions, box), axis=1)).sum())

    for _ in range(5):
        box = random_triclinic(rng)
        positions = rng.uniform(0, 1, (12, 3)) @ box
        r = np.linalg.norm(pair_vectors(positions, box), axis=1)
        expected = float((r * slopes[name](r)).sum())
        assert scaling_derivative(energy, positions, box) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    gas = ideal_gas(6, 12, 1.5, seed=2)
    virials = []
    for positions, box in zip(gas.positions, gas.boxes, strict=True):
        r = np.linalg.norm(pair_vectors(positions, box), axis=1)
        virials.append(-(r * slopes[name](r)).sum() / 3)
    expected = BAR * (12 * KT + np.mean(virials)) / 1.5**3
    assert virial_pressure(gas, energy).bar == pytest.approx(expected, rel=1e-4)


def test_many_body_energies():
    """An embedding energy -sum_i sqrt(sum_j s(r_ij)) with s = r^-4 is homogeneous of degree -2: dU/d ln s = -2 U."""
    rng = np.random.default_rng(3)
    positions, box = rng.uniform(0, 1.6, (9, 3)), 1.6 * np.eye(3)

    def energy(positions: np.ndarray, box: np.ndarray) -> float:
        vectors = positions[:, None] - positions[None]
        vectors -= box[0, 0] * np.round(vectors / box[0, 0])
        squares = np.sum(vectors**2, axis=-1) + np.diag(np.full(len(positions), np.inf))
        return -float(np.sqrt((squares**-2.0).sum(axis=1)).sum())

    assert scaling_derivative(energy, positions, box) == pytest.approx(-2 * energy(positions, box), rel=1e-8)


def test_ewald_sums():
    """Coulomb energies are homogeneous of degree -1, with all images: dU/d ln s = -U (an Ewald sum to 1e-4)."""
    rng = np.random.default_rng(4)
    system, force = openmm.System(), openmm.NonbondedForce()
    box = 1.8 * np.eye(3)
    system.setDefaultPeriodicBoxVectors(*box.tolist())
    for k in range(16):
        system.addParticle(1.0)
        force.addParticle((-1.0) ** k, 1.0, 0.0)
    force.setNonbondedMethod(openmm.NonbondedForce.PME)
    force.setCutoffDistance(0.85)
    force.setEwaldErrorTolerance(1e-6)
    system.addForce(force)
    energy = context_energy(PlatformChoice("Reference").context(system, openmm.VerletIntegrator(0.001)))
    positions = rng.uniform(0, 1.8, (16, 3))
    assert scaling_derivative(energy, positions, box) == pytest.approx(-energy(positions, box), rel=1e-4)


def test_block_errors():
    """Pressures that scatter by sigma in independent frames: sigma/sqrt(n)."""
    gas = frames_of(np.zeros((400, 2, 3)), np.zeros((400, 2, 3)), 1.0)
    noise = iter(np.repeat(np.random.default_rng(5).normal(0, 3.0, 400), 4))
    # An energy u ln s has the derivative u.
    found = virial_pressure(gas, lambda positions, box: next(noise) * float(np.log(box[0, 0])))
    assert found.bar_stderr == pytest.approx(BAR * 3.0 / 3 / np.sqrt(400), rel=0.2)
    assert abs(found.bar - found.ideal_bar) < 4 * found.bar_stderr
    assert found.reliable


def point(density: float, slope: float, modulus: float, error: float = 0.0) -> OsmoticPoint:
    """On P = slope rho + rho^2 / 10."""
    bar = BAR * (slope * density + 0.1 * density**2)
    return OsmoticPoint(Pressure(bar, BAR * error, 0.0, density, 0.5, True), Value(modulus, error))


def test_whether_a_pressure_is_osmotic():
    right = [point(rho, 2.0, 2.0 + 0.2 * rho, 0.01) for rho in (1.0, 2.0, 3.0)]
    found = osmotic_check(right[::-1])
    assert found.agrees is True
    assert [part.slope.value for part in found.intervals] == pytest.approx([2.3, 2.5])
    assert [part.expected.value for part in found.intervals] == pytest.approx([2.3, 2.5])
    assert found.intervals[0].slope.stderr == pytest.approx(0.01 * np.sqrt(2))
    wrong = osmotic_check([*right[:2], point(3.0, 2.0, 5.0, 0.01)])
    assert wrong.agrees is False
    assert "between 2 and 3 beads per nm^3" in wrong.reason
    assert wrong.to_dict()["intervals"][1]["dP_drho_kJ_mol"] == pytest.approx(2.5)


def test_what_cannot_be_said():
    assert osmotic_check([point(1.0, 2.0, 2.2)]).agrees is None
    assert osmotic_check([point(1.0, 2.0, 2.2), point(1.0, 2.0, 2.2)]).agrees is None
    blurred = osmotic_check([point(1.0, 2.0, 2.2, 0.5), point(2.0, 2.0, 2.4, 0.5)])
    assert blurred.agrees is None
    assert "error of the difference" in blurred.reason
    assert osmotic_check([point(1.0, 2.0, 2.2, float("nan")), point(2.0, 2.0, 2.4)]).agrees is None
