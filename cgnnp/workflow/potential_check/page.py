"""The files of the check of a potential: check.json, check.html and its pictures."""

import datetime
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
from cgnnp.simulation.short_run import DRIFT_RUNS, DRIFT_SPAN_PS, FRICTION_PER_PS, MOST_DRIFT, MOST_NVE_DRIFT
from cgnnp.workflow.potential_check.check import PotentialCheck
from cgnnp.workflow.potential_check.figure import TimeSteps
from cgnnp.workflow.potential_check.rows import MEASURED, verdict_of, with_error
from cgnnp.workflow.potential_check.subject import own_version

CONSERVED = {True: ("sound", "good"), False: ("too long", "fair"), None: ("not known", "open")}
"""Words and colours for whether runs at constant energy may use a time step."""

DRIFT_COLUMN = f"NVE drift (% per {DRIFT_SPAN_PS:g} ps)"

LEVELS = {AGREES: "good", DISAGREES: "poor", NOT_TESTED: "open", MEASURED: ""}


def write_potential_check(found: PotentialCheck, output: Path, command: str | None = None) -> Path:
    """Write check.json, the pictures dimers.png and time_step.png, and the self-contained page check.html; return its path.

    Args:
        found: result of the check.
        output: folder for the files.
        command: command that repeats the check, which the page shows; None shows one that names the potential.
    """
    output.mkdir(parents=True, exist_ok=True)
    created = datetime.datetime.now()
    write_json(output / "check.json", found.to_dict() | {"created": f"{created:%Y-%m-%dT%H:%M:%S}"})
    sections = [_figures(found), *_dimers(found), *_time_steps(found)]
    values = {
        "found": found,
        "level": LEVELS[found.verdict],
        "written": f"cgnnp {own_version()} on {created:%Y-%m-%d at %H:%M}",
        "sections": sections,
        "images": drawn(sections, output),
        "command": command or f"python -m cgnnp.check potential={shlex.quote(str(found.potential))}",
    }
    write_file(output / "check.html", page_template("potential_check.html.j2").render(values))
    return output / "check.html"


def _figures(found: PotentialCheck) -> Section:
    """Return the section with a table of all rows."""
    said = f"{found.beads}, {found.temperature:g} K, usual time step {found.timestep_fs:g} fs."
    rows = [(row.name, Toned(row.verdict, LEVELS[row.verdict]), row.figure, row.target, row.reason) for row in found.rows]
    table = Table(("test", "verdict", "found", "required", "remarks"), tuple(rows), ("verdict", "required", "remarks"))
    return Section("All results", (said, table), (f"The check of {found.potential} ran on {found.machine}.",))


def _dimers(found: PotentialCheck) -> list[Section]:
    """Return the section with pictures of the isolated dimers. If there are too many, only the weakest walls are drawn."""
    weakest = sorted(found.dimers, key=lambda dimer: float("inf") if dimer.wall_rise is None else dimer.wall_rise)
    shown = weakest[:MOST_PANELS]
    if not shown:
        return []
    caption = (
        "Energy of two beads in vacuum. The data have no pair at the grey distances: there, a wall must keep the "
        "beads apart, or they collapse onto each other. Beyond 6 kT, the axis is logarithmic. In a liquid without solvent, "
        "this energy is no potential of mean force, because beads of the liquid always have neighbours: its minimum need "
        "not be at the first peak of g(r)."
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
            with_error(step.drift_percent, step.drift_stderr_percent),
        )
        conserved = Toned(*CONSERVED[step.conserves_energy])
        rows.append((f"{step.timestep_fs:g}", Toned(verdict, LEVELS[verdict]), conserved, *numbers, step.reason))
    columns = (
        "time step (fs)",
        "with a thermostat",
        "at constant energy",
        "T_kin (K)",
        "T_conf (K)",
        DRIFT_COLUMN,
        "remarks",
    )
    table = Table(columns, tuple(rows), ("with a thermostat", "at constant energy", "remarks"))
    measured = [step for step in found.steps if step.t_kin_K is not None]
    if not measured:
        return [Section("Time steps", (table,))]
    alt = "Temperatures and drift of the total energy against the time step"
    caption = (
        f"With a thermostat, a time step is sound if both temperatures are those of the thermostat and the drift is within "
        f"{MOST_DRIFT:g} % of the kinetic energy per {DRIFT_SPAN_PS:g} ps: a friction of {FRICTION_PER_PS:g} /ps removes "
        f"such a drift and leaves the beads 1 % too warm; the limit is proportional to the friction. At constant energy "
        f"nothing removes the drift: within {MOST_NVE_DRIFT:g} %, a run of {DRIFT_SPAN_PS:g} ps warms by at most 1 %. "
        f"Drifts are means of {DRIFT_RUNS} runs of about {found.settings.drift_ps / DRIFT_RUNS:.3g} ps, scaled to "
        f"{DRIFT_SPAN_PS:g} ps. Error bars are two standard errors."
    )
    drawn = TimeSteps(measured, found.temperature, found.timestep_fs)
    picture = Picture("time_step", alt, caption, drawn.both, (drawn.temperatures, drawn.drift))
    return [Section("Time steps", (picture, table))]
