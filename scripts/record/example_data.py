"""Make the short data sets of the examples (NaCl at 4.016 and 1.334 mol/L) by thinning long ones.

    python -m cgnnp.sample preset=nacl reference.n_frames=8500 system.concentration_M=4.016 system.n_pairs=64
    python -m cgnnp.sample preset=nacl reference.n_frames=8500 system.concentration_M=1.334 system.n_pairs=20
    python scripts/record/example_data.py --from-4M data/ions-... --from-1.3M data/ions-...

The script replaces examples/data/nacl_4M and examples/data/nacl_1.3M, or the one whose option is given. The chosen frames
are spread evenly over the long data set, 0.16 ps apart or more. Files that only serve to continue a simulation are left out.
The provenance in meta.json says which frames were taken. The shipped data sets were thinned from other runs, which their
meta.json names.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from cgnnp.frames.dataset import FramesWriter, count_frames, iterate_frames, read_meta, shards
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.reference.systems.electrolyte import electrolyte

COMPOSITIONS: dict[str, Any] = {
    "nacl_4M": {"n_pairs": 64, "concentration_M": 4.016},
    "nacl_1.3M": {"n_pairs": 20, "concentration_M": 1.334},
}
"""Compositions of the published boxes (arXiv 2310.12535), by the name of the data set."""

CLOSEST_PS = 0.16
"""Smallest interval between chosen frames; the noise of forces this far apart is not correlated."""

CHUNK_FRAMES = 300


def main() -> None:
    """Make the data sets whose options are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from-4M", dest="nacl_4M", type=Path, help="data set of the 4.016 mol/L box to thin")
    parser.add_argument("--from-1.3M", dest="nacl_1.3M", type=Path, help="data set of the 1.334 mol/L box to thin")
    parser.add_argument("--frames", type=int, default=600, help="largest number of frames of each data set")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "examples/data")
    options = vars(parser.parse_args())
    for name, composition in COMPOSITIONS.items():
        if directory := options[name]:
            frames = thinned(directory, options["frames"], electrolyte(**composition).solvent)
            written = write(frames, options["output"] / name)
            print(f"{written}: {count_frames(written)} frames of {directory}")


def thinned(directory: Path, n_frames: int, solvent: dict[str, Any]) -> Frames:
    """Return at most n_frames frames of a data set, spread evenly over it, with their provenance.

    Args:
        directory: folder of the data set.
        n_frames: largest number of frames.
        solvent: description of the solvent; its entries are used where the data set does not record them.
    """
    meta = read_meta(directory)
    runs = [(shard, concatenate(chunks)) for shard in shards(directory) if (chunks := list(iterate_frames(shard)))]
    if not runs:
        raise SystemExit(f"{directory}: this data set has no frames yet: sample some with `python -m cgnnp.sample`")
    stride = max(round(CLOSEST_PS / meta.interval), sum(len(frames) for _, frames in runs) // n_frames, 1)
    frames = concatenate([run.thinned(stride) for _, run in runs])[:n_frames]
    taken = {"every": stride, "of": {shard.name: len(run) for shard, run in runs}}
    known = {key: value for key, value in meta.provenance.items() if key not in ("source", "replica")}
    provenance = {"source": "scripts/record/example_data.py", "thinned": taken, **known, "replica": 0}
    if recorded := provenance.get("solvent"):
        solvent = {"volume_fraction": solvent["volume_fraction"], **recorded}
    provenance["solvent"] = solvent
    return replace(frames, meta=replace(meta, interval=round(meta.interval * stride, 6), provenance=provenance))


def write(frames: Frames, directory: Path) -> Path:
    """Write frames as a data set to `directory`, and return `directory`; a data set that is there is replaced."""
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "replica_0"
        writer = FramesWriter(new, frames.meta)
        for start in range(0, len(frames), CHUNK_FRAMES):
            part = frames[start : start + CHUNK_FRAMES]
            writer.append(part.positions, part.forces, part.boxes)
        writer.close()
        (new / ".lock").unlink()
        if directory.exists():
            shutil.rmtree(directory)
        shutil.copytree(folder, directory)
    return directory


if __name__ == "__main__":
    main()
