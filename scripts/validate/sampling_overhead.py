"""What mapping on the fly costs: sampled frames against the same steps of plain OpenMM, turn and turn about.

python scripts/validate/sampling_overhead.py                      # 216 water molecules, a frame every 100 steps
python scripts/validate/sampling_overhead.py --keep-atoms --molecules 4000 --platform CUDA
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, run_chunks, start
from cgnnp.frames.dataset import FramesWriter, count_frames
from cgnnp.mappings.water import center_of_mass
from cgnnp.reference.sampling.langevin import LangevinSource
from cgnnp.reference.stored_atoms import atoms_mapping
from cgnnp.reference.systems.water import water_spce
from cgnnp.runtime.platforms import PlatformChoice, choose_platform


def sampling_overhead(
    platform: PlatformChoice, *, n_molecules: int = 216, frames: int = 25, rounds: int = 10, keep_atoms: bool = False
) -> tuple[float, float]:
    """Extra time of mapping and writing relative to the plain run, mean and standard error over the rounds, in per cent.

    It is the processor's time on a CPU, which does not depend on what else the machine does, and wall time on a GPU.
    """
    clock = time.perf_counter if platform.is_gpu else time.process_time
    system = water_spce(n_molecules=n_molecules)
    protocol = LangevinProtocol(equilibration_ps=2.0)
    source = LangevinSource(system, protocol, frames)
    mappings = [center_of_mass(source.atomistic()), *([atoms_mapping(source.atomistic())] if keep_atoms else [])]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        writers = [FramesWriter(Path(folder) / mapping.name, source.meta(mapping)) for mapping in mappings]
        first = writers[0].directory
        simulation = start(system.topology, system.system, system.positions, protocol, platform, first, minimize=True)

        def mapped() -> None:
            run_chunks(simulation, protocol, writers, count_frames(first) + frames)

        def plain() -> None:
            simulation.step(frames * protocol.steps_per_frame)
            simulation.context.getState(energy=True)  # waits for a GPU

        plain()
        for number in range(rounds):
            order = (plain, mapped) if number % 2 else (mapped, plain)
            seconds = {action: _seconds(clock, action) for action in order}
            ratios.append(100 * (seconds[mapped] / seconds[plain] - 1))
        for writer in writers:
            writer.close()
    return float(np.mean(ratios)), float(np.std(ratios, ddof=1) / np.sqrt(rounds))


def _seconds(clock: Callable[[], float], action: Callable[[], None]) -> float:
    started = clock()
    action()
    return clock() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=216)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--platform", default="auto")
    parser.add_argument("--threads", type=int, help="of the CPU platform; all cores without")
    parser.add_argument("--keep-atoms", action="store_true")
    arguments = parser.parse_args()
    platform = choose_platform(arguments.platform, arguments.threads)
    options = {"n_molecules": arguments.molecules, "rounds": arguments.rounds, "keep_atoms": arguments.keep_atoms}
    mean, stderr = sampling_overhead(platform, **options)
    print(f"{arguments.molecules} molecules, platform {platform}: mapping on the fly costs {mean:.1f}({stderr:.1f}) %")


if __name__ == "__main__":
    main()
