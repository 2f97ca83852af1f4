"""The part of a worker that is the same for all packages. It imports nothing of cgnnp, which other environments lack.

A worker is the process of one contestant on one case. It gets the case as JSON on the command line, builds the network, and
compiles it if asked. It then writes one line of JSON with `facts`. For every integer n that it reads, it calls the network n
times and writes {"seconds": time of one unit of work}. After an exception it writes {"error": text of the exception}.
"""

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

Call = Callable[[], torch.Tensor]
MD_STEPS = 10
MASS_DA = 18.0


@dataclass(frozen=True)
class Frame:
    """One frame in nm and kJ/mol/nm, with its edges.

    Edges are sorted by center. Their vectors are positions[neighbors] - positions[centers] + shifts @ box. `targets` are the
    forces that training fits.
    """

    box: np.ndarray
    types: np.ndarray
    positions: np.ndarray
    targets: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    shifts: np.ndarray


@dataclass(frozen=True)
class Case:
    """What a worker must compute: the frames, the task, and the shape and mode of the network.

    `task` is "forces" (energy and forces of the first frame), "train" (for `batch` frames: forces, their mean square
    difference from `targets`, and its gradient with respect to the weights, without an optimizer step) or "md" (a step of
    OpenMM, neighbour list included).
    """

    task: str
    mode: str
    model: str
    l_max: int
    layers: int
    channels: int
    radial_width: int
    n_basis: int
    cutoff_nm: float
    avg_neighbors: float
    batch: int
    type_names: list[str]
    file: str
    cache: str
    check: bool

    def frames(self) -> list[Frame]:
        """Read the frames of the batch from `file`."""
        with np.load(self.file) as data:
            shared = {name: data[name] for name in ("box", "types")}
            each = ("positions", "targets", "centers", "neighbors", "shifts")
            return [Frame(**shared, **{name: data[f"{name}_{k}"] for name in each}) for k in range(self.batch)]


@dataclass(frozen=True)
class Network:
    """A network with the frames that it is evaluated on.

    Args:
        model: the network.
        forces: function that computes energies and forces of the frames and returns the forces.
        edges: number of edges of all frames together.
        unit_nm: length unit of the forces in nm; forces are in kJ/mol per this length.
    """

    model: torch.nn.Module
    forces: Call
    edges: int
    unit_nm: float = 1.0


@dataclass(frozen=True)
class Work:
    """The computation that is timed.

    Args:
        call: function that is timed.
        edges: number of edges that one call evaluates.
        check: function that returns the relative difference between this network and plain torch; None if there is nothing
            to compare.
        units: number of units of work (evaluations or MD steps) in one call.
    """

    call: Callable[[], Any]
    edges: int
    check: Callable[[], float] | None = None
    units: int = 1

    def time(self, calls: int) -> float:
        """Call the function several times; return the CPU time of one unit of work in seconds."""
        began = time.process_time()
        for _ in range(calls):
            self.call()
        return (time.process_time() - began) / (calls * self.units)


Make = Callable[[Case, list[Frame], str], Network]
"""Function (case, frames, mode) that makes the network of a case; its weights are the same in all modes."""


def serve(network: Make, system: Callable[[Case, Frame], Any] | None = None) -> None:
    """Run the case of the command line, and answer requests on stdin until the driver closes the pipe.

    Answers go to stdout; everything that libraries print goes to stderr.

    Args:
        network: function that makes the package's network of a case.
        system: function that makes the OpenMM system of a case; None if the package has no OpenMM interface here.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    limit_memory()
    case = Case(**json.loads(sys.argv[1]))
    try:
        idle = memory_mb("VmRSS")
        work = dynamics(case, network, system) if system and case.task == "md" else network_work(case, network)
        print(json.dumps(facts(work, case.check) | {"idle_mb": idle}), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps({"seconds": work.time(int(line))}), file=answers, flush=True)
    except Exception as error:  # any exception of a package is reported as its result
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), file=answers, flush=True)


def network_work(case: Case, make: Make) -> Work:
    """Return the work of the tasks "forces" and "train"; compiled networks have a check against plain torch."""
    frames = case.frames()
    targets = torch.from_numpy(np.concatenate([frame.targets for frame in frames]))

    def call_of(network: Network) -> Call:
        def training_step() -> torch.Tensor:
            network.model.zero_grad(set_to_none=True)
            loss = torch.mean((network.forces() - targets) ** 2)
            loss.backward()
            return loss

        return training_step if case.task == "train" else network.forces

    def check() -> float:
        slow = make(case, frames, "eager")
        one, other = call_of(fast)(), call_of(slow)()
        if case.task == "train":
            one, other = gradients(fast.model), gradients(slow.model)
        return difference(one, other)

    fast = make(case, frames, case.mode)
    return Work(call_of(fast), fast.edges, None if case.mode == "eager" else check)


def dynamics(case: Case, make: Make, system: Callable[[Case, Frame], Any]) -> Work:
    """Return the work of the task "md": ten steps of Langevin dynamics at 300 K on one thread of OpenMM's CPU platform."""
    import openmm
    from openmm import unit

    frames = case.frames()
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.002)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system(case, frames[0]), integrator, platform, {"Threads": "1"})
    context.setPositions(frames[0].positions)
    context.setVelocitiesToTemperature(300.0, 1)
    at_start = context.getState(forces=True).getForces(asNumpy=True)
    forces = torch.from_numpy(np.array(at_start.value_in_unit(unit.kilojoule_per_mole / unit.nanometer)))
    eager = make(case, frames, "eager")
    return Work(
        lambda: integrator.step(MD_STEPS), eager.edges, lambda: difference(forces, eager.forces() / eager.unit_nm), MD_STEPS
    )


def facts(work: Work, checked: bool) -> dict[str, Any]:
    """Make three calls to warm up, then measure one call; return the results as a dictionary.

    Its entries are the number of edges, the peak memory (MB), the seconds of one unit of work, the number of units in a
    call, and the relative difference from plain torch (None unless `checked`).
    """
    for _ in range(3):  # in some packages TorchScript compiles during the second call
        work.call()
    Path("/proc/self/clear_refs").write_text("5")
    seconds, memory = work.time(1), memory_mb("VmHWM")
    off = work.check() if checked and work.check else None
    return {"edges": work.edges, "memory_mb": memory, "seconds": seconds, "units": work.units, "difference": off}


def difference(fast: torch.Tensor, slow: torch.Tensor) -> float:
    """Return the root mean square of fast - slow, divided by the root mean square of slow."""
    fast, slow = fast.detach().double(), slow.detach().double()
    return float(torch.linalg.norm(fast - slow) / torch.linalg.norm(slow))


def gradients(model: torch.nn.Module) -> torch.Tensor:
    """Return the gradients of all weights as one flat tensor."""
    return torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])


def memory_mb(key: str) -> float:
    """Return an entry of /proc/self/status, such as VmRSS, in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[key].split()[0]) / 1024


def limit_memory() -> None:
    """Limit this process to 90 % of the free memory, so that a larger allocation fails before the system kills processes."""
    free = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())["MemAvailable"]
    limit = int(0.9 * 1024 * int(free.split()[0]))
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
