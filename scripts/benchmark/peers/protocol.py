"""What every worker has in common: it runs in its contestant's own environment, so nothing of cgnnp is imported here.

A worker gets its case as JSON on the command line, builds the network, and compiles it where asked. It answers with a line
of facts, and then, for every number that it reads, with the time of so many calls; or with {"error": text of an exception}.
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
    """One frame in nm and kJ/mol/nm.

    Edges point from `centers` to `neighbors`, sorted by center: positions[neighbors] - positions[centers] + shifts @ box.
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
    """The work, alike for all contestants: frames with their edges, and what is to be done with them.

    `task` is "forces" (energy and forces of the first frame), "train" (a step on `batch` frames: forces, their mean square
    difference to `targets`, its derivative by the weights; no optimizer) or "md" (a step of OpenMM, with neighbours).
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
        """Return the frames of the batch."""
        with np.load(self.file) as data:
            shared = {name: data[name] for name in ("box", "types")}
            each = ("positions", "targets", "centers", "neighbors", "shifts")
            return [Frame(**shared, **{name: data[f"{name}_{k}"] for name in each}) for k in range(self.batch)]


@dataclass(frozen=True)
class Network:
    """A network with its frames: `forces` computes energy and forces, in kJ/mol per `unit_nm`, over so many edges."""

    model: torch.nn.Module
    forces: Call
    edges: int
    unit_nm: float = 1.0


@dataclass(frozen=True)
class Work:
    """What is timed: one `call` does `units` of the work. `check` returns its difference to plain torch."""

    call: Callable[[], Any]
    edges: int
    check: Callable[[], float] | None = None
    units: int = 1

    def time(self, calls: int) -> float:
        """Return the processor's seconds of one unit of work."""
        began = time.process_time()
        for _ in range(calls):
            self.call()
        return (time.process_time() - began) / (calls * self.units)


Make = Callable[[Case, list[Frame], str], Network]
"""Makes the network of a case in a mode, with the same weights in all modes."""


def serve(network: Make, system: Callable[[Case, Frame], Any] | None = None) -> None:
    """Answer the driver until it closes the pipe. What libraries print goes to stderr.

    Args:
        network: makes networks of the package.
        system: makes the OpenMM system of a case, for packages that have one.
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
    except Exception as error:  # whatever a package raises is the result
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), file=answers, flush=True)


def network_work(case: Case, make: Make) -> Work:
    """Return the evaluation of a network, or a step of its training, and its comparison with plain torch."""
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
    """Return ten steps of Langevin dynamics at 300 K on OpenMM's CPU platform with one thread."""
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
    """Make the first calls; return the seconds of one unit and the peak memory of a call, then compare if asked."""
    for _ in range(3):  # TorchScript, in some packages, compiles in the second
        work.call()
    Path("/proc/self/clear_refs").write_text("5")
    seconds, memory = work.time(1), memory_mb("VmHWM")
    off = work.check() if checked and work.check else None
    return {"edges": work.edges, "memory_mb": memory, "seconds": seconds, "units": work.units, "difference": off}


def difference(fast: torch.Tensor, slow: torch.Tensor) -> float:
    """Return the root mean square difference over the root mean square."""
    fast, slow = fast.detach().double(), slow.detach().double()
    return float(torch.linalg.norm(fast - slow) / torch.linalg.norm(slow))


def gradients(model: torch.nn.Module) -> torch.Tensor:
    """Return the derivatives by all weights in one tensor."""
    return torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])


def memory_mb(key: str) -> float:
    """Return an entry of /proc/self/status in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[key].split()[0]) / 1024


def limit_memory() -> None:
    """Let an allocation fail here that the machine has no memory for, before the system ends some process."""
    free = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())["MemAvailable"]
    limit = int(0.9 * 1024 * int(free.split()[0]))
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
