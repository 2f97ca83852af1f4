"""Results of one contestant on one case, and the rows made of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cases import Job
from rows import Row, at_most, judged

TOLERANCE = {"forces": 1e-4, "train": 1e-3, "md": 1e-4}
"""Largest relative difference allowed between compiled and eager networks in float32, by task.

It is the difference of forces, and for "train" that of the gradients with respect to the weights.
"""

LARGE = 1000
"""Systems with at least this many beads also have rows of time and memory per bead."""


@dataclass
class Measured:
    """Measurements of one contestant on one case.

    Args:
        label: label of the contestant.
        is_ours: whether the network is one of cgnnp.
        l_max: largest degree of features.
        batch: number of frames of a batch.
        seconds: time of one unit of work (a batch, or a step) in every round.
        facts: what the worker found before the rounds; see `protocol.facts`.
        error: reason why there is no measurement; None if there is one.
    """

    label: str
    is_ours: bool
    l_max: int
    batch: int
    seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def works(self) -> bool:
        """Whether the contestant was measured without an error."""
        return bool(self.seconds) and self.error is None

    @property
    def median(self) -> float:
        """Median time of one unit of work over the rounds, in seconds."""
        return statistics.median(self.seconds)

    @property
    def milliseconds(self) -> tuple[float, float]:
        """Median time of a frame (or a step), and half of its interquartile range, both in ms."""
        return 1000 * self.median / self.batch, 1000 * half_interquartile(self.seconds) / self.batch

    def rows(self, job: Job) -> list[Row]:
        """Return rows of time, memory and difference from plain torch; after an error, one row with its reason."""
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
    """Return half of the interquartile range, (Q3 - Q1) / 2."""
    low, high = np.quantile(values, (0.25, 0.75))
    return float((high - low) / 2)
