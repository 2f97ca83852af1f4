"""Measure the static dielectric constant of neat water from the fluctuations of the dipole moment of a box.

    python scripts/validate/dielectric_constant.py --water spce --ns 10
    python scripts/validate/dielectric_constant.py --quick

The script prints eps_r with its standard error, beside the literature value that `system=electrolyte` uses by default
(`cgnnp.reference.systems.dielectric`), and the settings with which `system=electrolyte` uses the measured value instead. The
dipole moment of water relaxes in about 10 ps: a nanosecond gives eps_r to about 10 per cent, and the error falls with the
square root of the time. The volume is constant (density 0.997 g/mL).
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # modules that the scripts share

import numpy as np
from openmm import unit
from rows import Row, judged, parser, report, within

from cgnnp.dynamics.langevin_dynamics import LangevinProtocol, advance, start
from cgnnp.dynamics.openmm_topology import describe
from cgnnp.reference.systems.dielectric import TABLE, static_dielectric_constant
from cgnnp.reference.systems.water import water
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.progress import progress
from cgnnp.statistics import Estimate

INTERVAL_PS = 0.2
TABLE_ERROR = 0.05
"""Typical relative difference between published values of eps_r for the same water model."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--water", choices=sorted(TABLE), default="spce")
    options.add_argument("--ns", type=float, default=2.0, help="length of the simulation, ns")
    options.add_argument("--temperature", type=float, default=300.0, help="temperature, K")
    report(options.parse_args(), measure, "dielectric_constant")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Measure eps_r of the chosen water model; return its row, and print the settings that use the value."""
    entry, quick = TABLE[arguments.water], arguments.quick
    found, ns = dielectric_constant(arguments.water, arguments.temperature, 0.05 if quick else arguments.ns, quick)
    value, stderr = float(found.value), float(found.stderr)
    if found.reliable:
        print(f"to sample with this value, set system.eps_r={value:.1f} system.eps_r_stderr={stderr:.1f}")
    else:
        tau_ps = found.tau_frames * INTERVAL_PS
        print(f"the run is too short for a reliable error: the dipole moment relaxes in {tau_ps:.0f} ps: set a larger --ns")
    margin = float(np.hypot(3 * stderr, TABLE_ERROR * entry.value))
    target = within(margin, entry.value, f" at {entry.temperature_K:g} K: {entry.source}")
    figure = f"{arguments.water}, {arguments.temperature:g} K, {ns:g} ns: eps_r"
    return [judged(figure, value, target if found.reliable else None, stderr)]


def dielectric_constant(model: str, temperature_K: float, ns: float, quick: bool) -> tuple[Estimate, float]:
    """Simulate a box of water and record its dipole moment; return eps_r, and the simulated time in ns."""
    size: dict[str, Any] = {"n_molecules": 64, "cutoff_nm": 0.6} if quick else {"n_molecules": 512, "cutoff_nm": 0.9}
    system = water(force_field=f"amber14/{model}.xml", **size)
    wait_ps, platform = 5.0 if quick else 50.0, choose_platform()
    protocol = LangevinProtocol(temperature_K=temperature_K, equilibration_ps=wait_ps, frame_interval_ps=INTERVAL_PS)
    charges = describe(system.topology, system.system).charges
    volume = np.linalg.det(np.array(system.topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer)))
    with tempfile.TemporaryDirectory() as folder:
        simulation = start(system.topology, system.system, system.positions, protocol, platform, Path(folder), minimize=True)
    dipoles = np.empty((round(ns * 1000 / INTERVAL_PS), 3))
    with progress("dipole moments", len(dipoles)) as counter:
        for frame in range(len(dipoles)):
            advance(simulation, protocol.steps_per_frame)
            positions = simulation.context.getState(positions=True).getPositions(asNumpy=True)  # with whole molecules
            dipoles[frame] = charges @ positions.value_in_unit(unit.nanometer)
            counter.update(1)
    return static_dielectric_constant(dipoles, float(volume), temperature_K), len(dipoles) * protocol.frame_interval / 1000


if __name__ == "__main__":
    main()
