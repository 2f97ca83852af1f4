"""What every worker has in common: it runs in its contestant's own environment, so nothing of cgnnp is imported here.

The driver writes one JSON object a line, the worker answers with one: `prepare` builds the model of a case, and compiles
it where asked; `time` calls it a number of times. Whatever fails is answered as {"error": reason}.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

Call = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """The work, alike for all contestants: frames with their edges, and what is to be done with them.

    `task` is "forces" (energy and forces of the first frame), "train" (a step on `batch` frames: forces, mean square of
    their difference to `targets`, its derivative by the weights; no optimizer) or "md" (a step of OpenMM, with neighbours).
    With `check` the fast path is compared with the slow one, in a process of its own, whose memory does not count.
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

    def frames(self) -> list["Frame"]:
        """The frames of the batch."""
        with np.load(self.file) as data:
            shared = {name: data[name] for name in ("box", "types")}
            each = ("positions", "targets", "centers", "neighbors", "shifts")
            return [Frame(**shared, **{name: data[f"{name}_{k}"] for name in each}) for k in range(self.batch)]


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
class Prepared:
    """What is to be timed. One `call` does `units` of the work; `edges` is how many it works on.

    `difference` compares the fast path with the slow one: root mean square difference over root mean square of the forces,
    or of the derivatives by the weights.
    """

    call: Callable[[], Any]
    edges: int
    difference: float | None = None
    units: int = 1


def serve(prepare: Callable[[Case], Prepared]) -> None:
    """Answer the driver until it closes the pipe. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    _limit_memory(float(os.environ.get("BENCHMARK_MEMORY_GB", "0")))
    prepared: Prepared | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request.pop("op") == "prepare":
                idle = _memory_mb("VmRSS")
                prepared = prepare(Case(**request))
                answer = _warm_up(prepared, idle)
            elif prepared is not None:
                answer = _timed(prepared, request["calls"])
            else:
                raise RuntimeError("nothing is prepared")
        except Exception as error:  # whatever a peer raises is the result
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


def _warm_up(prepared: Prepared, idle: float) -> dict[str, Any]:
    """The first calls, and the peak of the process's memory during one, MB; `idle` is that before the model was built."""
    for _ in range(3):  # TorchScript, in some peers, compiles in the second
        prepared.call()
    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    prepared.call()
    seconds = time.perf_counter() - began
    facts = {name: value for name, value in vars(prepared).items() if name != "call"}
    return {**facts, "memory_mb": _memory_mb("VmHWM"), "idle_mb": idle, "seconds": seconds / prepared.units}


def _timed(prepared: Prepared, calls: int) -> dict[str, float]:
    """Wall and processor seconds of one unit of work."""
    began, began_cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        prepared.call()
    n = calls * prepared.units
    return {"seconds": (time.perf_counter() - began) / n, "cpu_seconds": (time.process_time() - began_cpu) / n}


def difference(fast: torch.Tensor, slow: torch.Tensor) -> float:
    """Root mean square difference over root mean square."""
    fast, slow = fast.detach().double(), slow.detach().double()
    return float(torch.linalg.norm(fast - slow) / torch.linalg.norm(slow))


def gradients(model: torch.nn.Module) -> torch.Tensor:
    """The derivatives by all weights, one after the other."""
    return torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])


def compare(fast: torch.nn.Module, fast_call: Call, slow: torch.nn.Module, slow_call: Call) -> float:
    """Of two calls that return forces, or that are training steps of these networks."""
    one, other = fast_call(), slow_call()
    if one.requires_grad and one.dim() == 0:
        one, other = gradients(fast), gradients(slow)
    return difference(one, other)


def training_step(
    model: torch.nn.Module, forces: Callable[[], torch.Tensor], targets: torch.Tensor
) -> Callable[[], torch.Tensor]:
    """A call that derives the mean square error of the forces by the weights."""

    def step() -> torch.Tensor:
        model.zero_grad(set_to_none=True)
        loss = torch.mean((forces() - targets) ** 2)
        loss.backward()
        return loss

    return step


def _memory_mb(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def _limit_memory(gigabytes: float) -> None:
    """Beyond it an allocation fails in this process, instead of some process being killed."""
    if gigabytes > 0:
        limit = int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
