"""What came out for one contestant of a case, and its rows."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cases import Job
from rows import Row, at_most, judged

TOLERANCE = {"forces": 1e-4, "train": 1e-3, "md": 1e-4}
"""Largest difference of compiled float32 networks to eager ones: of forces, or of derivatives by the weights."""

LARGE = 1000
"""Systems of so many beads have rows per bead too."""


@dataclass
class Measured:
    """Seconds of one unit of work (the whole batch, or a step) in every round, and facts; or an error."""

    label: str
    is_ours: bool
    l_max: int
    batch: int
    seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def works(self) -> bool:
        """Whether it was measured."""
        return bool(self.seconds) and self.error is None

    @property
    def median(self) -> float:
        """The median over the rounds, seconds."""
        return statistics.median(self.seconds)

    @property
    def milliseconds(self) -> tuple[float, float]:
        """The time of a frame (or a step), and half of its interquartile range."""
        return 1000 * self.median / self.batch, 1000 * half_interquartile(self.seconds) / self.batch

    def rows(self, job: Job) -> list[Row]:
        """Return time, memory and the difference to plain torch."""
        name, unit = f"{job.label}: {self.label}", "ms per step" if job.task == "md" else "ms per frame"
        if not self.works:
            return [Row(f"{name}, {unit}", None, None, f"fails: {self.error}")]
        rows, n_beads = [Row(f"{name}, {unit}", *self.milliseconds)], job.beads.n_beads
        memory, off = self.facts["memory_mb"], self.facts["difference"]
        rows.append(Row(f"{name}, peak memory of the process, MB", memory))
        if job.task == "forces" and n_beads >= LARGE:
            ms, error = self.milliseconds
            rows.append(Row(f"{name}, microseconds per bead", 1000 * ms / n_beads, 1000 * error / n_beads))
            rows.append(Row(f"{name}, memory per bead, kB", (memory - self.facts["idle_mb"]) * 1024 / n_beads))
        if off is not None:
            rows.append(judged(f"{name}, difference to eager torch", off, at_most(TOLERANCE[job.task])))
        return rows


def half_interquartile(values: Sequence[float]) -> float:
    """Return half of the distance of the quartiles."""
    low, high = np.quantile(values, (0.25, 0.75))
    return float((high - low) / 2)
