"""Sample an atomistic system with OpenMM and map positions and forces while it runs."""

import logging
import re
from dataclasses import asdict
from pathlib import Path

import openmm

from cgnnp.dataset import FramesWriter, check_same_data, chunks, count_frames
from cgnnp.dynamics import LangevinProtocol, run_chunks, start
from cgnnp.force_map import certify
from cgnnp.frames import FramesMeta
from cgnnp.mapping import Mapping, data_digest
from cgnnp.platforms import choose_platform
from cgnnp.progress import progress
from cgnnp.reference.systems import ReferenceSystem
from cgnnp.reference.topology import describe

log = logging.getLogger("cgnnp")


def sample(
    reference: ReferenceSystem,
    mapping: Mapping,
    protocol: LangevinProtocol,
    directory: Path,
    n_frames: int,
    *,
    platform: str = "auto",
    chunk_frames: int = 50,
) -> Path:
    """Bring the data set in `directory` to at least `n_frames` mapped frames and return the directory.

    What is already there is kept: a longer run extends, an interrupted one continues from its last chunk.

    Raises:
        ValueError: the mapping is not certified, or the directory holds another data set.
        SimulationFailed: the simulation blew up.
    """
    certify(mapping, describe(reference.topology, reference.system))
    meta = sampling_meta(reference, mapping, protocol)
    done = count_frames(directory)
    if done:
        check_same_data(directory, meta)
    if done >= n_frames:
        log.info("sample: %d frames are already in %s", done, directory)
        return directory
    writer = FramesWriter(directory, meta)
    choice = choose_platform(platform)
    log.info("sample: %s, OpenMM %s, platform %s", reference.name, openmm.version.version, choice)
    if chunks(directory):
        log.info("sample: continuing after %d frames", done)
    else:
        log.info("sample: equilibrating for %g ps", protocol.equilibration_ps)
    simulation = start(reference.topology, reference.system, reference.positions, protocol, choice, directory, minimize=True)
    with progress("sample: frame", n_frames, done) as counter:
        run_chunks(
            simulation,
            mapping,
            protocol,
            writer,
            n_frames,
            chunk_frames=chunk_frames,
            on_chunk=lambda size, speed: counter.update(size, f"{speed:.0f} ns/day"),
        )
    return directory


def system_digest(system: openmm.System) -> str:
    """Hash of everything in a System, whichever OpenMM wrote it."""
    return data_digest(re.sub(r'openmmVersion="[^"]*"', "", openmm.XmlSerializer.serialize(system)))


def sampling_meta(reference: ReferenceSystem, mapping: Mapping, protocol: LangevinProtocol) -> FramesMeta:
    """What the data set records of how it was made, and what its cache key is made of (not its length)."""
    return FramesMeta(
        mapping,
        temperature=protocol.temperature_K,
        interval=protocol.frame_interval,
        ensemble="NVT",
        provenance={
            "source": "cgnnp.reference.sampling",
            "system": reference.description,
            "system_digest": system_digest(reference.system),
            "protocol": asdict(protocol),
        },
    )
