"""The static dielectric constant of neat water, from the fluctuations of the dipole moment of a box.

    python scripts/validate/dielectric_constant.py --water spce --ns 10 --json eps_r.json
    python scripts/validate/dielectric_constant.py --quick

Prints eps_r with its error beside the cited value that `system=electrolyte` takes by default
(`cgnnp.reference.systems.dielectric`); the settings that it prints take the measured one. The dipole moment of water relaxes
in some 10 ps: a nanosecond gives eps_r to about 10 per cent, and the error falls with the square root of the time. The box
holds its density (0.997 g/mL).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import numpy as np
from openmm import unit
from rows import Row, parser, report

from cgnnp.dynamics.langevin_dynamics import SECONDS_PER_DAY, LangevinProtocol, advance, start
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.reference.systems.dielectric import TABLE, static_dielectric_constant
from cgnnp.reference.systems.system import ReferenceSystem
from cgnnp.reference.systems.water import water
from cgnnp.runtime.platforms import PlatformChoice, choose_platform
from cgnnp.statistics import Estimate

INTERVAL_PS = 0.2
PARTS = 10
"""Progress lines."""

SIGMAS = 3.0
TABLE_ERROR = 0.05
"""Published values of one model differ by as much."""


def measure(arguments: argparse.Namespace) -> list[Row]:
    """The row of one water."""
    entry = TABLE[arguments.water]
    n_molecules, cutoff_nm, equilibration_ps, ns = arguments.molecules, 0.9, 50.0, arguments.ns
    if arguments.quick:
        n_molecules, cutoff_nm, equilibration_ps, ns = 64, 0.6, 5.0, 0.05
    system = water(force_field=f"amber14/{arguments.water}.xml", n_molecules=n_molecules, cutoff_nm=cutoff_nm)
    protocol = LangevinProtocol(
        temperature_K=arguments.temperature, equilibration_ps=equilibration_ps, frame_interval_ps=INTERVAL_PS
    )
    platform = choose_platform(arguments.platform, arguments.threads)
    found, ns = dielectric_constant(system, protocol, round(ns * 1000 / INTERVAL_PS), platform)
    value, stderr = float(found.value), float(found.stderr)
    print(f"{arguments.water} at {arguments.temperature:g} K, {ns:g} ns: eps_r = {value:.1f}({stderr:.1f})")
    if not found.reliable:
        print(f"too short for a reliable error: the dipole moment relaxes in {found.tau_frames * INTERVAL_PS:.0f} ps")
    else:
        print(f"to sample with it: system.eps_r={value:.1f} system.eps_r_stderr={stderr:.1f}")
    target, met = f"{entry.value:g} at {entry.temperature_K:g} K: {entry.source}", None
    if found.reliable:
        met = abs(value - entry.value) <= np.hypot(SIGMAS * stderr, TABLE_ERROR * entry.value)
    figure = f"{arguments.water}, {arguments.temperature:g} K, {ns:g} ns: eps_r"
    return [Row(figure, value, stderr, target, None if met is None else bool(met))]


def dielectric_constant(
    system: ReferenceSystem, protocol: LangevinProtocol, n_frames: int, platform: PlatformChoice
) -> tuple[Estimate, float]:
    """eps_r from dipole moments of this many frames, and the time in ns that they span."""
    charges = describe(system.topology, system.system).charges
    volume = system.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)
    with tempfile.TemporaryDirectory() as folder:
        simulation = start(system.topology, system.system, system.positions, protocol, platform, Path(folder), minimize=True)
    dipoles = np.empty((n_frames, 3))
    started, part = time.perf_counter(), max(1, n_frames // PARTS)
    for frame in range(n_frames):
        advance(simulation, protocol.steps_per_frame)
        positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)  # molecules are whole
        dipoles[frame] = charges @ positions.value_in_unit(unit.nanometer)
        if (frame + 1) % part == 0:
            ns = (frame + 1) * protocol.frame_interval / 1000
            speed = ns / (time.perf_counter() - started) * SECONDS_PER_DAY
            print(f"{ns:g} ns, {speed:.0f} ns/day", flush=True)
    result = static_dielectric_constant(dipoles, float(np.linalg.det(np.array(volume))), protocol.temperature_K)
    return result, n_frames * protocol.frame_interval / 1000


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--water", choices=sorted(TABLE), default="spce")
    options.add_argument("--ns", type=float, default=2.0, help="time that is measured")
    options.add_argument("--temperature", type=float, default=300.0, help="K")
    options.add_argument("--molecules", type=int, default=512)
    options.add_argument("--platform", default="auto")
    options.add_argument("--threads", type=int, help="of the CPU platform; all cores without")
    arguments = options.parse_args()
    report(arguments, lambda: measure(arguments), "dielectric constant")


if __name__ == "__main__":
    main()
