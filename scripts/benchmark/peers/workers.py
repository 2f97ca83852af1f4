"""The driver's side of the benchmark: starts a worker process for a contestant on a case, and asks it for times."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ONE_THREAD = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
    "OPENMM_CPU_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}


class Worker:
    """The process of a contestant on one case: it prepares the network at once, and computes when `time` is called.

    Args:
        python: path of the Python of the contestant's environment.
        script: file name of the worker script.
        case: fields of `protocol.Case`; compiled code is kept in the folder `cache` of the case.
        log: file for the messages of the process.
        patience_s: longest time to wait for one answer, in seconds.
    """

    def __init__(self, python: Path, script: str, case: dict[str, Any], log: Path, patience_s: float) -> None:
        cache = Path(case["cache"])
        for folder in (cache, log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | ONE_THREAD
        environment |= {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "inductor")
        self.log, self.patience_s = log, patience_s
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [python, HERE / script, json.dumps(case)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=cache,
                start_new_session=True,
                text=True,
            )

    def time(self, calls: int) -> dict[str, Any]:
        """Let the process make some calls; return {"seconds": time of one unit of work} or {"error": reason}."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the answer says why the process has ended
                self.process.stdin.write(f"{calls}\n")
                self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the next answer of the process, or {"error": reason}; a process that takes too long is killed."""
        too_long = threading.Timer(self.patience_s, self.stop)
        too_long.start()
        for line in self.process.stdout or ():
            if line.startswith("{"):  # other lines are messages of libraries
                too_long.cancel()
                return json.loads(line)
        too_long.cancel()
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["no message"]
        return {"error": f"the process ended with code {self.process.wait()}: {lines[-1][:300]}"}

    def stop(self) -> None:
        """Kill the process and the compilers that it has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
