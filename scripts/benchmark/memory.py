"""How much memory a large data set takes: to open it, and to fit a network to it, each in a process of its own.

    python scripts/benchmark/memory.py --work DIR          # 1 GB of frames, made once; some minutes
    python scripts/benchmark/memory.py --quick             # a fifth of that

The frames are of beads on a lattice with noise, and forces of noise: what they are does not matter here. Memory is what the
process has of its own beyond what importing takes, RssAnon of /proc; pages of mapped files are shown beside it. A fit is one
epoch of the smallest network to all frames; a batch of four is a few MB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

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
    """Return what a data set takes."""
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
    """Make a data set of so many MB, or what of it is not there."""
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
    """Open a data set."""
    return watched(lambda: open_frames(data))


def fitted(data: Path) -> Usage:
    """Fit to a data set."""
    import lightning  # noqa: F401 (imports do not count)
    import openmm  # noqa: F401

    walls = cgnnp.option("prior", "pairs", cutoff_nm=0.45, max_frames=20, min_count=5, walls_only=True)
    network = cgnnp.network("nequip", cutoff_nm=0.42, layers=1, l_max=0, features=4)
    plan = FitPlan(prior=(walls,), network=network, trainer=cgnnp.option("trainer", "force_matching", max_epochs=1))
    frames = open_frames(data)
    with tempfile.TemporaryDirectory(dir=data.parent) as folder:
        return watched(lambda: fit_model([frames], plan, Path(folder)))


if __name__ == "__main__":
    main()
