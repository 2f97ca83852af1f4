"""What every observable is: computed alike of both sides with errors, compared, its rows, words and figures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy.special import stdtr

from cgnnp.analysis.agreement import Judgement, agreement_of
from cgnnp.analysis.section import Picture, Section
from cgnnp.diagnostics.consistency import Consistency
from cgnnp.diagnostics.kinetic_temperature import KineticTemperature
from cgnnp.frames.frames import Frames
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.statistics import Estimate

SIDES = {"atomistic": "atomistic", "cg": "coarse-grained"}
"""Endings of the keys of rows, and the names of both sides."""

Row = dict[str, Any]

CsvTable = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Names of columns, and rows of distance (or angle), name and numbers."""


@dataclass(frozen=True, eq=False)
class BothSides:
    """A coarse-grained run beside atomistic data of the same kinds of beads; numbers and boxes may differ.

    Args:
        atomistic: mapped frames.
        coarse: of the run.
        potential: that was run; None where it is not known.
        consistency: of the frames of the run, where it is known already.
        kinetic: the kinetic temperature of the run, where it was recorded.

    Raises:
        ValueError: the two have different types of beads.
    """

    atomistic: Frames
    coarse: Frames
    potential: PotentialBundle | None = None
    consistency: Consistency | None = None
    kinetic: KineticTemperature | None = None
    _known: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        types = [frames.mapping.type_names for frames in self]
        if set(types[0]) != set(types[1]):
            found = [", ".join(names) for names in types]
            raise ValueError(f"atomistic frames hold {found[0]}, coarse-grained ones {found[1]}: they cannot be compared")

    def __iter__(self) -> Iterator[Frames]:
        return iter((self.atomistic, self.coarse))

    @property
    def types(self) -> tuple[str, ...]:
        """Types of beads, in the order of the data."""
        return self.atomistic.mapping.type_names

    @property
    def is_charged(self) -> bool:
        """Whether beads carry charges."""
        return self.atomistic.mapping.is_charged

    @property
    def solvent(self) -> Mapping[str, Any] | None:
        """What the data know of a solvent that was left out."""
        return self.atomistic.meta.provenance.get("solvent")

    @property
    def solvent_eliminated(self) -> bool:
        """Whether the beads are solutes whose solvent was left out: only then are two of them alone at infinite dilution."""
        return self.is_charged or bool(self.solvent)

    @property
    def temperatures(self) -> tuple[float, float]:
        """Of both sides, K."""
        return self.atomistic.temperature, self.coarse.temperature

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What several observables need, made once."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


class Finding(ABC):
    """What one observable found; a frozen dataclass, which can be written to a folder and read back."""

    @abstractmethod
    def rows(self) -> Any:
        """As plain data, units in the names."""

    @abstractmethod
    def section(self) -> Section:
        """Its part of a page."""

    def judgements(self) -> Sequence[Judgement]:
        """How far both sides are apart; nothing where it is not compared."""
        return ()

    def lines(self) -> Sequence[str]:
        """Lines for the log; by default the judgements."""
        return [str(one) for one in self.judgements()]

    def tables(self) -> dict[str, CsvTable]:
        """CSV files by name."""
        return {}

    def beside(self, label: str, others: "Sequence[tuple[str, Finding]]") -> Picture | None:
        """A picture of the atomistic side, of this run by its label, and of what other runs found; None has no picture."""
        return None

    def entries(self, name: str) -> Row:
        """Entries of the summary; by default the rows, among the observables."""
        return {"observables": {name: self.rows()}}


class Observable(ABC):
    """A quantity that is computed alike of both sides; a frozen dataclass of its settings.

    `name` is that of its settings, `compare.<name>`, and `kind` the class of what it finds.
    """

    name: ClassVar[str]
    kind: ClassVar[type[Finding]]

    @abstractmethod
    def unsuited(self, both: BothSides) -> str | None:
        """Why it says nothing of such beads, in words; None where it does."""

    @abstractmethod
    def find(self, both: BothSides) -> Finding:
        """Compute it of both sides and compare.

        Raises:
            ValueError: why it cannot be computed.
        """


def judge_numbers(what: str, first: Estimate, second: Estimate, scale: float | None = None) -> Judgement:
    """The judgement of two numbers by their difference relative to the first, or to a scale, with the thresholds of curves.

    >>> first, second = Estimate(0.63, 0.001, 1.0, 20, True), Estimate(0.60, 0.001, 1.0, 20, True)
    >>> print(judge_numbers("order", first, second))
    order: close: systematic deviation of 4.8 %
    """
    scale = scale or abs(float(first.value)) or abs(float(second.value)) or 1.0
    error = float(np.hypot(first.stderr, second.stderr)) / scale
    deviation, noise = abs(float(second.value) - float(first.value)) / scale, float(np.sqrt(2 / np.pi)) * error
    p_value = None
    if first.reliable and second.reliable and error > 0:
        p_value = float(2 * stdtr(min(first.n_blocks, second.n_blocks) - 1, -deviation / error))
    return Judgement(what, agreement_of(deviation, noise, p_value), deviation, noise)


def thinned(frames: Frames, max_frames: int) -> Frames:
    """At most so many frames, equally far apart in time."""
    stride = -(-len(frames) // max_frames)
    return frames if stride <= 1 else frames.thinned(stride)
