"""The files of the check of a potential: check.json, check.html and its pictures."""

import functools
import shlex
from pathlib import Path

from cgnnp.analysis.figures import MOST_PANELS
from cgnnp.analysis.observables.dimers import plot_dimers
from cgnnp.analysis.section import Picture, Section, Table, Toned, each_alone
from cgnnp.diagnostics.soundness import AGREES, DISAGREES, NOT_TESTED
from cgnnp.report.page import drawn, page_template
from cgnnp.runtime.formatting import plus_minus
from cgnnp.runtime.storage import write_file, write_json
from cgnnp.workflow.potential_check.check import PotentialCheck
from cgnnp.workflow.potential_check.figure import TimeSteps
from cgnnp.workflow.potential_check.rows import MEASURED, verdict_of

LEVELS = {AGREES: "good", DISAGREES: "poor", NOT_TESTED: "open", MEASURED: ""}


def write_potential_check(found: PotentialCheck, output: Path, command: str | None = None) -> Path:
    """Write check.json, the pictures dimers.png and time_step.png, and the self-contained page check.html; return its path.

    Args:
        found: result of the check.
        output: folder for the files.
        command: command that repeats the check, which the page shows; None shows one that names the potential.
    """
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "check.json", found.to_dict())
    sections = [_figures(found), *_dimers(found), *_time_steps(found)]
    values = {
        "found": found,
        "level": LEVELS[found.verdict],
        "sections": sections,
        "images": drawn(sections, output),
        "command": command or f"python -m cgnnp.check potential={shlex.quote(str(found.potential))}",
    }
    write_file(output / "check.html", page_template("potential_check.html.j2").render(values))
    return output / "check.html"


def _figures(found: PotentialCheck) -> Section:
    """Return the section with a table of all rows."""
    said = f"{found.beads}, {found.temperature:g} K, usual time step {found.timestep_fs:g} fs."
    rows = [(row.name, row.figure, row.target, Toned(row.verdict, LEVELS[row.verdict]), row.reason) for row in found.rows]
    table = Table(("test", "found", "required", "verdict", "remarks"), tuple(rows), ("required", "verdict", "remarks"))
    return Section("All figures", (said, table), (f"The check ran on {found.machine}.",))


def _dimers(found: PotentialCheck) -> list[Section]:
    """Return the section with pictures of the isolated dimers; if there are too many, of those whose walls rise least."""
    weakest = sorted(found.dimers, key=lambda dimer: float("inf") if dimer.wall_rise is None else dimer.wall_rise)
    shown = weakest[:MOST_PANELS]
    if not shown:
        return []
    caption = (
        "Energy of an isolated dimer. Below the first sampled distance there must be a wall; in a hole, beads collapse onto "
        "each other."
    )
    draw = functools.partial(plot_dimers, shown)
    alt = "Energy of an isolated dimer against its distance"
    return [Section("Isolated dimers", (Picture("dimers", alt, caption, draw, each_alone(plot_dimers, shown)),))]


def _time_steps(found: PotentialCheck) -> list[Section]:
    """Return the section with the picture and the table of all time steps that were tried."""
    if not found.steps:
        return []
    rows = []
    for step in found.steps:
        verdict = verdict_of(step.sound)
        numbers = (
            plus_minus(step.t_kin_K, step.t_kin_stderr_K, 1),
            plus_minus(step.t_conf_K, step.t_conf_stderr_K, 1),
            plus_minus(step.drift_percent, step.drift_stderr_percent, 2),
        )
        rows.append((f"{step.timestep_fs:g}", *numbers, Toned(verdict, LEVELS[verdict]), step.reason))
    columns = ("time step (fs)", "T_kin (K)", "T_conf (K)", "NVE drift in 20 ps (%)", "verdict", "remarks")
    table = Table(columns, tuple(rows), ("verdict", "remarks"))
    measured = [step for step in found.steps if step.t_kin_K is not None]
    if not measured:
        return [Section("Time steps", (table,))]
    alt = "Temperatures and drift of the total energy against the time step"
    caption = (
        "A time step is sound if both temperatures agree with the thermostat and the total energy does not drift. Error "
    )
    caption += "bars are two standard errors."
    drawn = TimeSteps(measured, found.temperature, found.timestep_fs)
    picture = Picture("time_step", alt, caption, drawn.both, (drawn.temperatures, drawn.drift))
    return [Section("Time steps", (picture, table))]
