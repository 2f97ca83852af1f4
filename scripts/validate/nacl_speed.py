"""How much faster than the atomistic simulation are ions in implicit water, on the same cores, in turn?

Atomistic: 128 ions and 810 SPC/E waters at 4 fs, OpenMM's CPU platform on all cores. Coarse-grained: an exported potential
at 10 fs, as many replicas side by side as there are cores, one core each, as `cgnnp.simulate` runs them.
"""

import tempfile
import time
from pathlib import Path

import nacl_runs
import numpy as np
from nacl_runs import Plan, short_protocol, system_of
from openmm import LangevinMiddleIntegrator
from rows import Row

from cgnnp.dynamics.langevin_dynamics import SECONDS_PER_DAY
from cgnnp.runtime.platforms import choose_platform
from cgnnp.simulation.run import SimulationSettings, simulate, speed_in_all

TURNS = 3
STEP_FS = 4.0


def rows(potential: Path, plan: Plan) -> list[Row]:
    """Both speeds and their ratio, of alternating runs."""
    system = system_of(plan)
    integrator = LangevinMiddleIntegrator(300.0, 1.0, STEP_FS / 1000)
    simulation = choose_platform("CPU").simulation(system.topology, system.system, integrator)
    simulation.context.setPositions(system.positions)
    simulation.minimizeEnergy(maxIterations=200)
    simulation.context.setVelocitiesToTemperature(300.0, 1)
    simulation.step(500)
    atomistic, coarse = [], []
    for turn in range(TURNS):
        atomistic.append(_atomistic(simulation, 5.0 if plan.overrides else 30.0))
        coarse.append(_coarse(potential, 20.0 if plan.overrides else 200.0, turn))
    ratios = np.array(coarse) / np.array(atomistic)
    spread = float(ratios.std(ddof=1) / np.sqrt(TURNS))
    return [
        Row(f"atomistic ns/day, {STEP_FS:g} fs", float(np.mean(atomistic)), None, "", None),
        Row(f"CG ns/day, {nacl_runs.STEP_FS:g} fs", float(np.mean(coarse)), None, "", None),
        Row("CG over atomistic ns/day", float(ratios.mean()), spread, ">= 25", bool(ratios.mean() >= 25)),
    ]


def _atomistic(simulation, seconds: float) -> float:
    """ns/day over about so many seconds."""
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        simulation.step(100)
        steps += 100
    simulation.context.getState(energy=True)
    return steps * STEP_FS * 1e-6 * SECONDS_PER_DAY / (time.perf_counter() - started)


def _coarse(potential: Path, length_ps: float, seed: int) -> float:
    protocol = short_protocol(300.0, seed)
    with tempfile.TemporaryDirectory() as folder:
        return speed_in_all(simulate(potential, Path(folder), SimulationSettings(length_ps=length_ps), protocol))
