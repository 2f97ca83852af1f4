"""Small systems and data sets with known properties, as plain functions."""

from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import openmm
from openmm import app, unit
from scipy.special import erfc

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.frames.pairs import minimum_image
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
from cgnnp.mappings.water import center_of_mass
from cgnnp.reference.sampling.langevin import LangevinSource
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.reference.systems.water import water_spce
from cgnnp.runtime.platforms import choose_platform
from cgnnp.units import COULOMB, thermal_energy


def identity_mapping(counts: dict[str, int], name: str = "atoms", bonds: tuple[tuple[int, int], ...] = ()) -> Mapping:
    """Every atom its own bead, of the types and in the numbers given; `bonds` make one molecule of each kind."""
    blocks, first = [], 0
    for kind, count in counts.items():
        size, copies = (count, 1) if bonds else (1, count)
        blocks.append(
            Block(
                name=kind,
                configuration=np.eye(size),
                force=np.eye(size),
                bead_types=(kind,) * size,
                masses=(39.9,) * size,
                charges=(0.0,) * size,
                copies=((first, size, copies),),
                offsets=tuple(range(size)),
                parents=(0,) * size,
                bonds=bonds,
            )
        )
        first += count
    return Mapping(name, first, tuple(blocks))


def charged_mapping(counts: dict[str, int], charges: dict[str, float]) -> Mapping:
    """Every atom its own bead, with charges by type."""
    plain = identity_mapping(counts)
    return replace(plain, blocks=tuple(replace(block, charges=(charges[block.name],)) for block in plain.blocks))


def frames_of(
    positions: np.ndarray, forces: np.ndarray, length: float, mapping: Mapping | None = None, temperature: float = 300.0
) -> Frames:
    """Frames in a cubic box; of atoms of one kind unless a mapping is given."""
    mapping = mapping or identity_mapping({"AR": positions.shape[1]})
    boxes = np.tile(length * np.eye(3), (len(positions), 1, 1))
    return Frames(positions, forces, boxes, FramesMeta(mapping, temperature=temperature, interval=1.0))


def ideal_gas(
    n_frames: int, n_beads: int, length: float, *, seed: int, mapping: Mapping | None = None, temperature: float = 300.0
) -> Frames:
    """Independent uniform positions, no forces."""
    positions = np.random.default_rng(seed).uniform(0.0, length, (n_frames, n_beads, 3))
    return frames_of(positions, np.zeros_like(positions), length, mapping, temperature)


def hard_gas(
    n_frames: int, n_beads: int, length: float, *, diameter: float, seed: int, mapping: Mapping | None = None
) -> Frames:
    """Independent random positions with no pair closer than the diameter, so that closest pairs are well sampled."""
    rng = np.random.default_rng(seed)
    positions = np.empty((n_frames, n_beads, 3))
    for frame in positions:
        placed = 0
        while placed < n_beads:
            vectors = frame[:placed] - (trial := rng.uniform(0.0, length, 3))
            vectors -= length * np.round(vectors / length)
            if (np.sum(vectors**2, axis=1) > diameter**2).all():
                frame[placed] = trial
                placed += 1
    return frames_of(positions, np.zeros_like(positions), length, mapping)


def all_pair_vectors(positions: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    """R_I - R_J of every ordered pair in cubic boxes, (frames, beads, beads, 3), and distances, infinite for I = J."""
    vectors = positions[:, :, None] - positions[:, None]
    vectors -= length * np.round(vectors / length)
    distances = np.linalg.norm(vectors, axis=-1)
    distances[:, np.arange(positions.shape[1]), np.arange(positions.shape[1])] = np.inf
    return vectors, distances


def add_pair_forces(frames: Frames, force) -> Frames:
    """Frames with F_I = sum_J f(R_IJ) R_IJ/|R_IJ| added, by the obvious double loop (cubic boxes)."""
    vectors, distances = all_pair_vectors(np.asarray(frames.positions, dtype=float), float(frames.boxes[0, 0, 0]))
    added = np.sum((force(distances) / distances)[..., None] * vectors, axis=2)
    return replace(frames, forces=frames.forces + added)


def add_noise(frames: Frames, sigma: float, seed: int) -> Frames:
    """Frames with Gaussian noise of standard deviation sigma on every force component."""
    noise = np.random.default_rng(seed).normal(0.0, sigma, frames.forces.shape)
    return replace(frames, forces=frames.forces + noise)


def energy_and_forces(force: openmm.Force, positions: np.ndarray, box: np.ndarray) -> tuple[float, np.ndarray]:
    """By OpenMM's Reference platform, in double precision."""
    system = openmm.System()
    for _ in positions:
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*box.tolist())
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    per_nm = unit.kilojoule_per_mole / unit.nanometer
    return (
        state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole),
        state.getForces(asNumpy=True).value_in_unit(per_nm),
    )


