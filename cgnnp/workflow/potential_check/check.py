"""The check of an exported potential: it runs the chosen tests one after the other, and has one verdict on all of them."""

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
from cgnnp.workflow.potential_check.settings import FULL, CheckSettings, check_settings
from cgnnp.workflow.potential_check.speed import Machine, this_machine
from cgnnp.workflow.potential_check.subject import Subject, own_version

log = logging.getLogger("cgnnp")


@brief
@dataclass(frozen=True)
class PotentialCheck:
    """The result of the check of a potential: one row for each result, and one verdict on all of them.

    Args:
        potential: folder of the potential.
        beads: number of beads of each type, in words.
        temperature: temperature of the data that the potential was fitted to, K.
        timestep_fs: usual time step of the potential, fs.
        settings: settings of the check.
        machine: machine that ran the check.
        rows: rows of all tests.
        dimers: isolated dimers of every kind of pair, if they were tested.
        steps: temperatures and energy drift of every time step that was tried.
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
    def name(self) -> str:
        """Name of the potential: that of its folder, or that of its run if the folder has the usual name `potential`."""
        folder = self.potential.resolve()
        return folder.parent.name if folder.name == "potential" and folder.parent.name else folder.name

    @property
    def scope(self) -> str:
        """What the tests cover, in words: the length of their runs, and that they make no comparison with atomistic data."""
        full = FULL["length_ps"]
        shorter = self.settings.length_ps < full or self.settings.drift_ps < FULL["drift_ps"]
        short = f" These runs were shorter than those of a full check, which take {full:g} ps." if shorter else ""
        return (
            f"The tests ran {self.settings.length_ps:g} ps at constant temperature and {self.settings.drift_ps:g} ps at "
            f"constant energy.{short} They do not compare the structure with atomistic data: `python -m cgnnp.compare` does."
        )

    @property
    def verdict(self) -> str:
        """The verdict on all rows: disagrees if any row disagrees, else not tested if any was not tested, else agrees."""
        return worst_verdict(self.rows)

    @property
    def reasons(self) -> list[str]:
        """The rows that cause a verdict of disagrees or not tested, in words; empty if no row does."""
        return [str(row) for row in self.rows if row.verdict == self.verdict and row.verdict in (DISAGREES, NOT_TESTED)]

    def table(self) -> str:
        """Return the result as lines of text, one for each row."""
        lines = [f"{self.potential}: {self.beads}, {self.temperature:g} K, usual time step {self.timestep_fs:g} fs"]
        width = max((len(row.name) for row in self.rows), default=0)
        for row in self.rows:
            word = row.verdict.upper() if row.verdict == DISAGREES else row.verdict
            asked = f"  (asked: {row.target})" if row.target else ""
            lines.append(f"  {row.name:{width}}  {word:<10}  {row.figure}{asked}")
        said = [f"{self.verdict.upper()}: {text}" for text in self.reasons]
        return "\n".join([*lines, f"  on {self.machine}", *said, f"all together: {self.verdict}"])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data for check.json."""
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
    """Run the chosen tests of a potential.

    Args:
        potential: a loaded potential, or its folder.
        folder: folder in which finished tests are stored, so that the same call continues; None stores nothing.
        tests: names of the tests to run; None runs all of them.
        **given: settings (see `CheckSettings`), and `quick` for shorter runs.

    Raises:
        FileNotFoundError: the folder has no potential.
        ValueError: the potential is damaged or has no files, or a setting is wrong.
    """
    names, settings = chosen_tests(tests), check_settings(**given)
    bundle = potential if isinstance(potential, PotentialBundle) else load(potential, self_check=False)
    if bundle.directory is None:
        raise ValueError("potential: it exists only in memory, but the check reads its files: export it first")
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
    """Return the number of beads of each type in words, such as '64 Na, 64 Cl'."""
    types = list(bundle.mapping.bead_types)
    return ", ".join(f"{types.count(name)} {name}" for name in bundle.mapping.type_names)
