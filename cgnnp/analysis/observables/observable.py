"""Base classes of observables and their findings.

An observable is computed in the same way for both runs, the atomistic data and the coarse-grained run. A finding holds the
results of both runs, compares them, and presents them: in summary.json, in the log, in CSV tables and on a page.
"""

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
from cgnnp.runtime.representation import paragraph, short
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.statistics import Estimate

SIDES = {"atomistic": "atomistic", "cg": "coarse-grained"}
"""The two runs: the suffix that their keys have in summary.json, and the name that they have on pages."""

Row = dict[str, Any]

CsvTable = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Column names and rows of a CSV file. A row is a distance (or angle, or order), a name such as Na-Cl, and the values."""


@dataclass(frozen=True, eq=False)
class BothSides:
    """A coarse-grained run and the atomistic data with which it is compared.

    Both must have the same types of beads. The numbers of beads and the boxes may differ.

    Args:
        atomistic: mapped frames of the atomistic data.
        coarse: frames of the coarse-grained run.
        potential: potential of the run; None if it is not known.
        consistency: consistency of positions and forces of the run, if it was computed before.
        kinetic: kinetic temperature of the run, if it was recorded.

    Raises:
        ValueError: the two runs have different types of beads.
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
            raise ValueError(
                f"the atomistic frames have the bead types {found[0]}, the coarse-grained frames {found[1]}: only frames "
                "with the same bead types can be compared"
            )

    def __iter__(self) -> Iterator[Frames]:
        return iter((self.atomistic, self.coarse))

    @property
    def types(self) -> tuple[str, ...]:
        """The bead types in the order of the atomistic data."""
        return self.atomistic.mapping.type_names

    @property
    def is_charged(self) -> bool:
        """Whether the beads carry charges."""
        return self.atomistic.mapping.is_charged

    @property
    def solvent(self) -> Mapping[str, Any] | None:
        """Record of the solvent that was left out of the atomistic data; None if the data have no such record."""
        return self.atomistic.meta.provenance.get("solvent")

    @property
    def solvent_eliminated(self) -> bool:
        """Whether the beads are solutes without their solvent, so that an isolated dimer stands for infinite dilution."""
        return self.is_charged or bool(self.solvent)

    @property
    def temperatures(self) -> tuple[float, float]:
        """Temperatures of the atomistic data and of the coarse-grained run, K."""
        return self.atomistic.temperature, self.coarse.temperature

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return `make()`. The result is stored under `key`, so that several observables can share one computation."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


class Finding(ABC):
    """The results of one observable for the atomistic and the coarse-grained run.

    Subclasses are frozen dataclasses, which can be stored and read back. Their repr shows the judgements, not the arrays.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the subclass the repr of this class, unless it has its own: the repr of `dataclass` prints all arrays."""
        super().__init_subclass__(**kwargs)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Finding.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        rows = self.rows()
        shown = [str(one) for one in self.judgements()] or list(map(short, rows if isinstance(rows, list) else [rows]))
        return paragraph([f"{type(self).__name__}:", *(f"  {line}" for line in shown)])

    @abstractmethod
    def rows(self) -> Any:
        """Return the results as plain data for summary.json, with the units in the keys."""

    @abstractmethod
    def section(self) -> Section:
        """Return the section of a page that shows the results."""

    def judgements(self) -> Sequence[Judgement]:
        """Return the judgements of the comparison; by default none."""
        return ()

    def lines(self) -> Sequence[str]:
        """Return the lines for the log; by default the judgements."""
        return [str(one) for one in self.judgements()]

    def tables(self) -> dict[str, CsvTable]:
        """Return the contents of CSV files, by file name without the ending; by default none."""
        return {}

    def beside(self, label: str, others: "Sequence[tuple[str, Finding]]") -> Picture | None:
        """Return a picture that shows several runs beside the atomistic data; None if the observable has none.

        Args:
            label: label of this run.
            others: labels and findings of the other runs.
        """
        return None

    def entries(self, name: str) -> Row:
        """Return the entries for summary.json; by default the rows, under `observables` and the name of the observable."""
        return {"observables": {name: self.rows()}}


class Observable(ABC):
    """A quantity that is computed in the same way for the atomistic and the coarse-grained run.

    Subclasses are frozen dataclasses whose fields are the settings. `name` is the name of the observable; its settings are
    under `compare.<name>` in the configuration. `kind` is the class of its findings.
    """

    name: ClassVar[str]
    kind: ClassVar[type[Finding]]

    @abstractmethod
    def unsuited(self, both: BothSides) -> str | None:
        """Return the reason to skip this observable for these runs; None if it can be computed."""

    @abstractmethod
    def find(self, both: BothSides) -> Finding:
        """Compute the observable for the atomistic and the coarse-grained run.

        Raises:
            ValueError: the observable cannot be computed; the message says why.
        """


def judge_numbers(what: str, first: Estimate, second: Estimate, absolute: str = "") -> Judgement:
    """Judge the difference of two numbers with the same thresholds as for curves.

    Args:
        what: name of the quantity.
        first: the atomistic number with its error.
        second: the coarse-grained number with its error.
        absolute: name of the numbers if their difference itself is judged, for numbers whose natural scale is 1. By default
            the difference is divided by the absolute value of the first number.

    >>> first, second = Estimate(0.63, 0.001, 1.0, 20, True), Estimate(0.60, 0.001, 1.0, 20, True)
    >>> print(judge_numbers("order", first, second))
    order: close: systematic deviation of 4.8 %
    >>> print(judge_numbers("order", first, second, absolute="mean q"))
    order: close: mean q lower by 0.0300
    """
    scale = 1.0 if absolute else abs(float(first.value)) or abs(float(second.value)) or 1.0
    error = float(np.hypot(first.stderr, second.stderr)) / scale
    deviation, noise = abs(float(second.value) - float(first.value)) / scale, float(np.sqrt(2 / np.pi)) * error
    p_value = None
    if first.reliable and second.reliable and error > 0:
        p_value = float(2 * stdtr(min(first.n_blocks, second.n_blocks) - 1, -deviation / error))
    way = f"{absolute} {'lower' if second.value < first.value else 'higher'}" if absolute else ""
    return Judgement(what, agreement_of(deviation, noise, p_value), deviation, noise, way)


def thinned(frames: Frames, max_frames: int) -> Frames:
    """Return at most `max_frames` frames, equally spaced in time."""
    stride = -(-len(frames) // max_frames)
    return frames if stride <= 1 else frames.thinned(stride)
