"""How much memory a large data set takes: to open it, and to fit a network to it, each in a process of its own.

    python scripts/benchmark/memory.py --work DIR          # 1 GB of frames, made once; some minutes
    python scripts/benchmark/memory.py --quick             # a fifth of that

The frames are of beads on a lattice with noise, and forces of noise: what they are does not matter here. Memory is what the
process has of its own beyond what importing takes, RssAnon of /proc: pages of files that are mapped come and go as the
system likes, and are shown beside it. A fit is one epoch of the smallest network to all frames; a batch of four is a few MB.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import numpy as np
from rows import Row, parser, report

from cgnnp.frames.dataset import FramesWriter, count_frames
from cgnnp.frames.metadata import FramesMeta
from cgnnp.mapping.block import Block
from cgnnp.mapping.mapping import Mapping

SIDE, CHUNK = 16, 100
BEADS = SIDE**3
OPEN_MB, FIT_MB = 100.0, 1000.0
WATCHED = """
import threading, time
def anonymous(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) / 1024
def watch(work):
    before, mapped_before = anonymous("RssAnon"), anonymous("RssFile")
    most, mapped, done = [0.0], [0.0], threading.Event()
    def look():
        while not done.wait(0.02):
            most[0] = max(most[0], anonymous("RssAnon") - before)
            mapped[0] = max(mapped[0], anonymous("RssFile") - mapped_before)
    thread = threading.Thread(target=look); thread.start()
    started = time.perf_counter(); work(); seconds = time.perf_counter() - started
    done.set(); thread.join()
    print(most[0], mapped[0], seconds)
"""
OPENED = """
import sys, cgnnp.frames.dataset as dataset
frames = []
watch(lambda: frames.append(dataset.open_frames(sys.argv[1])))
"""
FITTED = """
import sys, torch, lightning, openmm
from pathlib import Path
import cgnnp
from cgnnp.frames.dataset import open_frames
from cgnnp.workflow.fitting import fit_model
from cgnnp.workflow.plan import FitPlan
plan = FitPlan(prior=(cgnnp.option("prior", "pairs", cutoff_nm=0.45, max_frames=20, min_count=5, walls_only=True),),
    network=cgnnp.network("nequip", cutoff_nm=0.42, layers=1, l_max=0, features=4),
    trainer=cgnnp.option("trainer", "force_matching", max_epochs=1))
frames = open_frames(sys.argv[1])
watch(lambda: fit_model([frames], plan, Path(sys.argv[2])))
"""


def make(folder: Path, megabytes: float) -> None:
    """A data set of so many MB, made as far as it is not there."""
    generator = np.random.default_rng(0)
    argon = Block(
        name="AR",
        configuration=np.eye(1),
        force=np.eye(1),
        bead_types=("AR",),
        masses=(39.9,),
        charges=(0.0,),
        copies=((0, 1, BEADS),),
        offsets=(0,),
        parents=(0,),
    )
    meta = FramesMeta(Mapping("argon", BEADS, (argon,)), temperature=100.0, interval=1.0)
    sites = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 0.38
    boxes = np.tile(SIDE * 0.38 * np.eye(3), (CHUNK, 1, 1))
    writer = FramesWriter(folder, meta)
    while count_frames(folder) * BEADS * 24 < megabytes * 1e6:
        noise = generator.normal(size=(2, CHUNK, BEADS, 3))
        writer.append(sites + 0.02 * noise[0], 30 * noise[1], boxes)
    writer.close()


def measured(code: str, *arguments: Path) -> tuple[float, float, float]:
    """MB of its own, MB of mapped files, and seconds that some code takes in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    own, mapped, seconds = map(float, done.stdout.split()[-3:])
    return own, mapped, seconds


def main() -> None:
    options = parser(__doc__)
    arguments: argparse.Namespace = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory_") as temporary:
        work = arguments.work or Path(temporary)
        report(arguments, lambda: rows_of(work, 200.0 if arguments.quick else 1000.0), "memory")


def rows_of(work: Path, size: float) -> list[Row]:
    """What a data set of so many MB takes."""
    work.mkdir(parents=True, exist_ok=True)
    data = work / f"frames_{size:g}_MB"
    make(data, size)
    rows = []
    for name, code, limit, folders in (
        ("open", OPENED, OPEN_MB, (data,)),
        ("fit to", FITTED, FIT_MB, (data, Path(tempfile.mkdtemp(dir=work)))),
    ):
        own, mapped, seconds = measured(code, *folders)
        rows.append(Row(f"{name} {size:g} MB of frames: memory, MB", own, None, f"< {limit:g}", own < limit))
        rows.append(Row(f"{name} {size:g} MB of frames: mapped files, MB", mapped, None, "", None))
        rows.append(Row(f"{name} {size:g} MB of frames: time, s", seconds, None, "", None))
    return rows


if __name__ == "__main__":
    main()
