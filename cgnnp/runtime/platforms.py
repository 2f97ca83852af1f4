"""Choose the OpenMM platform and its number of threads. Imports openmm only when it is needed."""

import contextlib
import os
import platform as host
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PlatformChoice:
    """Name of an OpenMM platform, and the platform properties (threads, precision) with which Contexts are created."""

    name: str
    properties: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name + "".join(f", {key} {value}" for key, value in self.properties.items())

    @property
    def is_gpu(self) -> bool:
        """Whether the platform runs on a GPU or another accelerator."""
        return self.name not in ("CPU", "Reference")

    def context(self, system: Any, integrator: Any) -> Any:
        """Create a Context of a System on this platform."""
        import openmm

        return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(self.name), self.properties)

    def simulation(self, topology: Any, system: Any, integrator: Any) -> Any:
        """Create a Simulation of a System on this platform."""
        import openmm
        from openmm import app

        platform = openmm.Platform.getPlatformByName(self.name)
        return app.Simulation(topology, system, integrator, platform, self.properties)


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the number of CPU cores that this process may use, from its affinity and the quota of its container.

    Parallel jobs of a sweep share the cores: the number is divided by the number of jobs, which is in the environment
    variable CGNNP_PARALLEL_JOBS.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no such file, or no limit ("max")
        time, period = quota.read_text().split()
        cores = min(cores, max(1, int(time) // int(period)))
    return max(1, cores // int(os.environ.get("CGNNP_PARALLEL_JOBS", "1")))


def processor_name(file: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of the processor, as the operating system reports it.

    >>> bool(processor_name())
    True
    """
    with contextlib.suppress(OSError):
        for line in file.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return " ".join(value.split())
    return host.processor() or host.machine() or "unknown"


def choose_platform(name: str = "auto", threads: int | None = None) -> PlatformChoice:
    """Return the named platform, or for "auto" the fastest one on which a Context can be created.

    Raises:
        ValueError: the platform does not exist or does not work here.
    """
    import openmm

    platforms = [openmm.Platform.getPlatform(k) for k in range(openmm.Platform.getNumPlatforms())]
    by_speed = [platform.getName() for platform in sorted(platforms, key=lambda p: -p.getSpeed())]
    wanted = by_speed if name == "auto" else [name]
    for candidate in wanted:
        if candidate in by_speed and _works(candidate):
            return PlatformChoice(candidate, _properties(candidate, threads))
    raise ValueError(
        f"OpenMM platform '{name}' does not work on this machine: choose one of {', '.join(['auto', *by_speed])}"
    )


def _properties(name: str, threads: int | None) -> dict[str, str]:
    if name == "CPU":
        return {"Threads": str(threads or available_cores())}
    if name in ("CUDA", "HIP", "OpenCL"):
        return {"Precision": "mixed"}
    return {}


def _works(name: str) -> bool:
    import openmm

    system = openmm.System()
    system.addParticle(1.0)
    try:
        openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(name))
    except openmm.OpenMMException:
        return False
    return True
