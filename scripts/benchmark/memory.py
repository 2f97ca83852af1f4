"""Measure the memory that it takes to open a large data set, and to fit a network to it, each in a new process.

    python scripts/benchmark/memory.py --work DIR          # 1 GB of frames, made once; some minutes
    python scripts/benchmark/memory.py --quick             # 200 MB of frames

The frames have random positions near a lattice and random forces, since memory does not depend on the values. Memory means
RssAnon of /proc, which belongs to the process alone, less its value after the imports; pages of memory-mapped files have
rows of their own. The fit is one epoch of the smallest network on all frames; a batch of four frames has a few MB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # modules that the scripts share

import numpy as np
from processes import Usage, in_new_process, watched
from rows import Row, at_most, judged, parser, report

import cgnnp
from cgnnp.frames.dataset import FramesWriter, count_frames, open_frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping
from cgnnp.workflow.fitting import fit_model
from cgnnp.workflow.plan import FitPlan

SIDE, SPACING_NM, CHUNK = 16, 0.38, 100
BEADS = SIDE**3


def main() -> None:
    report(parser(__doc__).parse_args(), measure, "memory")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Return rows of memory (MB) and time (s) for opening a data set and for fitting to it."""
    size, rows = 200 if arguments.quick else 1000, []
    data = arguments.work / f"frames_{size}_MB"
    make(data, size)
    for name, function, limit in (("open", opened, 100.0), ("fit to", fitted, 1000.0)):
        usage: Usage = in_new_process(function, data)
        label = f"{name} {size} MB of frames"
        rows.append(judged(f"{label}: memory, MB", usage.own_mb, at_most(limit)))
        rows.append(Row(f"{label}: mapped files, MB", usage.mapped_mb))
        rows.append(Row(f"{label}: time, s", usage.seconds))
    return rows


def make(folder: Path, megabytes: float) -> None:
    """Write frames to a data set until it has the given size in MB; frames that it has already count."""
    generator, one = np.random.default_rng(0), np.eye(1)
    beads: dict[str, tuple] = {"bead_types": ("AR",), "masses": (39.9,), "charges": (0.0,), "offsets": (0,), "parents": (0,)}
    argon = Block(name="AR", configuration=one, force=one, copies=((0, 1, BEADS),), **beads)
    meta = FramesMeta(Mapping("argon", BEADS, (argon,)), temperature=100.0, interval=1.0)
    sites = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * SPACING_NM
    boxes = np.tile(SIDE * SPACING_NM * np.eye(3), (CHUNK, 1, 1))
    writer = FramesWriter(folder, meta)
    while count_frames(folder) * BEADS * 24 < megabytes * 1e6:
        noise = generator.normal(size=(2, CHUNK, BEADS, 3))
        writer.append(sites + 0.02 * noise[0], 30 * noise[1], boxes)
    writer.close()


def opened(data: Path) -> Usage:
    """Open a data set; return the memory and time that this takes."""
    return watched(lambda: open_frames(data))


def fitted(data: Path) -> Usage:
    """Fit a network to a data set; return the memory and time that this takes."""
    import lightning  # noqa: F401 (imported here, so that the memory of imports does not count)
    import openmm  # noqa: F401

    walls = cgnnp.option("prior", "pairs", cutoff_nm=0.45, max_frames=20, min_count=5, walls_only=True)
    network = cgnnp.network("nequip", cutoff_nm=0.42, layers=1, l_max=0, features=4)
    plan = FitPlan(prior=(walls,), network=network, trainer=cgnnp.option("trainer", "force_matching", max_epochs=1))
    frames = open_frames(data)
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        return watched(lambda: fit_model([frames], plan, Path(folder)))


if __name__ == "__main__":
    main()
