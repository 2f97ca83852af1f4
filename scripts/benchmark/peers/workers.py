"""The driver's side: one process per contestant and case, of which one computes at a time."""

import json
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ONE_THREAD = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
    "OPENMM_CPU_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}


@dataclass
class Worker:
    """A contestant's process, asked through JSON lines."""

    process: subprocess.Popen
    log: Path
    pending: bytes = b""

    @classmethod
    def start(cls, python: Path, script: str, log: Path, cache: Path, memory_gb: float) -> "Worker":
        """Start a worker; its messages go to the log, what its compiler makes to the cache."""
        cache.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment |= ONE_THREAD | {
            "PYTHONWARNINGS": "ignore",
            "BENCHMARK_MEMORY_GB": f"{memory_gb:.2f}",
        }
        environment |= {"PYTHONPATH": str(ROOT), "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor")}
        with log.open("w") as errors:
            process = subprocess.Popen(
                [python, HERE / script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=cache,
                start_new_session=True,
            )
        return cls(process, log)

    def ask(self, patience_s: float, **request: Any) -> dict[str, Any]:
        """The answer, or {"error": why there is none}."""
        if self.process.poll() is not None:
            return {"error": f"the process ended with code {self.process.returncode}: {self.last_line()}"}
        to_worker, answers = self.process.stdin, self.process.stdout
        assert to_worker is not None and answers is not None  # noqa: S101, PT018 - both are pipes
        try:
            to_worker.write(json.dumps(request).encode() + b"\n")
            to_worker.flush()
        except BrokenPipeError:
            return {"error": f"the process ended with code {self.process.wait()}: {self.last_line()}"}
        deadline = time.monotonic() + patience_s
        while True:
            line, newline, rest = self.pending.partition(b"\n")
            if newline:
                self.pending = rest
                if line.startswith(b"{"):  # else a greeting of some library
                    return json.loads(line)
                continue
            ready, _, _ = select.select([answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.stop()
                return {"error": f"no answer within {patience_s:.0f} s"}
            chunk = os.read(answers.fileno(), 1 << 16)
            if not chunk:
                return {"error": f"the process ended with code {self.process.wait()}: {self.last_line()}"}
            self.pending += chunk

    def last_line(self) -> str:
        """What the worker complained of last."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no message"

    def stop(self) -> None:
        """End the process and the compilers it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
