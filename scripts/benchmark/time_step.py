"""Which time step, friction and integrator give the most independent frames per second from an exported potential?

    python scripts/benchmark/time_step.py --potential runs/water/potential --work DIR      # half an hour; continues
    python scripts/benchmark/time_step.py --potential runs/water/potential --quick

The coarse-grained system runs with LangevinMiddleIntegrator at several time steps and frictions, and with
MTSLangevinIntegrator, which evaluates the network once a step and the priors two or four times. Of every run:

    T_conf        configurational temperature: what the sampled configurations have in place of the thermostat's
    D             sum |g - g_ref| / sum |g_ref| against the longer run with the smallest step, and what it owes to noise
    frames/s      1 / (2 tau t_step), tau in steps: the longer of the autocorrelation times of the energy and of the
                  coordination number of the first shell

A step passes when T_conf is within 1 % of the thermostat and D is that of noise. Of each integrator and friction the largest
passing step is reported, and of all of these the one with the most independent frames per second is recommended. Nominal ns
say nothing: with masses s^2 m, steps s dt and friction gamma / s the configurations are the same ones, step by step, so
bead masses need no axis of their own; one row checks that.

The time of a step is that of the fastest tenth of the intervals between frames, and the least of the runs of one integrator:
other work on the machine makes the others longer. That larger steps need new neighbour lists more often is a few per cent of
it, and left out. One thread.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # for what all scripts have in common

import numpy as np
import openmm
import torch
from openmm import unit
from rows import Row, parser, report
from time_step_chart import draw, print_measured, write_table
from vibrations import largest_curvature

import cgnnp
from cgnnp.analysis.rdf import Rdf, deviation, rdf
from cgnnp.diagnostics.configurational_temperature import configurational_temperature
from cgnnp.dynamics.openmm_topology import bead_topology
from cgnnp.frames.dataset import open_frames
from cgnnp.frames.frames import Frames, FramesMeta
from cgnnp.runtime.platforms import choose_platform
from cgnnp.runtime.storage import read_json, write_json
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.openmm.system import create_system
from cgnnp.statistics import autocorrelation_time
from cgnnp.units import BOLTZMANN

PICTURE, TABLE = "time_step.png", "time_step.csv"
LENGTH_PS = {False: 240.0, True: 60.0}
"""Of every run, quick or not."""
REFERENCE_LENGTHS = 2.5
"""So much longer is the run with the smallest step."""
FRAME_PS, EQUILIBRATION_PS = 0.4, 10.0
T_CONF_TOLERANCE = {False: 0.01, True: 0.04}
HOPELESS = 0.06
"""Of T_conf: no larger step is tried."""
NOISE_FACTOR = 1.5
"""D is that of noise up to this many times the D expected from the errors of both curves."""
DEFAULT_FRICTION, SEED = 2.0, 1


@dataclass(frozen=True)
class Setting:
    """How one run is integrated; with `substeps` the priors are evaluated that often in each step of the network."""

    timestep_fs: float
    friction_per_ps: float = DEFAULT_FRICTION
    substeps: int = 1

    @property
    def kind(self) -> str:
        """The integrator."""
        return "LangevinMiddle" if self.substeps == 1 else f"MTS, priors {self.substeps}x"

    @property
    def series(self) -> str:
        """Integrator and friction."""
        return f"{self.kind}, {self.friction_per_ps:g} /ps"

    @property
    def order(self) -> tuple[int, float, float]:
        """What tables are sorted by."""
        return self.substeps, self.friction_per_ps, self.timestep_fs

    @property
    def file(self) -> str:
        """Name of the file of its run."""
        return f"run_{self.timestep_fs:g}fs_{self.friction_per_ps:g}ps_{self.substeps}.npz"


@dataclass(frozen=True)
class Measured:
    """What one run is worth; none where it blew up. Errors are standard errors."""

    setting: Setting
    t_conf: float | None = None
    t_conf_stderr: float | None = None
    energy: float | None = None
    energy_stderr: float | None = None
    t_kinetic: float | None = None
    d: float | None = None
    d_noise: float | None = None
    d_data: float | None = None
    tau_ps: float | None = None
    tau_stderr: float | None = None
    ms_per_step: float | None = None

    @property
    def frames_per_s(self) -> float | None:
        """Independent frames per second, none of a run whose T_conf has no value: it blew up."""
        if self.t_conf is None or self.tau_ps is None or self.ms_per_step is None:
            return None
        return self.setting.timestep_fs / (2 * self.tau_ps * self.ms_per_step)

    def is_hopeless(self, temperature: float) -> bool:
        """Whether larger steps need not be tried: T_conf is far off, or the run blew up."""
        return self.t_conf is None or abs(self.t_conf / temperature - 1) > HOPELESS

    def passes(self, temperature: float, tolerance: float) -> bool:
        """Whether T_conf is that of the thermostat and g(r) that of the smallest step."""
        if self.t_conf is None or self.d is None or self.d_noise is None:
            return False
        return abs(self.t_conf / temperature - 1) <= tolerance and self.d <= NOISE_FACTOR * self.d_noise


def settings(quick: bool) -> list[Setting]:
    """All runs, what tells most first; the first of all is the reference."""
    if quick:
        return [Setting(5.0), *(Setting(20.0, friction) for friction in (2.0, 5.0)), Setting(20.0, substeps=2)]
    series = ((2.0, 1), (10.0, 1), (2.0, 2), (5.0, 1), (0.5, 1), (2.0, 4))
    result = [Setting(step) for step in (4.0, 10.0)]
    for step in (20.0, 30.0, 40.0, 50.0, 15.0, 10.0):
        result += [Setting(step, friction, substeps) for friction, substeps in series]
    return list(dict.fromkeys(result))


class Beads:
    """The beads of an exported potential, and the System that runs them."""

    def __init__(self, bundle: PotentialBundle) -> None:
        entry = bundle.manifest["self_check"][0]
        self.bundle = bundle
        self.box, self.positions = np.array(entry["box_nm"]), np.array(entry["positions_nm"])
        self.platform = choose_platform("CPU", threads=1)

    def context(self, setting: Setting, mass_factor: float = 1.0) -> Any:
        """A Context at the starting positions, with velocities of the thermostat.

        The priors are force groups 0 to n - 1, the network is group n.
        """
        system = create_system(self.bundle, bead_topology(self.bundle.mapping, self.box))
        for bead in range(system.getNumParticles()):
            system.setParticleMass(bead, mass_factor * system.getParticleMass(bead))
        integrator = self.integrator(setting)
        integrator.setRandomNumberSeed(SEED)
        context = self.platform.context(system, integrator)
        context.setPositions(self.positions)
        context.setVelocitiesToTemperature(self.bundle.temperature, SEED)
        return context

    def integrator(self, setting: Setting) -> openmm.Integrator:
        """LangevinMiddleIntegrator, or with substeps MTSLangevinIntegrator with the network as its longest step."""
        ps = unit.picosecond
        thermostat = self.bundle.temperature * unit.kelvin, setting.friction_per_ps / ps, setting.timestep_fs / 1000 * ps
        if setting.substeps == 1:
            return openmm.LangevinMiddleIntegrator(*thermostat)
        n_priors = len(self.bundle.priors)
        groups = [(n_priors, 1), *((group, setting.substeps) for group in range(n_priors))]
        return openmm.MTSLangevinIntegrator(*thermostat, groups)

    def run(self, setting: Setting, length_ps: float) -> dict[str, np.ndarray]:
        """Positions (nm), forces, energies and kinetic energies (kJ/mol) of every frame, and the seconds between frames.

        With nothing but `failed` where it blew up.
        """
        steps = max(1, round(FRAME_PS * 1000 / setting.timestep_fs))
        found: dict[str, list[Any]] = {name: [] for name in ("positions", "forces", "energy", "kinetic", "seconds")}
        try:
            context = self.context(setting)
            context.getIntegrator().step(round(EQUILIBRATION_PS * 1000 / setting.timestep_fs))
            for _ in range(round(length_ps * 1000 / setting.timestep_fs / steps)):
                started = time.perf_counter()
                context.getIntegrator().step(steps)
                found["seconds"].append(time.perf_counter() - started)
                state = context.getState(positions=True, forces=True, energy=True)
                found["positions"].append(state.getPositions(asNumpy=True)._value.astype(np.float32))
                found["forces"].append(state.getForces(asNumpy=True)._value.astype(np.float32))
                found["energy"].append(state.getPotentialEnergy()._value)
                found["kinetic"].append(state.getKineticEnergy()._value)
                if not np.isfinite(found["energy"][-1]):
                    return {"failed": np.array(True)}
        except openmm.OpenMMException as error:
            if "NaN" not in str(error):
                raise
            return {"failed": np.array(True)}
        return {**{name: np.array(values) for name, values in found.items()}, "steps": np.array(steps)}

    def frames(self, run: dict[str, np.ndarray], setting: Setting) -> Frames:
        """The frames of a run."""
        interval = float(run["steps"]) * setting.timestep_fs / 1000
        meta = FramesMeta(self.bundle.mapping.of_beads(), self.bundle.temperature, interval)
        return Frames(run["positions"], run["forces"], np.tile(self.box, (len(run["positions"]), 1, 1)), meta)


def measure_all(folder: Path, beads: Beads, quick: bool, data: Path | None, finished: bool) -> list[Measured]:
    """Run what is not there yet, and evaluate all of it."""
    wanted = settings(quick)
    atomistic = None if data is None else mean_curves(rdf(open_frames(data)))
    reference: list[Rdf] | None = None
    result: list[Measured] = []
    for setting in wanted:
        smaller = [one for one in result if one.setting.series == setting.series]
        smaller = [one for one in smaller if one.setting.timestep_fs < setting.timestep_fs]
        file = folder / setting.file
        if any(one.is_hopeless(beads.bundle.temperature) for one in smaller) or (finished and not file.exists()):
            continue
        is_reference = setting == wanted[0]
        run = kept_run(file, beads, setting, LENGTH_PS[quick] * (REFERENCE_LENGTHS if is_reference else 1.0))
        kept = folder / f"{setting.file}.json"
        if "failed" in run:
            result.append(Measured(setting))
        else:
            if reference is None:
                reference = rdf(beads.frames(run, setting))
            if not kept.exists():
                write_json(kept, asdict(evaluate(beads, run, setting, reference, atomistic)))
            entry = read_json(kept)
            result.append(Measured(**{**entry, "setting": setting}))
        print(f"{setting.series}, {setting.timestep_fs:g} fs: {result[-1]}", flush=True)
    return sorted(with_least_times(result), key=lambda one: one.setting.order)


def kept_run(file: Path, beads: Beads, setting: Setting, length_ps: float) -> dict[str, np.ndarray]:
    """The run in a file, made where there is none."""
    if not file.exists():
        part = file.with_suffix(".part.npz")
        np.savez(part, **beads.run(setting, length_ps))
        part.rename(file)
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def evaluate(
    beads: Beads, run: dict[str, np.ndarray], setting: Setting, reference: Sequence[Rdf], atomistic: np.ndarray | None
) -> Measured:
    """The figures of one run."""
    frames = beads.frames(run, setting)
    interval, n = frames.meta.interval, len(frames)
    temperature = configurational_temperature(frames)
    curves = rdf(frames)
    tau_energy = autocorrelation_time(run["energy"])
    tau = max(tau_energy, *(curve.tau_frames for curve in curves))
    freedom = 3 * frames.mapping.n_beads * BOLTZMANN
    fastest = np.sort(run["seconds"])[: max(1, n // 10)].mean() / int(run["steps"])
    pairs = list(zip(reference, curves, strict=True))
    return Measured(
        setting,
        t_conf=temperature.value,
        t_conf_stderr=temperature.stderr,
        energy=float(run["energy"].mean()),
        energy_stderr=float(run["energy"].std() * np.sqrt(2 * tau_energy / n)),
        t_kinetic=float(2 * run["kinetic"].mean() / freedom),
        d=float(np.mean([deviation(one.g, other.g) for one, other in pairs])),
        d_noise=float(np.mean([expected_noise(one, other) for one, other in pairs])),
        d_data=None if atomistic is None else float(deviation(atomistic, mean_curves(curves))),
        tau_ps=tau * interval,
        tau_stderr=tau * interval * float(np.sqrt(2 * (10 * tau + 1) / n)),
        ms_per_step=1000 * float(fastest),
    )


def mean_curves(curves: Sequence[Rdf]) -> np.ndarray:
    """The curves of all pairs in a row."""
    return np.concatenate([curve.g for curve in curves])


def expected_noise(one: Rdf, other: Rdf) -> float:
    """D between two curves that differ by their errors alone, < |x| > = sqrt(2/pi) sigma in every bin."""
    return float(np.sqrt(2 / np.pi) * np.hypot(one.stderr, other.stderr).sum() / one.g.sum())


def with_least_times(found: Sequence[Measured]) -> list[Measured]:
    """Each with the least time of a step among the runs of its integrator."""
    result = []
    for one in found:
        alike = [other.ms_per_step for other in found if other.setting.kind == one.setting.kind]
        result.append(replace(one, ms_per_step=min((ms for ms in alike if ms is not None), default=None)))
    return result


def mass_scaling(beads: Beads, factor: float = 2.0, n_steps: int = 50) -> Row:
    """Largest difference (nm) between the configurations with masses m and s^2 m, steps dt and s dt, frictions g and g/s."""
    heavy = Setting(10.0 * factor, DEFAULT_FRICTION / factor)
    ends = []
    for setting, mass_factor in ((Setting(10.0), 1.0), (heavy, factor**2)):
        context = beads.context(setting, mass_factor)
        context.getIntegrator().step(n_steps)
        ends.append(context.getState(positions=True).getPositions(asNumpy=True)._value)
    off = float(np.abs(ends[1] - ends[0]).max())
    figure = (
        f"masses x {factor**2:g}, step x {factor:g}, friction / {factor:g}: positions after {n_steps} steps differ by, nm"
    )
    return Row(figure, off, None, "<= 1e-06", off <= 1e-6)


def stability_limits(beads: Beads, positions: np.ndarray, n_frames: int = 3) -> list[Row]:
    """2/omega (fs) of the fastest vibration of single configurations (frames beads 3), of all forces, priors, network.

    Leapfrog without friction is unstable beyond it: omega^2 is the largest eigenvalue of the second derivatives of the
    energy, of beads of equal mass divided by it; by power iteration.
    """
    context = beads.context(Setting(1.0))
    n_priors = len(beads.bundle.priors)
    mass = min(context.getSystem().getParticleMass(bead)._value for bead in range(positions.shape[1]))
    kinds = {"all forces": set(range(n_priors + 1)), "priors": set(range(n_priors)), "network": {n_priors}}
    result = []
    for name, groups in kinds.items():
        chosen = positions[np.linspace(0, len(positions) - 1, n_frames).astype(int)]
        limits = [2000 / np.sqrt(largest_curvature(context, frame.astype(float), groups) / mass) for frame in chosen]
        stderr = float(np.std(limits, ddof=1) / np.sqrt(n_frames))
        result.append(Row(f"2/omega of the fastest vibration, {name}, fs", float(np.mean(limits)), stderr, "", None))
    return result


def rows(folder: Path, beads: Beads, quick: bool, data: Path | None, finished: bool) -> list[Row]:
    """The largest passing step of every integrator and friction, the recommended one, and the table and picture of all."""
    found = measure_all(folder, beads, quick, data, finished)
    temperature, tolerance = beads.bundle.temperature, T_CONF_TOLERANCE[quick]
    passing = [one for one in found if one.passes(temperature, tolerance)]
    print_measured(found, passing)
    write_table(folder / TABLE, found, passing)
    draw(found, passing, temperature, folder / PICTURE)
    smallest = min((one.setting for one in found), key=lambda setting: setting.timestep_fs)
    with np.load(folder / smallest.file) as reference:
        result = [mass_scaling(beads), *stability_limits(beads, reference["positions"])]
    largest = {one.setting.series: one for one in sorted(passing, key=lambda one: one.setting.timestep_fs)}
    for series in dict.fromkeys(one.setting.series for one in found):
        best = largest.get(series)
        step = best.setting.timestep_fs if best else None
        result.append(Row(f"{series}: largest passing step, fs", step, None, "", None))
        result += figures(best, temperature, tolerance) if best else []
    known = [one for one in largest.values() if one.frames_per_s is not None]
    best = max(known, key=lambda one: one.frames_per_s or 0.0, default=None)
    if best is None:
        return [*result, Row("recommended step, fs", None, None, "one passes", False)]
    return [
        *result,
        Row(f"recommended: {best.setting.series}; step, fs", best.setting.timestep_fs, None, "one passes", True),
    ]


def figures(one: Measured, temperature: float, tolerance: float) -> list[Row]:
    """Accuracy and worth of a run that passes."""
    name = f"{one.setting.series}, {one.setting.timestep_fs:g} fs"
    speed, stderr = one.frames_per_s, None
    if speed is not None and one.tau_ps and one.tau_stderr:
        stderr = speed * one.tau_stderr / one.tau_ps
    return [
        Row(f"{name}: T_conf, K", one.t_conf, one.t_conf_stderr, f"{temperature:g} within {100 * tolerance:g} %", True),
        Row(f"{name}: D of g(r) against the smallest step", one.d, one.d_noise, "that of noise", True),
        Row(f"{name}: independent frames/s", speed, stderr, "", None),
    ]


def main() -> None:
    torch.set_num_threads(1)  # beside OpenMM, whose thread must not be fought
    options = parser(__doc__)
    options.add_argument("--potential", type=Path, help="the exported potential")
    options.add_argument("--data", type=Path, help="atomistic data set: D against it is given too")
    options.add_argument("--finished", action="store_true", help="make no new runs: the figures of those that --work has")
    arguments = options.parse_args()
    if arguments.rows is None and arguments.potential is None:
        options.error("--potential DIR: which exported potential?")
    report(arguments, lambda: measure(arguments), "time step")


def measure(arguments: argparse.Namespace) -> list[Row]:
    """All the rows."""
    work = Path(arguments.work or tempfile.mkdtemp(prefix="cgnnp_time_step_"))
    work.mkdir(parents=True, exist_ok=True)
    return rows(work, Beads(cgnnp.load(arguments.potential)), arguments.quick, arguments.data, arguments.finished)


if __name__ == "__main__":
    main()
