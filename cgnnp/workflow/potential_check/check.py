"""The check of an exported potential: all chosen tests, one after the other, and one word for what they say."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgnnp.analysis.dimer import IsolatedDimer
from cgnnp.diagnostics.soundness import DISAGREES, NOT_TESTED
from cgnnp.runtime.representation import brief
from cgnnp.simulation.bundle import PotentialBundle
from cgnnp.simulation.potential_files import load
from cgnnp.workflow.potential_check.all_tests import TESTS, chosen_tests
from cgnnp.workflow.potential_check.integration import StepFigures
from cgnnp.workflow.potential_check.rows import CheckRow, worst_verdict
from cgnnp.workflow.potential_check.settings import CheckSettings, check_settings
from cgnnp.workflow.potential_check.speed import Machine, this_machine
from cgnnp.workflow.potential_check.subject import Subject, own_version

log = logging.getLogger("cgnnp")


@brief
@dataclass(frozen=True)
class PotentialCheck:
    """What was found about a potential: a row for each figure, and one word for all of them.

    Args:
        potential: its folder.
        beads: how many of which type, in words.
        temperature: of its data, K.
        timestep_fs: its usual time step.
        settings: of the check.
        machine: that ran the check.
        rows: of all tests.
        dimers: isolated dimers of every kind of pair, where they were tested.
        steps: figures of every time step that was tried.
    """

    potential: Path
    beads: str
    temperature: float
    timestep_fs: float
    settings: CheckSettings
    machine: Machine
    rows: tuple[CheckRow, ...]
    dimers: tuple[IsolatedDimer, ...] = ()
    steps: tuple[StepFigures, ...] = ()

    @property
    def verdict(self) -> str:
        """Disagrees where one row does, else not tested where one was not, else agrees."""
        return worst_verdict(self.rows)

    @property
    def reasons(self) -> list[str]:
        """The rows that have this verdict, in words; empty where all agrees."""
        return [str(row) for row in self.rows if row.verdict == self.verdict and row.verdict in (DISAGREES, NOT_TESTED)]

    def table(self) -> str:
        """The result as lines of text."""
        lines = [f"{self.potential}: {self.beads}, {self.temperature:g} K, usual time step {self.timestep_fs:g} fs"]
        width = max((len(row.name) for row in self.rows), default=0)
        for row in self.rows:
            word = row.verdict.upper() if row.verdict == DISAGREES else row.verdict
            asked = f"  (asked: {row.target})" if row.target else ""
            lines.append(f"  {row.name:{width}}  {word:<10}  {row.figure}{asked}")
        said = [f"{self.verdict.upper()}: {text}" for text in self.reasons]
        return "\n".join([*lines, f"  on {self.machine}", *said, f"all together: {self.verdict}"])

    def to_dict(self) -> dict[str, Any]:
        """As plain data, which check.json has."""
        return {
            "potential": str(self.potential),
            "beads": self.beads,
            "temperature_K": self.temperature,
            "timestep_fs": self.timestep_fs,
            "cgnnp": own_version(),
            "settings": asdict(self.settings),
            "machine": asdict(self.machine),
            "rows": [asdict(row) for row in self.rows],
            "dimers": [dimer.to_dict() for dimer in self.dimers],
            "time_steps": [asdict(step) for step in self.steps],
            "verdict": self.verdict,
            "reasons": self.reasons,
        }


def check_potential(
    potential: PotentialBundle | str | Path,
    folder: Path | None = None,
    tests: Sequence[str] | None = None,
    **given: Any,
) -> PotentialCheck:
    """Make the chosen tests of a potential.

    Args:
        potential: as it was loaded, or its folder.
        folder: where finished tests are kept: the same call goes on from there. None keeps nothing.
        tests: by name; None makes all of them.
        **given: settings, see `CheckSettings`, and `quick` for shorter runs.

    Raises:
        FileNotFoundError: no potential there.
        ValueError: it is damaged, has no files, or a setting is wrong.
    """
    names, settings = chosen_tests(tests), check_settings(**given)
    bundle = potential if isinstance(potential, PotentialBundle) else load(potential, self_check=False)
    if bundle.directory is None:
        raise ValueError("potential: is in memory and has no files: export it first")
    subject = Subject(bundle, settings, folder)
    rows, dimers, steps = list[CheckRow](), list[IsolatedDimer](), list[StepFigures]()
    for number, name in enumerate(names, start=1):
        log.info("check: %d of %d: %s", number, len(names), name)
        found = TESTS[name](subject)
        for row in found.rows:
            log.info("check: %s: %s", row.verdict, row)
        rows, dimers, steps = [*rows, *found.rows], [*dimers, *found.dimers], [*steps, *found.steps]
    return PotentialCheck(
        bundle.directory,
        _beads_in_words(bundle),
        bundle.temperature,
        subject.timestep_fs,
        settings,
        this_machine(subject),
        tuple(rows),
        tuple(dimers),
        tuple(steps),
    )


def _beads_in_words(bundle: PotentialBundle) -> str:
    """How many beads of which type: 64 Na, 64 Cl."""
    types = list(bundle.mapping.bead_types)
    return ", ".join(f"{types.count(name)} {name}" for name in bundle.mapping.type_names)
