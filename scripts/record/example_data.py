"""The short data sets of the examples: sodium chloride in SPC/E water, ions only, 4.016 and 1.334 mol/L.

    python scripts/record/example_data.py                                          # samples both: hours on two cores
    python scripts/record/example_data.py --from-4M data/ions-... --from-1.3M data/ions-...   # thins what is there

Writes examples/data/nacl_4M and examples/data/nacl_1.3M (or those of the two that are asked for), in place of what is there.
Frames are spread over all there are, 0.16 ps apart or more. What continues a simulation is left out; the provenance says
which frames these are. What is sampled here has frames every 0.4 ps after 500 ps, so that few cover a long run, where
`preset=nacl` takes one every 0.08 ps. The sets that are shipped were thinned from other runs: their meta.json says
which.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from cgnnp.frames.dataset import FramesWriter, count_frames, iterate_frames, read_meta, shards
from cgnnp.frames.frames import Frames, concatenate
from cgnnp.mappings import ions
from cgnnp.reference.sampling.langevin import langevin
from cgnnp.reference.systems.electrolyte import electrolyte
from cgnnp.runtime.platforms import choose_platform
from cgnnp.workflow.run_folder import start_logging

COMPOSITIONS: dict[str, Any] = {
    "nacl_4M": {"n_pairs": 64, "concentration_M": 4.016},
    "nacl_1.3M": {"n_pairs": 20, "concentration_M": 1.334},
}
"""The published boxes (arXiv 2310.12535)."""

N_WATER = 810
"""Of each of them."""

INTERVAL_PS, EQUILIBRATION_PS = 0.4, 500.0
CLOSEST_PS = 0.16
"""Of frames that are thinned: the noise of their forces has forgotten itself."""

N_FRAMES = 600
CHUNK_FRAMES = 300


def main() -> None:
    """Make the data sets that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from-4M", dest="nacl_4M", type=Path, help="data set of the 4.016 mol/L box to thin")
    parser.add_argument("--from-1.3M", dest="nacl_1.3M", type=Path, help="data set of the 1.334 mol/L box to thin")
    parser.add_argument("--frames", type=int, default=N_FRAMES, help="of each data set, at most")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "examples/data")
    parser.add_argument("--work", type=Path, default=Path("data"), help="where what has to be sampled is kept")
    options = vars(parser.parse_args())
    start_logging()
    given = {name: options[name] for name in COMPOSITIONS if options[name] is not None}
    for name in given or COMPOSITIONS:
        directory = given.get(name) or sampled(name, options["frames"], options["work"])
        solvent = electrolyte(**COMPOSITIONS[name]).solvent
        written = write(thinned(directory, options["frames"], solvent), options["output"] / name)
        print(f"{written}: {count_frames(written)} frames of {directory}")


def sampled(name: str, n_frames: int, work: Path) -> Path:
    """A data set of one composition, sampled with a frame every `INTERVAL_PS`; continued when called again."""
    salt = electrolyte(n_water=N_WATER, **COMPOSITIONS[name])
    source = langevin(system=salt, n_frames=n_frames, frame_interval_ps=INTERVAL_PS, equilibration_ps=EQUILIBRATION_PS)
    return source.complete(ions.keep(source.atomistic()), work, choose_platform("auto"))


def thinned(directory: Path, n_frames: int, solvent: dict[str, Any]) -> Frames:
    """Frames spread over all there are, `CLOSEST_PS` apart or more, with what is known of where they come from.

    Of the solvent is stated what the data do not record.
    """
    meta = read_meta(directory)
    runs = [(shard, concatenate(chunks)) for shard in shards(directory) if (chunks := list(iterate_frames(shard)))]
    if not runs:
        raise SystemExit(f"{directory}: holds no frames yet")
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
    """Write a data set in place of the one that is there."""
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
