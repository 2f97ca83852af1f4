"""The check of a data set: its force map, configurational temperatures, g-YBG residual and boxes, and a page of results."""

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgnnp.analysis.figures_ybg import plot_ybg
from cgnnp.analysis.section import Picture, Section
from cgnnp.diagnostics.configurational_temperature import T_CONF_OPEN, ConfigurationalTemperature
from cgnnp.diagnostics.soundness import AGREES, DISAGREES, NOT_TESTED, Soundness, check_soundness
from cgnnp.diagnostics.undeclared_bonds import warn_of_undeclared_bonds
from cgnnp.frames.dataset import open_frames
from cgnnp.mapping.fittable import warn_if_not_fitted
from cgnnp.mapping.force_map import certify
from cgnnp.report.page import drawn, page_template, ybg_curves
from cgnnp.report.summary import temperature_entries
from cgnnp.runtime.storage import write_file, write_json
from cgnnp.workflow.sound_data import temperature_figures

log = logging.getLogger("cgnnp")

WORDS = {True: AGREES, False: DISAGREES.upper(), None: NOT_TESTED}
LEVELS = {AGREES: "good", DISAGREES: "poor", NOT_TESTED: "open"}


@dataclass(frozen=True)
class DataCheck:
    """The result of the check of a data set.

    Args:
        summary: all results as plain data, in the form that check.json has.
        sound: results of the tests of positions, forces and boxes.
        verdict: one word for all tests: agrees, disagrees or not tested.
        reasons: the reasons for the verdict; empty if all tests agree.
    """

    summary: dict[str, Any]
    sound: Soundness
    verdict: str
    reasons: tuple[str, ...]

    def table(self) -> str:
        """Return the result as lines of text, one for each test."""
        s, found = self.summary, self.sound.consistency
        lines = [
            f"{s['data']}: {s['n_frames']} frames of {s['n_beads']} beads, mapping '{s['mapping']}', {s['ensemble']} at "
            f"{s['temperature_K']:g} K",
            _line("force map", "" if s["certificate"] else "see below", s["certificate"] is not None),
        ]
        rows = [(row.name, row) for row in found.temperatures.by_pair]
        rows += [("all together", found.temperatures.combined)] if len(rows) != 1 else []
        for name, row in rows:
            lines.append(_temperature_line(name, row, found.temperature))
        lines.append(_line("g-YBG residual", str(found.ybg).removeprefix("g-YBG residual: "), found.ybg.agrees()))
        if not self.sound.box.open_boundaries:
            lines.append(_line("box", str(self.sound.box).removeprefix("box: "), self.sound.box.agrees()))
        if (density := self.sound.density) is not None:
            lines.append(_line("density", f"{density:.3g} g/mL", self.sound.density_agrees()))
        lines += [_line("outlying forces", text, False) for text in self.sound.outliers]
        lines += [_line("frames", text, False) for text in self.sound.repeated]
        lines += [_line("positions", text, None) for text in self.sound.motionless]
        word = WORDS[{AGREES: True, DISAGREES: False, NOT_TESTED: None}[self.verdict]]
        return "\n".join([*lines, *(f"{word.upper()}: {text}" for text in self.reasons), f"all together: {word}"])


def check_data(directory: str | Path) -> DataCheck:
    """Check a data set: its force map, and whether positions and forces belong to one Boltzmann distribution.

    Args:
        directory: folder of the data set.

    Raises:
        FileNotFoundError: the folder has no data set.
        ValueError: the data set is damaged or empty.
    """
    frames = open_frames(directory)
    wrong, certificate = [], None
    try:
        certificate = certify(frames.mapping).to_dict()
    except ValueError as error:
        wrong.append(str(error))
    warn_if_not_fitted(frames.mapping)
    loose = warn_of_undeclared_bonds(frames, "check")
    sound = check_soundness(frames)
    wrong += sound.disagreements()
    verdict = DISAGREES if wrong else sound.verdict
    reasons = wrong or sound.untested()
    summary = {
        "data": str(directory),
        "mapping": frames.mapping.name,
        "n_frames": len(frames),
        "n_beads": frames.mapping.n_beads,
        "n_bonds": len(frames.mapping.bonds),
        "ensemble": frames.meta.ensemble,
        "temperature_K": frames.temperature,
        "certificate": certificate,
        "undeclared_bonds": loose,
        **temperature_entries("t_conf", temperature_figures(sound.consistency)),
        "disagreements": wrong,
        "data_check": sound.to_dict() | {"verdict": verdict, "reasons": reasons},
    }
    return DataCheck(summary, sound, verdict, tuple(reasons))


def write_check(check: DataCheck, output: Path) -> Path:
    """Write check.json, the picture ybg.png and the self-contained page check.html to a folder; return the page's path."""
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "check.json", check.summary)
    consistency = check.sound.consistency
    found, expected = temperature_figures(consistency), consistency.temperature
    curves = ybg_curves([(found, "mapped data", expected)])
    pictures = [Picture("ybg", "", "", lambda theme: plot_ybg(curves, theme))] if curves else []
    level = LEVELS[check.verdict]
    values = {
        "s": check.summary,
        "images": drawn([Section("", pictures)], output),
        "level": level,
        "temperatures": [(found, "mapped data", expected)],
        "box": str(check.sound.box),
        "data": shlex.quote(check.summary["data"]),
    }
    write_file(output / "check.html", page_template("check.html.j2").render(values))
    return output / "check.html"


def _temperature_line(name: str, found: ConfigurationalTemperature, temperature: float) -> str:
    """Return the line of a T_conf: its judgement, its value, and its distance from the thermostat temperature (K)."""
    if found.value is None or found.stderr is None:
        return _line(f"T_conf {name}", str(found.reason), None)
    word = T_CONF_OPEN if (agrees := found.agrees(temperature)) is None else WORDS[agrees]
    off = f"{abs(found.value - temperature) / found.stderr:.1f} standard errors from {temperature:g} K"
    return _worded(f"T_conf {name}", f"{found.value:.1f}({found.stderr:.1f}) K, {off}", word)


def _line(name: str, text: str, agrees: bool | None) -> str:
    return _worded(name, text, WORDS[agrees])


def _worded(name: str, text: str, word: str) -> str:
    return f"  {name:<24} {word:<17} {text}".rstrip()