def ewald(positions: np.ndarray, charges: np.ndarray, length: float) -> tuple[float, np.ndarray]:
    """Energy (kJ/mol) and forces of point charges (e) in a cubic box in vacuum, by the textbook Ewald sum (tin-foil).

    Both parts are cut where their terms are 1e-7 of the largest, so it holds to about 1e-6.
    """
    alpha = 8.0 / length
    vectors, distances = all_pair_vectors(positions[None], length)
    vectors, distances = vectors[0], distances[0]
    products = np.outer(charges, charges)
    within = distances < length / 2
    r = np.where(within, distances, 1.0)
    direct = np.where(within, products * erfc(alpha * r) / r, 0.0)
    slope = np.where(within, products * 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2)), 0.0)
    forces = np.einsum("ij,ijx->ix", (direct + slope) / r**2, vectors)
    waves = np.stack(np.meshgrid(*[np.arange(-11, 12)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    k = 2 * np.pi / length * waves[(waves != 0).any(axis=1) & (np.sum(waves**2, axis=1) <= 121)]
    squares = np.sum(k**2, axis=1)
    damped = 4 * np.pi / length**3 * np.exp(-squares / (4 * alpha**2)) / squares
    phases = np.exp(1j * positions @ k.T)
    structure = charges @ phases
    energy = direct.sum() / 2 + np.sum(damped * np.abs(structure) ** 2) / 2 - alpha / np.sqrt(np.pi) * np.sum(charges**2)
    forces += (damped * (phases * structure.conj()).imag * charges[:, None]) @ k
    return COULOMB * energy, COULOMB * forces


def metropolis(
    energy,
    *,
    n_frames: int,
    n_beads: int,
    length: float,
    thermal_energy: float,
    sweeps: int,
    step: float,
    seed: int,
    strengths: np.ndarray | None = None,
) -> np.ndarray:
    """Independent Boltzmann configurations of u(r) pairs: as many Markov chains as frames, from uniform starts.

    `strengths` (beads, beads) are factors of the energies of every pair.
    """
    rng = np.random.default_rng(seed)
    positions = rng.uniform(0.0, length, (n_frames, n_beads, 3))

    def energy_of(k: int, place: np.ndarray) -> np.ndarray:
        vectors = np.delete(positions, k, axis=1) - place[:, None]
        vectors -= length * np.round(vectors / length)
        factors = 1.0 if strengths is None else np.delete(strengths[k], k)
        return (factors * energy(np.sqrt(np.einsum("fbx,fbx->fb", vectors, vectors)))).sum(axis=1)

    for _ in range(sweeps):
        for k in range(n_beads):
            trial = positions[:, k] + rng.uniform(-step, step, (n_frames, 3))
            rise = energy_of(k, trial) - energy_of(k, positions[:, k])
            accepted = rng.uniform(size=n_frames) < np.exp(-np.maximum(rise, 0.0) / thermal_energy)
            positions[accepted, k] = trial[accepted]
    return positions


SOFT_STRENGTH, SOFT_RANGE, SOFT_LENGTH = 30.0, 0.5, 1.3


def soft_energy(r: np.ndarray) -> np.ndarray:
    """Soft spheres, A (1 - r/s)^2 within s: 12 kT at contact."""
    return np.where(r < SOFT_RANGE, SOFT_STRENGTH * (1 - r / SOFT_RANGE) ** 2, 0.0)


def soft_force(r: np.ndarray) -> np.ndarray:
    """Minus its derivative."""
    return np.where(r < SOFT_RANGE, 2 * SOFT_STRENGTH / SOFT_RANGE * (1 - r / SOFT_RANGE), 0.0)


def soft_spheres(n_frames: int, counts: dict[str, int], strengths: np.ndarray | None = None, *, seed: int) -> Frames:
    """Independent Boltzmann configurations at 300 K with their forces, wrapped; `strengths` (beads, beads) for mixtures."""
    mapping = identity_mapping(counts)
    positions = metropolis(
        soft_energy,
        n_frames=n_frames,
        n_beads=mapping.n_beads,
        length=SOFT_LENGTH,
        thermal_energy=thermal_energy(300.0),
        sweeps=80,
        step=0.25,
        seed=seed,
        strengths=strengths,
    )
    frames = frames_of(np.mod(positions, SOFT_LENGTH), np.zeros_like(positions), SOFT_LENGTH, mapping)
    return add_pair_forces(frames, lambda r: (1.0 if strengths is None else strengths) * soft_force(r))


def random_triclinic(rng: np.random.Generator, low: float = 1.5, high: float = 2.5) -> np.ndarray:
    """A reduced (lower triangular) cell: off-diagonal elements at most half the diagonal ones."""
    a, b, c = rng.uniform(low, high, 3)
    tilt = rng.uniform(-0.5, 0.5, 3)
    return np.array([[a, 0, 0], [tilt[0] * a, b, 0], [tilt[1] * a, tilt[2] * b, c]])


def brute_force_distances(positions: np.ndarray, box: np.ndarray, images: int = 2) -> np.ndarray:
    """Shortest distances between all pairs by trying every image, (beads, beads)."""
    shifts = np.stack(np.meshgrid(*[np.arange(-images, images + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ box
    vectors = minimum_image((positions[:, None] - positions[None]).reshape(-1, 3), box)
    return np.linalg.norm(vectors[:, None] + shifts, axis=-1).min(axis=1).reshape(len(positions), len(positions))


@dataclass(frozen=True)
class Water:
    """Rigid SPC/E water and its one-bead mapping."""

    reference: ReferenceSystem
    mapping: Mapping


def water(n_molecules: int) -> Water:
    """The largest cutoff that the box allows, up to 0.9 nm."""
    half = (n_molecules / 33.33) ** (1 / 3) / 2
    reference = water_spce(n_molecules=n_molecules, cutoff_nm=min(0.9, np.floor(half * 0.99 * 100) / 100))
    return Water(reference, center_of_mass(describe(reference.topology, reference.system)))


FAST = LangevinProtocol(equilibration_ps=0.2, frame_interval_ps=0.02, seed=1)
"""Too short to be liquid water; long enough to be frames."""


def sample_water(
    system: Water, directory: Path, n_frames: int, protocol: LangevinProtocol = FAST, chunk_frames: int = 3
) -> Path:
    """Sample on the CPU platform."""
    source = LangevinSource(system.reference, protocol, n_frames, chunk_frames=chunk_frames)
    source.provide(system.mapping, directory, n_frames, choose_platform("CPU"))
    return directory


def atoms_of(mapping: Mapping) -> Mapping:
    """The same molecules with every atom a bead. Says nothing of constraints: only to store atoms, not to train on."""
    (block,) = mapping.blocks
    size = len(block.offsets)
    atoms = replace(
        block,
        configuration=np.eye(size),
        force=np.eye(size),
        bead_types=tuple(f"A{k}" for k in range(size)),
        masses=(1.0,) * size,
        charges=(0.0,) * size,
        rigid_groups=(),
    )
    return replace(mapping, name="atoms", blocks=(atoms,))


def water_of(force_field: str, n_molecules: int, *, rigid: bool) -> Water:
    """Water of one of OpenMM's force fields, with the virtual sites that it has, and its one-bead mapping."""
    spce = water(n_molecules).reference
    field = app.ForceField(force_field)
    modeller = app.Modeller(spce.topology, spce.positions * unit.nanometer)
    modeller.addExtraParticles(field)
    system = field.createSystem(
        modeller.topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=spce.description["cutoff_nm"] * unit.nanometer,
        rigidWater=rigid,
    )
    positions = np.array(modeller.positions.value_in_unit(unit.nanometer))
    description = {"name": force_field, "rigid": rigid, "n_molecules": n_molecules}
    reference = ReferenceSystem(force_field, modeller.topology, system, positions, description)
    return Water(reference, center_of_mass(describe(reference.topology, reference.system)))


def atom_frames(
    system: Water,
    directory: Path,
    *,
    n_frames: int,
    interval_ps: float,
    timestep_fs: float = 4.0,
    equilibration_ps: float = 6.0,
) -> Frames:
    """Equilibrated frames of all particles, to be mapped in several ways."""
    protocol = LangevinProtocol(
        equilibration_ps=equilibration_ps,
        frame_interval_ps=interval_ps,
        friction_per_ps=5.0,
        timestep_fs=timestep_fs,
        seed=3,
    )
    with patch("cgnnp.reference.sampling.langevin.certify"):  # which refuses the forces on single atoms of rigid water
        stored = sample_water(
            replace(system, mapping=atoms_of(system.mapping)), directory / "atoms", n_frames, protocol, 100
        )
    return open_frames(stored)


def water_atom_frames(n_molecules: int, directory: Path, *, n_frames: int, interval_ps: float) -> tuple[Frames, Mapping]:
    """Such frames of rigid SPC/E water, and the one-bead mapping."""
    system = water(n_molecules)
    return atom_frames(system, directory, n_frames=n_frames, interval_ps=interval_ps), system.mapping


def remap(atoms: Frames, mapping: Mapping) -> Frames:
    """Map stored atoms."""
    meta = replace(atoms.meta, mapping=mapping)
    return Frames(mapping.map_positions(atoms.positions, atoms.boxes), mapping.map_forces(atoms.forces), atoms.boxes, meta)


def with_force_map(mapping: Mapping, force: list[list[float]]) -> Mapping:
    """The mapping with another force map in its only block, going around the certificate."""
    return replace(mapping, blocks=(replace(mapping.blocks[0], force=np.array(force)),))


def with_maps(mapping: Mapping, configuration: list[float], force: list[float]) -> Mapping:
    """The mapping with other maps of its single bead, going around the certificate."""
    block = replace(mapping.blocks[0], configuration=np.array([configuration]), force=np.array([force]))
    return replace(mapping, blocks=(block,))
