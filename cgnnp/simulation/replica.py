"""One replica of a coarse-grained run: its dynamics, its files, and how it continues after a kill."""

import struct
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from openmm import app

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, run_chunks, start
from cgnnp.dynamics.openmm_topology import bead_topology, write_topology
from cgnnp.frames.dataset import FramesWriter, count_frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.runtime.names_in_files import FROM_COARSE_RUN
from cgnnp.runtime.platforms import PlatformChoice
from cgnnp.runtime.storage import write_file
from cgnnp.simulation.beads import BeadSystem
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.system import create_system
from cgnnp.simulation.potential_files import load

TRAJECTORY, LOG, STATE, FRAMES = "trajectory.dcd", "log.csv", "state.xml", "frames"
TOPOLOGY = "topology.cif"
"""Beads with box and starting positions (PDBx), with which other programs read `TRAJECTORY`."""

DCD_COUNT, DCD_HEADER, DCD_BOX = 8, 276, 56
"""Layout of OpenMM's DCD files in bytes: offset of the number of frames, size of the header, and size of the box record
before each frame."""


def run_replica(
    bundle_directory: Path,
    directory: Path,
    protocol: LangevinProtocol,
    n_frames: int,
    platform: PlatformChoice,
    backend: str,
    chunk_frames: int,
    beads: BeadSystem,
) -> None:
    """Run one replica to its length, in a process of its own.

    Torch uses a single thread, so that it does not compete with OpenMM for cores.

    Args:
        bundle_directory: folder of the exported potential.
        directory: folder of the replica.
        protocol: settings of the dynamics.
        n_frames: number of frames at the end, including those that the replica has already.
        platform: OpenMM platform to run on.
        backend: back end of the network's forces, "torch" or "python".
        chunk_frames: number of frames in a chunk.
        beads: beads, box and starting positions.
    """
    torch.set_num_threads(1)
    bundle = load(bundle_directory, self_check=False)
    # The System is built from checked data. system.xml is not used, because a network in it may contain arbitrary code.
    topology = bead_topology(beads.mapping, beads.box)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the caller has already warned of the density, once for all replicas
        system = create_system(bundle, topology, backend)
    frames_directory = directory / FRAMES
    directory.mkdir(parents=True, exist_ok=True)
    write_topology(directory / TOPOLOGY, topology, beads.positions)
    writer = FramesWriter(frames_directory, replica_meta(bundle, beads, protocol, backend))
    (directory / STATE).unlink(missing_ok=True)  # this file marks a finished replica
    begin = np.asarray(beads.positions, dtype=np.float64)
    simulation = start(topology, system, begin, protocol, platform, frames_directory, minimize=beads.scattered)
    _add_reporters(simulation, directory, protocol, count_frames(frames_directory))
    run_chunks(simulation, protocol, [writer], n_frames, chunk_frames=chunk_frames)
    state = simulation.context.getState(positions=True, velocities=True)
    write_file(directory / STATE, openmm.XmlSerializer.serialize(state))


def replica_meta(bundle: PotentialBundle, beads: BeadSystem, protocol: LangevinProtocol, backend: str) -> FramesMeta:
    """Return the metadata of the frames of a replica."""
    return FramesMeta(
        beads.mapping.of_beads(),
        temperature=protocol.temperature_K,
        interval=protocol.frame_interval,
        provenance={
            "source": FROM_COARSE_RUN,
            "potential": bundle.digest,
            **({"box_nm": beads.box.tolist()} if beads.scattered else {}),
            "protocol": asdict(protocol),
            "force_backend": backend,
        },
    )


def _add_reporters(simulation: Any, directory: Path, protocol: LangevinProtocol, done: int) -> None:
    """Add OpenMM's reporters for trajectory.dcd and log.csv.

    After a restart, frames and lines beyond the last finished chunk are first removed from these files.

    Args:
        simulation: simulation to which the reporters are added.
        directory: folder of the replica.
        protocol: settings of the dynamics.
        done: number of frames in finished chunks.
    """
    trajectory, table = directory / TRAJECTORY, directory / LOG
    if trajectory.exists():
        _keep_frames(trajectory, done, simulation.topology.getNumAtoms())
    if table.exists():
        write_file(table, "".join(table.read_text(errors="replace").splitlines(keepends=True)[: done + 1]))
    appending = {"append": done > 0 and trajectory.exists()}
    steps = protocol.steps_per_frame
    simulation.reporters.append(app.DCDReporter(str(trajectory), steps, enforcePeriodicBox=False, **appending))
    simulation.reporters.append(
        app.StateDataReporter(
            str(table),
            steps,
            step=True,
            time=True,
            potentialEnergy=True,
            kineticEnergy=True,
            temperature=True,
            speed=True,
            append=done > 0 and table.exists(),
        )
    )


def _keep_frames(path: Path, n_frames: int, n_beads: int) -> None:
    """Shorten a DCD file, in place, to at most `n_frames` complete frames.

    The file may have fewer frames, if an earlier file was moved away or frames were lost in a power cut.
    """
    one = DCD_BOX + 3 * (4 * n_beads + 8)
    whole = min(n_frames, max(0, path.stat().st_size - DCD_HEADER) // one)
    if whole == 0:
        path.unlink()
        return
    with path.open("r+b") as file:
        file.seek(DCD_COUNT)
        file.write(struct.pack("<i", whole))
        file.truncate(DCD_HEADER + whole * one)
