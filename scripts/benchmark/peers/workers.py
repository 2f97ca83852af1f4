"""The driver's side: one process per contestant and case, of which one computes at a time."""

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
    """A contestant's process, which prepares a case and then computes when it is told to.

    Args:
        python: interpreter of its environment.
        script: its program.
        case: the case, see `protocol.Case`; compiled code goes to its `cache`.
        log: file of its messages.
        patience_s: how long it may take for an answer.
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
        """Let it compute; return the seconds of a unit of work."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the answer says why the process has ended
                self.process.stdin.write(f"{calls}\n")
                self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return its next answer, or {"error": why there is none}. A process that takes too long is ended."""
        too_long = threading.Timer(self.patience_s, self.stop)
        too_long.start()
        for line in self.process.stdout or ():
            if line.startswith("{"):  # else a greeting of some library
                too_long.cancel()
                return json.loads(line)
        too_long.cancel()
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["no message"]
        return {"error": f"the process ended with code {self.process.wait()}: {lines[-1][:300]}"}

    def stop(self) -> None:
        """End the process and the compilers it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
