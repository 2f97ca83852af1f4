"""What the check of a potential found, for people: check.json, check.html and its pictures."""

import shlex
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from cgnnp.analysis.figures import MOST_PANELS, Theme
from cgnnp.analysis.figures_ions import plot_dimers
from cgnnp.diagnostics.soundness import AGREES, DISAGREES, NOT_TESTED
from cgnnp.report.page import page_template, write_pictures
from cgnnp.runtime.storage import write_file, write_json
from cgnnp.workflow.potential_check.check import PotentialCheck
from cgnnp.workflow.potential_check.figure import plot_time_steps
from cgnnp.workflow.potential_check.rows import MEASURED

LEVELS = {AGREES: "good", DISAGREES: "poor", NOT_TESTED: "open", MEASURED: "muted"}


def write_potential_check(found: PotentialCheck, output: Path, command: str | None = None) -> Path:
    """Write check.json, the pictures dimers.png and time_step.png, and check.html, one self-contained page; its path.

    Args:
        found: what to write.
        output: the folder.
        command: that makes the check again; without, one that names the potential.
    """
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "check.json", found.to_dict())
    drawings: dict[str, Callable[[Theme], Figure | None]] = {}
    scans = [dimer.scan for dimer in found.dimers][:MOST_PANELS]
    if scans:
        drawings["dimers"] = lambda theme: plot_dimers(scans, found.temperature, theme)
    measured = [step for step in found.steps if step.t_kin_K is not None]
    if measured:
        drawings["time_step"] = lambda theme: plot_time_steps(measured, found.temperature, found.timestep_fs, theme)
    values = {
        "found": found,
        "images": write_pictures(output, drawings),
        "levels": LEVELS,
        "command": command or f"python -m cgnnp.check potential={shlex.quote(str(found.potential))}",
    }
    write_file(output / "check.html", page_template("potential_check.html.j2").render(values))
    return output / "check.html"
